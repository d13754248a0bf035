"""Pascal Context's 59 classes and the background, read from its published files and the images of VOC2010."""

from __future__ import annotations

from pathlib import Path

from dinoclip_viz.data.labels.class_masks import ClassMaskSource
from dinoclip_viz.data.labels.listed_masks import ListedLayout

CONTEXT_NAMES = (
    "background", "aeroplane", "bag", "bed", "bedclothes", "bench", "bicycle", "bird", "boat", "book", "bottle",
    "building", "bus", "cabinet", "car", "cat", "ceiling", "chair", "cloth", "computer", "cow", "cup", "curtain",
    "dog", "door", "fence", "floor", "flower", "food", "grass", "ground", "horse", "keyboard", "light", "motorbike",
    "mountain", "mouse", "person", "plate", "platform", "pottedplant", "road", "rock", "sheep", "shelves", "sidewalk",
    "sign", "sky", "snow", "sofa", "table", "track", "train", "tree", "truck", "tvmonitor", "wall", "water", "window",
    "wood",
)  # fmt: skip
"""The 60 labels: the background, then the classes in alphabetical order, as in the published masks."""

_MASKS, _LISTS = "SegmentationClassContext", Path("ImageSets") / "SegmentationContext"


def context_source(folder: Path, split: str = "val") -> ClassMaskSource:
    """The images of one list of Pascal Context; label 0 is everything outside the 59 classes.

    Args:
        folder: VOC2010.
        split: train, val, or any list in ImageSets/SegmentationContext.
    """
    return ClassMaskSource(folder, split, ListedLayout(CONTEXT_NAMES, _MASKS, _LISTS))


def context_root(folder: Path) -> Path | None:
    """The folder of Pascal Context's files: this one, or VOC2010 or VOCdevkit/VOC2010 in it; None without them."""
    roots = [folder, folder / "VOC2010", folder / "VOCdevkit" / "VOC2010"]
    return next((root for root in roots if (root / _LISTS).is_dir() and (root / _MASKS).is_dir()), None)
