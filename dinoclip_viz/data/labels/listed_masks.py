"""Pascal's way to lay out class masks: images in JPEGImages, masks in a folder of their own, keys in lists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.data.base import Sample, SourceError
from dinoclip_viz.data.captions.rows import lines_of
from dinoclip_viz.data.labels.label_files import UNKNOWN, read_labels, relabelled
from dinoclip_viz.data.locations import shown

IMAGES = "JPEGImages"


@dataclass(frozen=True)
class ListedMaskSource:
    """The images of one list with their class masks; 255 in the files is of unknown class.

    Attributes:
        folder: with JPEGImages, the masks and the lists.
        split: train, val, or any list there is.
        classes: in the order of the labels, which are the numbers in the files.
        masks: folder of the masks; lists: folder of the lists, both below `folder`.
    """

    folder: Path
    split: str
    classes: tuple[str, ...] = field(repr=False)
    masks: str
    lists: Path

    @property
    def name(self) -> str:
        """The folder's path and the split."""
        return f"{shown(self.folder)} ({shown(self.split)})"

    @property
    def count(self) -> int | None:
        """How many images are listed."""
        return len(self._keys())

    @property
    def kinds(self) -> tuple[str, ...]:
        """Classes alone."""
        return ("class",)

    @property
    def depth_range(self) -> tuple[float, float]:
        """Without meaning here: there is no depth."""
        return 0.0, 0.0

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The images in the list's order.

        Raises:
            SourceError: there is no such list, or nothing in it.
        """
        for key in self._keys()[start:]:
            path = self.folder / IMAGES / f"{key}.jpg"
            yield Sample(key, path, path=shown(path))

    def names(self, kind: str) -> tuple[str, ...]:
        """The classes."""
        self._check(kind)
        return self.classes

    def truth(self, key: str, kind: str) -> NDArray[np.generic]:
        """The numbers in the mask."""
        self._check(kind)
        file = self.folder / self.masks / f"{key}.png"
        return relabelled(read_labels(file), {**{i: i for i in range(len(self.classes))}, UNKNOWN: UNKNOWN}, file)

    def _check(self, kind: str) -> None:
        if kind != "class":
            raise SourceError(f"{self.name}: no truth of kind {kind!r}; this source has class")

    def _keys(self) -> list[str]:
        file = self.folder / self.lists / f"{self.split}.txt"
        if Path(self.split).name != self.split or not file.is_file():
            known = ", ".join(sorted(path.stem for path in (self.folder / self.lists).glob("*.txt")))
            raise SourceError(f"{self.name}: no list {shown(self.split)}; its lists: {known or 'none'}")
        keys = [line.split()[0] for line in lines_of(file) if line.strip()]
        if not keys:
            raise SourceError(f"{shown(file)}: an empty list; expected names of images")
        return keys
