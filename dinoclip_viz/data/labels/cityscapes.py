"""Cityscapes' 19 classes of street scenes, read from leftImg8bit and gtFine, with one folder per city."""

from __future__ import annotations

from pathlib import Path

from dinoclip_viz.data.labels.class_masks import ClassMaskSource
from dinoclip_viz.data.labels.label_files import UNKNOWN
from dinoclip_viz.data.labels.label_folders import LabelLayout

CITYSCAPES_NAMES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
"""The 19 evaluated classes, in the order of their train ids."""

_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Their numbers in the label id files, which have 34 classes in all."""
_TRAIN_IDS, _ALL_IDS = "_gtFine_labelTrainIds.png", "_gtFine_labelIds.png"
_LAYOUT = LabelLayout(
    "Cityscapes", CITYSCAPES_NAMES, "leftImg8bit", ("_leftImg8bit.png",), "gtFine", (_TRAIN_IDS, _ALL_IDS),
    {
        _TRAIN_IDS: {number: number for number in range(len(CITYSCAPES_NAMES))},
        _ALL_IDS: {**dict.fromkeys(range(34), UNKNOWN), **{number: label for label, number in enumerate(_IDS)}},
    },
)  # fmt: skip


def cityscapes(folder: Path, split: str = "val") -> ClassMaskSource:
    """leftImg8bit/val/CITY/*_leftImg8bit.png with gtFine's *_labelTrainIds.png, or *_labelIds.png without them.

    Classes that are not evaluated, and number plates, are of unknown class.
    """
    return ClassMaskSource(folder, split, _LAYOUT)
