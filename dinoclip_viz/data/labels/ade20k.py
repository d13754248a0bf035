"""ADE20k's scene parsing with 150 classes, from its own files: ADEChallengeData2016's images and annotations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dinoclip_viz.data.base import SourceError
from dinoclip_viz.data.labels.class_masks import ClassMaskSource
from dinoclip_viz.data.labels.label_files import UNKNOWN
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

_ENDINGS = (".jpg", ".jpeg", ".png")
_PARTS = ("training", "validation")
_NUMBERS = {0: UNKNOWN, **{index + 1: index for index in range(len(ADE20K_NAMES))}}


@dataclass(frozen=True)
class Ade20kLayout:
    """ADEChallengeData2016's images/ and annotations/, sorted by name; unlabelled pixels are of unknown class."""

    classes: tuple[str, ...] = ADE20K_NAMES

    def keys(self, folder: Path, split: str) -> list[str]:
        """Names of the images of training or validation."""
        place = folder / "images" / split
        if split not in _PARTS or not place.is_dir():
            raise SourceError(
                f"{shown(folder)} ({shown(split)}): no part {shown(split)}; expected one of {', '.join(_PARTS)}"
            )
        names = sorted(os.path.splitext(name)[0] for name in os.listdir(place) if name.lower().endswith(_ENDINGS))
        if not names:
            raise SourceError(f"{shown(place)}: no images; expected ADE_val_00000001.jpg and so on")
        return names

    def image(self, folder: Path, split: str, key: str) -> Path:
        """The image, whatever its ending."""
        files = [folder / "images" / split / f"{key}{ending}" for ending in _ENDINGS]
        return next((file for file in files if file.is_file()), files[0])

    def mask(self, folder: Path, split: str, key: str) -> tuple[Path, Mapping[int, int]]:
        """The annotation; its numbers are the labels plus one."""
        return folder / "annotations" / split / f"{key}.png", _NUMBERS


def ade20k_source(folder: Path, split: str = "validation") -> ClassMaskSource:
    """The images of one part with their class masks.

    Args:
        folder: ADEChallengeData2016.
        split: training or validation.
    """
    return ClassMaskSource(folder, split, Ade20kLayout())


def is_ade20k(folder: Path) -> bool:
    """Whether a folder is laid out as ADEChallengeData2016."""
    return any((folder / "images" / part).is_dir() and (folder / "annotations" / part).is_dir() for part in _PARTS)
