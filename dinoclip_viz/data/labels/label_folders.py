"""Data sets whose images and label files lie in folders of their own, under names that differ in their endings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dinoclip_viz.data.base import SourceError
from dinoclip_viz.data.labels.label_files import UNKNOWN
from dinoclip_viz.data.locations import shown


@dataclass(frozen=True)
class LabelLayout:
    """How a data set names its files.

    Attributes:
        title: the data set's name.
        classes: in the order of the labels.
        images: folder of the images; below it a folder per split; image_ending: how their names end.
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

    def keys(self, folder: Path, split: str) -> list[str]:
        """Paths of the images below the split, without their ending."""
        place = folder / self.images
        if not place.is_dir():
            raise SourceError(
                f"{shown(folder)}: no folder {self.images}/; expected {self.title}: images in "
                f"{self.images}/{split}, labels in {self.labels}/{split}"
            )
        if Path(split).name != split or not (place / split).is_dir():
            known = ", ".join(sorted(shown(path.name) for path in place.iterdir() if path.is_dir()))
            raise SourceError(
                f"{shown(folder)} ({shown(split)}): no split {shown(split)}; its splits: {known or 'none'}"
            )
        found = (place / split).rglob(f"*{self.image_ending}")
        keys = sorted(path.relative_to(place / split).as_posix().removesuffix(self.image_ending) for path in found)
        if not keys:
            raise SourceError(f"{shown(place / split)}: no images; expected names that end in {self.image_ending}")
        return keys

    def image(self, folder: Path, split: str, key: str) -> Path:
        """The image."""
        return folder / self.images / split / f"{key}{self.image_ending}"

    def mask(self, folder: Path, split: str, key: str) -> tuple[Path, Mapping[int, int]]:
        """The first label file that is there, and its numbers."""
        files = [folder / self.labels / split / f"{key}{ending}" for ending in self.label_endings]
        file = next((file for file in files if file.is_file()), files[0])
        return file, {UNKNOWN: UNKNOWN, **self.numbers[self.label_endings[files.index(file)]]}
