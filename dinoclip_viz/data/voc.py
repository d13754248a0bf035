"""Pascal VOC's segmentation, from its own files: JPEGImages, SegmentationClass and the lists in ImageSets."""

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

VOC_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""The 21 classes in the order of the labels."""

_LISTS = Path("ImageSets") / "Segmentation"


@dataclass(frozen=True)
class VocSource:
    """The pictures of one list with their class masks; the contours, 255 in the files, are of unknown class.

    Attributes:
        folder: VOC2012, or another year's.
        split: train, val, trainval, or any list in ImageSets/Segmentation.
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
        """`VOC_NAMES`."""
        self._check(kind)
        return VOC_NAMES

    def truth(self, key: str, kind: str) -> NDArray[np.generic]:
        """The palette's indices in SegmentationClass."""
        self._check(kind)
        file = self.folder / "SegmentationClass" / f"{key}.png"
        return relabelled(read_labels(file), {**{i: i for i in range(len(VOC_NAMES))}, UNKNOWN: UNKNOWN}, file)

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


def voc_root(folder: Path) -> Path | None:
    """Where VOC's files are in a folder: itself, VOC2012 or VOCdevkit/VOC2012 in it, or another year; None without."""
    below = [sorted(folder.glob(pattern), reverse=True) for pattern in ("VOC2*", "VOCdevkit/VOC2*")]
    places = [folder, *below[0], *below[1]]
    return next((place for place in places if (place / "JPEGImages").is_dir() and (place / _LISTS).is_dir()), None)


def voc_palette() -> list[list[int]]:
    """The colours (21, 3) in which VOC's own files show the classes: the bits of the label, spread over three bytes.

    Examples:
        >>> voc_palette()[:3]
        [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    """
    return [
        [sum(((label >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(3)) for channel in range(3)]
        for label in range(len(VOC_NAMES))
    ]
