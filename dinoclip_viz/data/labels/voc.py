"""Pascal VOC's segmentation, read from JPEGImages, SegmentationClass and the lists in ImageSets."""

from __future__ import annotations

from pathlib import Path

from dinoclip_viz.data.labels.class_masks import ClassMaskSource
from dinoclip_viz.data.labels.listed_masks import IMAGES, ListedLayout

VOC_NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
"""The 21 classes in the order of the labels."""

_LISTS = Path("ImageSets") / "Segmentation"


def voc_source(folder: Path, split: str = "val") -> ClassMaskSource:
    """The images of one list of VOC with their class masks; object contours are of unknown class.

    Args:
        folder: VOC2012, or another year's.
        split: train, val, or any list in ImageSets/Segmentation.
    """
    return ClassMaskSource(folder, split, ListedLayout(VOC_NAMES, "SegmentationClass", _LISTS))


def voc_root(folder: Path) -> Path | None:
    """The folder of VOC's files: this one, or the latest VOC2* or VOCdevkit/VOC2* in it; None without them."""
    below = [sorted(folder.glob(pattern), reverse=True) for pattern in ("VOC2*", "VOCdevkit/VOC2*")]
    roots = [folder, *below[0], *below[1]]
    return next((root for root in roots if (root / IMAGES).is_dir() and (root / _LISTS).is_dir()), None)


def voc_palette() -> list[list[int]]:
    """The colours (21, 3) of the classes in VOC's files: the bits of the label, spread over three bytes.

    Examples:
        >>> voc_palette()[:3]
        [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    """
    return [
        [sum(((label >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(3)) for channel in range(3)]
        for label in range(len(VOC_NAMES))
    ]
