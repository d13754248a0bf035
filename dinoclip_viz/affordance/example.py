"""Annotated images that an affordance model is trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from dinoclip_viz.images import ImageLike, load_image


@dataclass(frozen=True)
class AffordanceExample:
    """One image with the regions that answer verbs.

    Attributes:
        image: of any kind that `load_image` accepts.
        masks: verb -> (height, width) region at the image's size: bool, or a heat map in [0, 1]. A verb that is not
            among them has no region in the image.
        name: class of the object; "" for none.
    """

    image: ImageLike
    masks: Mapping[str, ArrayLike]
    name: str = ""


@dataclass(frozen=True)
class Annotated:
    """An example that was read: the image, and (V, height, width) targets in [0, 1], float32."""

    image: Image.Image
    targets: Tensor
    name: str


def read_examples(examples: Sequence[AffordanceExample]) -> tuple[tuple[str, ...], list[Annotated]]:
    """The verbs of all examples, in order of appearance, and the examples with a target for each of them.

    Args:
        examples: one or more, with one or more verbs among them.

    Raises:
        ImageError: an image cannot be read.
        ValueError: no example, no verb, an empty verb, or a mask of another size or range.
    """
    if not examples:
        raise ValueError("found no examples; expected at least one AffordanceExample")
    verbs = tuple(dict.fromkeys(verb for example in examples for verb in example.masks))
    if not verbs:
        raise ValueError(f"found {len(examples)} examples without a mask; expected a region for at least one verb")
    check_verbs(verbs)
    return verbs, [_read(example, number, verbs) for number, example in enumerate(examples)]


def check_verbs(verbs: str | Sequence[str]) -> list[str]:
    """The verbs as a list.

    Raises:
        ValueError: there is none, or one is empty.
    """
    listed = [verbs] if isinstance(verbs, str) else list(verbs)
    if not listed:
        raise ValueError("found no verbs; expected at least one, such as cut")
    for number, verb in enumerate(listed, start=1):
        if not isinstance(verb, str) or not verb.strip():
            raise ValueError(f"verb {number} of {len(listed)} is {verb!r}; expected a text such as cut")
    return listed


def _read(example: AffordanceExample, number: int, verbs: Sequence[str]) -> Annotated:
    image = load_image(example.image)
    shape = (image.height, image.width)
    targets = np.zeros((len(verbs), *shape), np.float32)
    for verb, given in example.masks.items():
        targets[verbs.index(verb)] = _mask(given, shape, f"example {number}, verb {verb!r}")
    return Annotated(image, torch.from_numpy(targets), example.name)


def _mask(given: ArrayLike, shape: tuple[int, int], where: str) -> NDArray[np.float32]:
    values = np.asarray(given)
    if values.shape != shape:
        raise ValueError(f"{where}: a mask of shape {values.shape}; expected {shape}, height and width of the image")
    mask = values.astype(np.float32)
    if not np.isfinite(mask).all() or mask.min() < 0 or mask.max() > 1:
        raise ValueError(f"{where}: values from {mask.min():g} to {mask.max():g}; expected bool, or 0 to 1")
    return mask
