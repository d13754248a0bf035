"""Pascal Context's 59 classes and the background, from its own files beside the pictures of VOC2010."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.data.base import Sample, SourceError
from dinoclip_viz.data.label_files import UNKNOWN, read_labels, relabelled
from dinoclip_viz.data.places import shown
from dinoclip_viz.data.rows import lines_of

CONTEXT_NAMES = (
    "background", "aeroplane", "bag", "bed", "bedclothes", "bench", "bicycle", "bird", "boat", "book", "bottle",
    "building", "bus", "cabinet", "car", "cat", "ceiling", "chair", "cloth", "computer", "cow", "cup", "curtain",
    "dog", "door", "fence", "floor", "flower", "food", "grass", "ground", "horse", "keyboard", "light", "motorbike",
    "mountain", "mouse", "person", "plate", "platform", "pottedplant", "road", "rock", "sheep", "shelves", "sidewalk",
    "sign", "sky", "snow", "sofa", "table", "track", "train", "tree", "truck", "tvmonitor", "wall", "water", "window",
    "wood",
)  # fmt: skip
"""The 60 labels: the classes follow the background by the alphabet, as the published masks number them."""

_MASKS, _LISTS = "SegmentationClassContext", Path("ImageSets") / "SegmentationContext"


@dataclass(frozen=True)
class ContextSource:
    """The pictures of one list with their class masks; label 0 is whatever is none of the 59 classes.

    Attributes:
        folder: VOC2010.
        split: train or val, or any list in ImageSets/SegmentationContext.
    """

    folder: Path
    split: str = "val"

    @property
    def name(self) -> str:
        """The folder's path and the split."""
        return f"{shown(self.folder)} ({shown(self.split)})"

    @property
    def count(self) -> int | None:
        """How many pictures are listed."""
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
        """The pictures in the list's order.

        Raises:
            SourceError: there is no such list, or nothing in it.
        """
        for key in self._keys()[start:]:
            path = self.folder / "JPEGImages" / f"{key}.jpg"
            yield Sample(key, path, path=shown(path))

    def names(self, kind: str) -> tuple[str, ...]:
        """`CONTEXT_NAMES`."""
        self._check(kind)
        return CONTEXT_NAMES

    def truth(self, key: str, kind: str) -> NDArray[np.generic]:
        """The numbers in SegmentationClassContext."""
        self._check(kind)
        file = self.folder / _MASKS / f"{key}.png"
        return relabelled(read_labels(file), {**{i: i for i in range(len(CONTEXT_NAMES))}, UNKNOWN: UNKNOWN}, file)

    def _check(self, kind: str) -> None:
        if kind != "class":
            raise SourceError(f"{self.name}: no truth of kind {kind!r}; this source has class")

    def _keys(self) -> list[str]:
        file = self.folder / _LISTS / f"{self.split}.txt"
        if Path(self.split).name != self.split or not file.is_file():
            known = ", ".join(sorted(path.stem for path in (self.folder / _LISTS).glob("*.txt")))
            raise SourceError(f"{self.name}: no list {shown(self.split)}; its lists: {known or 'none'}")
        keys = [line.split()[0] for line in lines_of(file) if line.strip()]
        if not keys:
            raise SourceError(f"{shown(file)}: an empty list; expected names of pictures")
        return keys


def context_root(folder: Path) -> Path | None:
    """Where Pascal Context's files are in a folder: itself, VOC2010 or VOCdevkit/VOC2010 in it; None without."""
    places = [folder, folder / "VOC2010", folder / "VOCdevkit" / "VOC2010"]
    return next((place for place in places if (place / _LISTS).is_dir() and (place / _MASKS).is_dir()), None)
