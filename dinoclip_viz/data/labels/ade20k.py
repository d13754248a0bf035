"""ADE20k's scene parsing with 150 classes, from its own files: ADEChallengeData2016's images and annotations."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.data.base import Sample, SourceError
from dinoclip_viz.data.labels.label_files import UNKNOWN, read_labels, relabelled
from dinoclip_viz.data.locations import shown

ADE20K_NAMES = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass", "cabinet",
    "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain", "chair", "car", "water",
    "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field", "armchair", "seat", "fence", "desk",
    "rock", "wardrobe", "lamp", "bathtub", "railing", "cushion", "base", "box", "column", "signboard",
    "chest of drawers", "counter", "sand", "sink", "skyscraper", "fireplace", "refrigerator", "grandstand", "path",
    "stairs", "runway", "case", "pool table", "pillow", "screen door", "stairway", "river", "bridge", "bookcase",
    "blind", "coffee table", "toilet", "flower", "book", "hill", "bench", "countertop", "stove", "palm",
    "kitchen island", "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus", "towel", "light",
    "truck", "tower", "chandelier", "awning", "streetlight", "booth", "television receiver", "airplane",
    "dirt track", "apparel", "pole", "land", "bannister", "escalator", "ottoman", "bottle", "buffet", "poster",
    "stage", "van", "ship", "fountain", "conveyer belt", "canopy", "washer", "plaything", "swimming pool", "stool",
    "barrel", "basket", "waterfall", "tent", "bag", "minibike", "cradle", "oven", "ball", "food", "step", "tank",
    "trade name", "microwave", "pot", "animal", "bicycle", "lake", "dishwasher", "screen", "blanket", "sculpture",
    "hood", "sconce", "vase", "traffic light", "tray", "ashcan", "fan", "pier", "crt screen", "plate", "monitor",
    "bulletin board", "shower", "radiator", "glass", "clock", "flag",
)  # fmt: skip
"""The 150 classes in the order of the labels; the files number them from 1 and leave 0 to what has none."""

_PARTS = ("training", "validation")
_NUMBERS = {0: UNKNOWN, **{index + 1: index for index in range(len(ADE20K_NAMES))}}


@dataclass(frozen=True)
class Ade20kSource:
    """The images of one part with their class masks, sorted by name; unlabelled pixels are of unknown class.

    Attributes:
        folder: ADEChallengeData2016.
        split: training or validation.
    """

    folder: Path
    split: str = "validation"

    @property
    def name(self) -> str:
        """The folder's path and the split."""
        return f"{shown(self.folder)} ({shown(self.split)})"

    @property
    def count(self) -> int | None:
        """How many images are there."""
        return len(self._files())

    @property
    def kinds(self) -> tuple[str, ...]:
        """Classes alone."""
        return ("class",)

    @property
    def depth_range(self) -> tuple[float, float]:
        """Without meaning here: there is no depth."""
        return 0.0, 0.0

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The images.

        Raises:
            SourceError: there is no such part, or no image in it.
        """
        for name in self._files()[start:]:
            path = self.folder / "images" / self.split / name
            yield Sample(shown(path.stem), path, path=shown(path))

    def names(self, kind: str) -> tuple[str, ...]:
        """`ADE20K_NAMES`."""
        self._check(kind)
        return ADE20K_NAMES

    def truth(self, key: str, kind: str) -> NDArray[np.generic]:
        """The numbers in the annotation less one."""
        self._check(kind)
        file = self.folder / "annotations" / self.split / f"{key}.png"
        return relabelled(read_labels(file), _NUMBERS, file)

    def _check(self, kind: str) -> None:
        if kind != "class":
            raise SourceError(f"{self.name}: no truth of kind {kind!r}; this source has class")

    def _files(self) -> list[str]:
        place = self.folder / "images" / self.split
        if self.split not in _PARTS or not place.is_dir():
            raise SourceError(f"{self.name}: no part {shown(self.split)}; expected one of {', '.join(_PARTS)}")
        names = sorted(name for name in os.listdir(place) if name.lower().endswith((".jpg", ".jpeg", ".png")))
        if not names:
            raise SourceError(f"{shown(place)}: no images; expected ADE_val_00000001.jpg and so on")
        return names


def is_ade20k(folder: Path) -> bool:
    """Whether a folder is laid out as ADEChallengeData2016."""
    return any((folder / "images" / part).is_dir() and (folder / "annotations" / part).is_dir() for part in _PARTS)
