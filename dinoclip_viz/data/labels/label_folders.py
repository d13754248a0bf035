"""Data sets with images and label files in separate folders, under names that differ only in their endings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dinoclip_viz.data.base import SourceError
from dinoclip_viz.data.labels.class_masks import no_split
from dinoclip_viz.data.labels.label_files import UNKNOWN
from dinoclip_viz.data.locations import shown


@dataclass(frozen=True)
class LabelLayout:
    """The folders and endings of a data set's files.

    Attributes:
        title: the data set's name.
        classes: in the order of the labels.
        images: folder of the images, with one folder per split.
        image_endings: the endings of their names.
        labels: folder of the label files, likewise.
        label_endings: the endings of their names; of several files of one image, the first of these is read.
        numbers: ending of a label file -> number in it -> label, `UNKNOWN` for what is no class.
    """

    title: str
    classes: tuple[str, ...]
    images: str
    image_endings: tuple[str, ...]
    labels: str
    label_endings: tuple[str, ...]
    numbers: Mapping[str, Mapping[int, int]] = field(repr=False)

    def keys(self, folder: Path, split: str) -> list[str]:
        """The paths of the images below the split, sorted, without their endings."""
        images = folder / self.images
        if not images.is_dir():
            raise SourceError(
                f"{shown(folder)}: no folder {self.images}/; expected {self.title}: images in "
                f"{self.images}/{split}, labels in {self.labels}/{split}"
            )
        if Path(split).name != split or not (images / split).is_dir():
            raise no_split(folder, split, (path.name for path in images.iterdir() if path.is_dir()))
        found = (path.relative_to(images / split).as_posix() for path in (images / split).rglob("[!.]*"))
        keys = [name.removesuffix(ending) for name in found for ending in self.image_endings if name.endswith(ending)]
        if not keys:
            endings = ", ".join(self.image_endings)
            raise SourceError(f"{shown(images / split)}: no images; expected names that end in {endings}")
        return sorted(set(keys))

    def image(self, folder: Path, split: str, key: str) -> Path:
        """The first file of that name with one of the endings."""
        return _first(folder / self.images / split, key, self.image_endings)[0]

    def mask(self, folder: Path, split: str, key: str) -> tuple[Path, Mapping[int, int]]:
        """The first label file of that name, and its numbers."""
        file, ending = _first(folder / self.labels / split, key, self.label_endings)
        return file, {UNKNOWN: UNKNOWN, **self.numbers[ending]}


def _first(folder: Path, key: str, endings: Sequence[str]) -> tuple[Path, str]:
    """The first file that exists, and its ending; those of the first ending where none does."""
    files = [(folder / f"{key}{ending}", ending) for ending in endings]
    return next(((file, ending) for file, ending in files if file.is_file()), files[0])
