"""The interface of sources of affordances: images with a target per verb."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Target = NDArray[np.float32]
"""(height, width) region that answers a verb, in [0, 1], at the image's size."""


@dataclass(frozen=True)
class AffordanceImage:
    """One image with its targets.

    Attributes:
        key: identifier within the source.
        name: class of its object; "" where it has several.
        image: RGB.
        targets: verb -> target; only verbs that the image answers, or all of a training example.
        objects: verb -> (height, width) bool mask of the whole objects that answer it; empty where unknown.
    """

    key: str
    name: str
    image: Image.Image
    targets: Mapping[str, Target]
    objects: Mapping[str, NDArray[np.bool_]]


class AffordanceSource(Protocol):
    """A source of affordances.

    Attributes:
        name: as in `open_affordances`.
        verbs: of its targets.
        hard: whether targets are masks rather than blurred heat maps.
        count: number of images.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def verbs(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def hard(self) -> bool: ...  # noqa: D102
    @property
    def count(self) -> int: ...  # noqa: D102

    def images(self) -> Iterator[AffordanceImage]:
        """The images of the evaluation, each with one or more targets.

        Raises:
            ImageError: a file is missing or broken.
        """
        ...

    def examples(self, draw: int = 0, classes: Sequence[str] | None = None) -> list[AffordanceImage]:
        """One image per class, to train on, none of which is evaluated.

        Args:
            draw: number of the draw; another one has other images.
            classes: to draw; None for all.

        Raises:
            ImageError: a file is missing or broken.
            SourceError: there is no such draw or class, or the source has no training images.
        """
        ...


def squeezed(values: Target, side: int) -> Target:
    """(side, side) values between pixel centres, without antialiasing, as OpenCV's INTER_LINEAR.

    Args:
        values: (height, width).
        side: in pixels.

    Examples:
        >>> squeezed(np.array([[0.0, 1.0]], np.float32), 4)[0].tolist()
        [0.0, 0.25, 0.75, 1.0]
    """
    height, width = values.shape
    rows, down, below = _weights(height, side)
    columns, right, beside = _weights(width, side)
    top = values[rows][:, columns] * (1 - right) + values[rows][:, beside] * right
    bottom = values[below][:, columns] * (1 - right) + values[below][:, beside] * right
    mixed: Target = (top * (1 - down[:, None]) + bottom * down[:, None]).astype(np.float32)
    return mixed


def _weights(length: int, side: int) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.intp]]:
    """First pixel, weight of the second, and second pixel, of each of the new ones."""
    position = ((np.arange(side) + 0.5) * length / side - 0.5).clip(0, length - 1)
    first = np.floor(position).astype(np.intp)
    return first, position - first, (first + 1).clip(0, length - 1)
