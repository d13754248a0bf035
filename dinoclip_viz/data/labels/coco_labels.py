"""COCO's images with one label file each: COCO-Stuff's 171 classes, or COCO-Object's 80 with the background."""

from __future__ import annotations

from pathlib import Path

from dinoclip_viz.data.labels.class_masks import ClassMaskSource
from dinoclip_viz.data.labels.label_folders import LabelLayout

COCO_OBJECTS = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""COCO's 80 thing classes in their usual order."""

COCO_STUFF = (
    "banner", "blanket", "branch", "bridge", "building-other", "bush", "cabinet", "cage", "cardboard", "carpet",
    "ceiling-other", "ceiling-tile", "cloth", "clothes", "clouds", "counter", "cupboard", "curtain", "desk-stuff",
    "dirt", "door-stuff", "fence", "floor-marble", "floor-other", "floor-stone", "floor-tile", "floor-wood", "flower",
    "fog", "food-other", "fruit", "furniture-other", "grass", "gravel", "ground-other", "hill", "house", "leaves",
    "light", "mat", "metal", "mirror-stuff", "moss", "mountain", "mud", "napkin", "net", "paper", "pavement", "pillow",
    "plant-other", "plastic", "platform", "playingfield", "railing", "railroad", "river", "road", "rock", "roof",
    "rug", "salad", "sand", "sea", "shelf", "sky-other", "skyscraper", "snow", "solid-other", "stairs", "stone",
    "straw", "structural-other", "table", "tent", "textile-other", "towel", "tree", "vegetable", "wall-brick",
    "wall-concrete", "wall-other", "wall-panel", "wall-stone", "wall-tile", "wall-wood", "water-other", "waterdrops",
    "window-blind", "window-other", "wood",
)  # fmt: skip
"""COCO-Stuff's 91 stuff classes, which follow the things."""

_STUFF_ENDING, _OBJECT_ENDING = "_labelTrainIds.png", "_instanceTrainIds.png"
_STUFF = LabelLayout(
    "COCO-Stuff 164k", (*COCO_OBJECTS, *COCO_STUFF), "images", (".jpg",), "annotations", (_STUFF_ENDING,),
    {_STUFF_ENDING: {number: number for number in range(len(COCO_OBJECTS) + len(COCO_STUFF))}},
)  # fmt: skip
_OBJECT = LabelLayout(
    "COCO-Object", ("background", *COCO_OBJECTS), "images", (".jpg",), "annotations", (_OBJECT_ENDING,),
    {_OBJECT_ENDING: {number: number for number in range(1 + len(COCO_OBJECTS))}},
)  # fmt: skip


def coco_stuff(folder: Path, split: str = "val2017") -> ClassMaskSource:
    """COCO-Stuff 164k: images/val2017/*.jpg with annotations/val2017/*_labelTrainIds.png, 0 to 170, 255 unknown."""
    return ClassMaskSource(folder, split, _STUFF)


def coco_object(folder: Path, split: str = "val2017") -> ClassMaskSource:
    """COCO-Object: the same images with *_instanceTrainIds.png, 0 for the background, then 1 to 80."""
    return ClassMaskSource(folder, split, _OBJECT)
