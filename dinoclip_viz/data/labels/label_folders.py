"""Data sets whose images and label files lie in folders of their own, under names that differ in their endings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.data.base import Sample, SourceError
from dinoclip_viz.data.labels.label_files import UNKNOWN, read_labels, relabelled
from dinoclip_viz.data.locations import shown


@dataclass(frozen=True)
class LabelLayout:
    """How a data set names its files.

    Attributes:
        title: the data set's name.
        classes: in the order of the labels.
        images: folder of the images; below it a folder a split; image_ending: how their names end.
        labels: likewise for the label files; label_endings: how their names end, the first one there is taken.
        numbers: ending of a label file -> number in it -> label; numbers that are no class become `UNKNOWN`.
    """

    title: str
    classes: tuple[str, ...]
    images: str
    image_ending: str
    labels: str
    label_endings: tuple[str, ...]
    numbers: Mapping[str, Mapping[int, int]] = field(repr=False)


@dataclass(frozen=True)
class LabelFolderSource:
    """The images of one split with their class masks, sorted by name.

    Attributes:
        folder: the data set's.
        layout: how it names its files.
        split: a folder below `layout.images`.
    """

    folder: Path
    layout: LabelLayout
    split: str

    @property
    def name(self) -> str:
        """The folder's path and the split."""
        return f"{shown(self.folder)} ({shown(self.split)})"

    @property
    def count(self) -> int | None:
        """How many images are there."""
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
        """The images; the key is the path below the split, without the ending.

        Raises:
            SourceError: there is no such split, or no image in it.
        """
        for key in self._keys()[start:]:
            path = self.folder / self.layout.images / self.split / f"{key}{self.layout.image_ending}"
            yield Sample(shown(key), path, path=shown(path))

    def names(self, kind: str) -> tuple[str, ...]:
        """The layout's classes."""
        self._check(kind)
        return self.layout.classes

    def truth(self, key: str, kind: str) -> NDArray[np.generic]:
        """The label file beside the image."""
        self._check(kind)
        place = self.folder / self.layout.labels / self.split
        files = [place / f"{key}{ending}" for ending in self.layout.label_endings]
        file = next((file for file in files if file.is_file()), files[0])
        numbers = self.layout.numbers[self.layout.label_endings[files.index(file)]]
        return relabelled(read_labels(file), {UNKNOWN: UNKNOWN, **numbers}, file)

    def _check(self, kind: str) -> None:
        if kind != "class":
            raise SourceError(f"{self.name}: no truth of kind {kind!r}; this source has class")

    def _keys(self) -> list[str]:
        place, ending = self.folder / self.layout.images, self.layout.image_ending
        if not place.is_dir():
            raise SourceError(
                f"{shown(self.folder)}: no folder {self.layout.images}/; expected {self.layout.title}: images in "
                f"{self.layout.images}/{self.split}, labels in {self.layout.labels}/{self.split}"
            )
        if Path(self.split).name != self.split or not (place / self.split).is_dir():
            known = ", ".join(sorted(shown(path.name) for path in place.iterdir() if path.is_dir()))
            raise SourceError(f"{self.name}: no split {shown(self.split)}; its splits: {known or 'none'}")
        found = (place / self.split).rglob(f"*{ending}")
        keys = sorted(path.relative_to(place / self.split).as_posix().removesuffix(ending) for path in found)
        if not keys:
            raise SourceError(f"{shown(place / self.split)}: no images; expected names that end in {ending}")
        return keys
