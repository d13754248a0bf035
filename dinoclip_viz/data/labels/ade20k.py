"""ADE20k scene parsing with 150 classes, read from ADEChallengeData2016's images and annotations."""

from __future__ import annotations

from pathlib import Path

from dinoclip_viz.data.labels.class_masks import ClassMaskSource
from dinoclip_viz.data.labels.label_files import UNKNOWN
from dinoclip_viz.data.labels.label_folders import LabelLayout

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
"""The 150 classes in the order of the labels; the files number them from 1; 0 is unlabelled."""

_PARTS = ("training", "validation")
_LAYOUT = LabelLayout(
    "ADE20k", ADE20K_NAMES, "images", (".jpg", ".jpeg", ".png"), "annotations", (".png",),
    {".png": {0: UNKNOWN, **{index + 1: index for index in range(len(ADE20K_NAMES))}}},
)  # fmt: skip


def ade20k_source(folder: Path, split: str = "validation") -> ClassMaskSource:
    """The images of one split with their class masks; unlabelled pixels have no class.

    Args:
        folder: ADEChallengeData2016.
        split: training or validation.
    """
    return ClassMaskSource(folder, split, _LAYOUT)


def is_ade20k(folder: Path) -> bool:
    """Whether a folder has the layout of ADEChallengeData2016."""
    return any((folder / "images" / part).is_dir() and (folder / "annotations" / part).is_dir() for part in _PARTS)
