"""Images with one class mask each: a single source, with a layout per data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.data.base import Sample, SourceError
from dinoclip_viz.data.labels.label_files import read_labels, relabelled
from dinoclip_viz.data.locations import shown


class MaskLayout(Protocol):
    """The names of a data set's images and masks, and the numbers of its classes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of the labels."""
        ...

    def keys(self, folder: Path, split: str) -> Sequence[str]:
        """The keys of a split's images, in order.

        Raises:
            SourceError: the split does not exist or has no images.
        """
        ...

    def image(self, folder: Path, split: str, key: str) -> Path:
        """The file of an image."""
        ...

    def mask(self, folder: Path, split: str, key: str) -> tuple[Path, Mapping[int, int]]:
        """The file of the mask, and number in the file -> label."""
        ...


@dataclass(frozen=True)
class ClassMaskSource:
    """The images of one split with their class masks.

    Attributes:
        folder: the data set's folder.
        split: one of its splits.
        layout: the names of its files and the numbers of its classes.
    """

    folder: Path
    split: str
    layout: MaskLayout = field(repr=False)

    @property
    def name(self) -> str:
        """The folder's path and the split."""
        return f"{shown(self.folder)} ({shown(self.split)})"

    @property
    def count(self) -> int | None:
        """The number of images."""
        return len(self._keys())

    @property
    def kinds(self) -> tuple[str, ...]:
        """Only "class"."""
        return ("class",)

    @property
    def depth_range(self) -> tuple[float, float]:
        """Unused, as there is no depth."""
        return 0.0, 0.0

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The images in the layout's order.

        Raises:
            SourceError: the split does not exist or has no images.
        """
        for key in self._keys()[start:]:
            path = self.layout.image(self.folder, self.split, key)
            yield Sample(shown(key), path, path=shown(path))

    def names(self, kind: str) -> tuple[str, ...]:
        """The classes in the order of the labels."""
        self._check(kind)
        return self.layout.classes

    def truth(self, key: str, kind: str) -> NDArray[np.generic]:
        """The labels (height, width) of an image, converted from the numbers in its mask."""
        self._check(kind)
        file, numbers = self.layout.mask(self.folder, self.split, key)
        return relabelled(read_labels(file), numbers, file)

    def _check(self, kind: str) -> None:
        if kind != "class":
            raise SourceError(f"{self.name}: no ground truth of kind {kind!r}; this source has class")

    def _keys(self) -> Sequence[str]:
        return self.layout.keys(self.folder, self.split)


def no_split(folder: Path, split: str, known: Iterable[str]) -> SourceError:
    """The error for a split that a data set does not have, with those that it has."""
    listed = ", ".join(sorted(map(shown, known)))
    return SourceError(f"{shown(folder)} ({shown(split)}): no split {shown(split)}; its splits: {listed or 'none'}")
