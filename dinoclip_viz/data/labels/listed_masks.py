"""The layout of Pascal's class masks: images in JPEGImages, masks in another folder, keys in lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dinoclip_viz.data.base import SourceError
from dinoclip_viz.data.labels.class_masks import no_split
from dinoclip_viz.data.labels.label_files import UNKNOWN
from dinoclip_viz.data.locations import shown
from dinoclip_viz.data.texts import lines_of

IMAGES = "JPEGImages"


@dataclass(frozen=True)
class ListedLayout:
    """Lists of keys, JPEGImages and masks; 255 in a mask is unknown.

    Attributes:
        classes: in the order of the labels, which are the numbers in the files.
        masks: folder of the masks, below the data set's.
        lists: folder of the lists, likewise.
    """

    classes: tuple[str, ...]
    masks: str
    lists: Path

    def keys(self, folder: Path, split: str) -> list[str]:
        """The keys in the list of the split."""
        file = folder / self.lists / f"{split}.txt"
        if Path(split).name != split or not file.is_file():
            raise no_split(folder, split, (path.stem for path in (folder / self.lists).glob("*.txt")))
        keys = [line.split()[0] for line in lines_of(file) if line.strip()]
        if not keys:
            raise SourceError(f"{shown(file)}: an empty list; expected names of images")
        return keys

    def image(self, folder: Path, split: str, key: str) -> Path:
        """The image."""
        return folder / IMAGES / f"{key}.jpg"

    def mask(self, folder: Path, split: str, key: str) -> tuple[Path, Mapping[int, int]]:
        """The mask, whose numbers are the labels."""
        numbers = {**{label: label for label in range(len(self.classes))}, UNKNOWN: UNKNOWN}
        return folder / self.masks / f"{key}.png", numbers
