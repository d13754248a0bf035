"""The benchmarks of open-vocabulary segmentation: class names, prompts and published results."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dinoclip_viz.data.base import SourceError
from dinoclip_viz.data.labels.ade20k import ADE20K_NAMES, ade20k_source, is_ade20k
from dinoclip_viz.data.labels.cityscapes import CITYSCAPES_NAMES, cityscapes
from dinoclip_viz.data.labels.coco_labels import COCO_OBJECTS, COCO_STUFF, coco_object, coco_stuff
from dinoclip_viz.data.labels.context import CONTEXT_NAMES, context_root, context_source
from dinoclip_viz.data.labels.sources import TruthSource, open_truths
from dinoclip_viz.data.labels.voc import VOC_NAMES, voc_root, voc_source
from dinoclip_viz.data.locations import shown
from dinoclip_viz.playground import CLASSES

PUBLISHED_AS: Mapping[str, str] = {
    "maskclip": "MaskCLIP",
    "dinoiser": "CLIP-DINOiser",
    "sclip": "SCLIP",
    "naclip": "NACLIP",
    "lposs": "LPOSS",
}
"""Heat-map method -> the system that its results were published for, with CLIP ViT-B/16 at about 448 px."""

BACKGROUND = "background"

_ORDER = ("voc21", "context60", "coco-object", "voc20", "context59", "coco-stuff", "cityscapes", "ade20k")
_PUBLISHED: Mapping[str, Sequence[float | None]] = {
    "MaskCLIP": (None, None, None, 61.8, 25.5, 17.5, 25.0, 14.2),
    "CLIP-DINOiser": (62.1, 32.4, 34.8, 80.9, 35.9, 24.6, 31.7, 20.0),
    "SCLIP": (59.6, 31.7, 33.5, 81.5, 34.5, 22.8, 32.3, 16.5),
    "NACLIP": (64.1, 35.0, 36.2, 83.0, 38.4, 25.7, 38.3, 19.1),
    "LPOSS": (61.1, 34.6, 33.4, 78.8, 37.8, 25.9, 37.3, 21.8),
    "Trident": (70.8, 40.1, 42.2, 88.7, 44.3, 28.6, 47.6, 26.7),
}

_VOC_WORDS = {
    "aeroplane": "aeroplane;airplane", "boat": "boat;ship", "diningtable": "dining table",
    "motorbike": "motorbike;motorcycle",
    "person": "person;person in shirt;person in jeans;person in dress;person in sweater;person in skirt;"
    "person in jacket",
    "pottedplant": "potted plant", "sofa": "sofa;couch",
    "tvmonitor": "television monitor;tv monitor;monitor;television;screen",
}  # fmt: skip
_CONTEXT_WORDS = {**_VOC_WORDS, "bedclothes": "bedclothes;bed clothes", "shelves": "shelves;shelf"}
_COCO_WORDS = {
    "person": _VOC_WORDS["person"], "couch": "couch;sofa", "tv": "tv;television;screen",
    "hair drier": "hair drier;hair dryer", "playingfield": "playing field",
}  # fmt: skip
_CITYSCAPES_WORDS = {
    "vegetation": "vegetation;tree", "terrain": "terrain;grass", "person": "person;pedestrian",
    "rider": "rider;cyclist",
}  # fmt: skip
_ADE20K_WORDS = {
    "windowpane": "windowpane;window", "earth": "earth;ground", "rug": "rug;carpet", "signboard": "signboard;sign",
    "television receiver": "television receiver;television;tv", "streetlight": "streetlight;street lamp",
    "stairway": "stairway;staircase", "minibike": "minibike;motorbike", "ashcan": "ashcan;trash can",
    "hovel": "hovel;hut", "apparel": "apparel;clothes", "plaything": "plaything;toy", "bannister": "bannister;banister",
    "conveyer belt": "conveyer belt;conveyor belt", "airplane": "airplane;aeroplane",
}  # fmt: skip

_NO_OBJECT = (
    "sky", "wall", "tree", "wood", "grass", "road", "sea", "river", "mountain", "sand", "desk", "building", "cloud",
    "lamp", "door", "window", "wardrobe", "ceiling", "shelf", "curtain", "stairs", "floor", "hill", "rail", "fence",
)  # fmt: skip
"""Common background of Pascal VOC and COCO-Object: SCLIP and later systems use such prompts for it."""


@dataclass(frozen=True)
class SegmentationSet:
    """A benchmark's classes and their prompts.

    Attributes:
        name: one of `SEGMENTATION_SETS`, or "folder".
        classes: C names in the order of the labels, without the background.
        prompts: C tuples of one or more prompts for a class: its name and usual synonyms.
        first: label of the first class in the ground truth: 1 where label 0 is the background.
        with_background: whether the benchmark evaluates the background as a class.
        background: additional prompts for the background; empty for most.
        templates: the usual templates: "openai" for CLIP's 80, "none" for unchanged prompts.
        published: system -> mIoU, 0 to 1, as its authors report it.
        layout: description of its files, for errors.
        training: the split on which a threshold may be chosen, "" without one.
    """

    name: str
    classes: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]
    first: int
    with_background: bool
    background: tuple[str, ...] = ()
    templates: str = "openai"
    published: Mapping[str, float] = field(default_factory=dict, repr=False)
    layout: str = ""
    training: str = ""


def segmentation_set(name: str, source: TruthSource | None = None) -> SegmentationSet:
    """The benchmark of a name.

    Args:
        name: one of `SEGMENTATION_SETS`, or "folder" for the class names of a source.
        source: for "folder"; a first class named "background" is label 0.

    Raises:
        ValueError: the benchmark does not exist, or the source has no class but the background.

    Examples:
        >>> voc = segmentation_set("voc21")
        >>> len(voc.classes), voc.prompts[19][0], voc.published["CLIP-DINOiser"]
        (20, 'television monitor', 0.621)
    """
    if name in SEGMENTATION_SETS:
        return SEGMENTATION_SETS[name]
    if name != "folder" or source is None:
        known = ", ".join((*SEGMENTATION_SETS, "folder"))
        raise ValueError(f"there is no segmentation data set {name!r}; expected one of {known}")
    names = source.names("class")
    first = int(bool(names) and names[0].lower() == BACKGROUND)
    if len(names) == first:
        raise ValueError(f"{source.name} has no class but the background; expected one or more")
    classes = names[first:]
    return SegmentationSet(name, classes, _prompts(classes), first, bool(first), templates="none")


def open_segmentation(name: str, path: str | os.PathLike[str], split: str | None = None) -> TruthSource:
    """The source of a benchmark's images and ground truth.

    Args:
        name: one of `SEGMENTATION_SETS`, or "folder".
        path: the data set's folder; for the playground a name such as playground:3006:300:192, or a folder of
            `playground draw`.
        split: one of its splits; None for the one that is evaluated.

    Raises:
        SourceError: the files do not exist, or have another layout or other classes.
    """
    if name not in _OPEN:
        source = open_truths(path, split)
        expected = (BACKGROUND, *CLASSES)
        if name == "playground" and source.names("class") != expected:
            raise SourceError(f"{source.name}: has other classes than the playground; use the data set `folder`")
        return source
    folder = Path(path).expanduser()
    if not os.fspath(path).strip() or not folder.is_dir():
        raise SourceError(f"{shown(path)!r}: no such folder; expected {name}: {SEGMENTATION_SETS[name].layout}")
    found = _OPEN[name](folder, split)
    if found is None:
        raise SourceError(f"{shown(folder)}: no {name} was found; expected {SEGMENTATION_SETS[name].layout}")
    next(found.samples(), None)
    return found


def _prompts(classes: Sequence[str], words: Mapping[str, str] | None = None) -> tuple[tuple[str, ...], ...]:
    listed = words or {}
    return tuple(tuple(listed.get(name, name).split(";")) for name in classes)


def _published(name: str) -> dict[str, float]:
    column = _ORDER.index(name)
    listed = ((system, row[column]) for system, row in _PUBLISHED.items())
    return {system: round(figure / 100, 4) for system, figure in listed if figure is not None}


def _stuff_words(name: str) -> str:
    """The prompt for a stuff class.

    Examples:
        >>> [_stuff_words(name) for name in ("wall-brick", "sky-other", "door-stuff", "window-blind", "floor-wood")]
        ['brick wall', 'sky', 'door', 'window blind', 'wood floor']
    """
    thing, _, kind = name.partition("-")
    if kind in ("", "other", "stuff"):
        return thing
    return f"{thing} {kind}" if thing == "window" else f"{kind} {thing}"


def _voc(folder: Path, split: str | None) -> TruthSource | None:
    root = voc_root(folder)
    return None if root is None else voc_source(root, split or "val")


def _context(folder: Path, split: str | None) -> TruthSource | None:
    root = context_root(folder)
    return None if root is None else context_source(root, split or "val")


def _ade20k(folder: Path, split: str | None) -> TruthSource | None:
    return ade20k_source(folder, split or "validation") if is_ade20k(folder) else None


_OPEN: Mapping[str, Callable[[Path, str | None], TruthSource | None]] = {
    "voc20": _voc,
    "voc21": _voc,
    "context59": _context,
    "context60": _context,
    "coco-object": lambda folder, split: coco_object(folder, split or "val2017"),
    "coco-stuff": lambda folder, split: coco_stuff(folder, split or "val2017"),
    "cityscapes": lambda folder, split: cityscapes(folder, split or "val"),
    "ade20k": _ade20k,
}

_VOC_LAYOUT = "JPEGImages, SegmentationClass and ImageSets/Segmentation, in VOC2012 or above it"
_CONTEXT_LAYOUT = "JPEGImages, SegmentationClassContext and ImageSets/SegmentationContext, in VOC2010 or above it"
_COCO_LAYOUT = "images/val2017/*.jpg and annotations/val2017/*"
_STUFF = {name: _stuff_words(name) for name in COCO_STUFF} | _COCO_WORDS

SEGMENTATION_SETS: Mapping[str, SegmentationSet] = {
    one.name: one
    for one in (
        SegmentationSet(
            "voc20", VOC_NAMES[1:], _prompts(VOC_NAMES[1:], _VOC_WORDS), 1, False, (), "openai", _published("voc20"),
            _VOC_LAYOUT, "train",
        ),
        SegmentationSet(
            "voc21", VOC_NAMES[1:], _prompts(VOC_NAMES[1:], _VOC_WORDS), 1, True, _NO_OBJECT, "openai",
            _published("voc21"), _VOC_LAYOUT, "train",
        ),
        SegmentationSet(
            "context59", CONTEXT_NAMES[1:], _prompts(CONTEXT_NAMES[1:], _CONTEXT_WORDS), 1, False, (), "openai",
            _published("context59"), _CONTEXT_LAYOUT, "train",
        ),
        SegmentationSet(
            "context60", CONTEXT_NAMES[1:], _prompts(CONTEXT_NAMES[1:], _CONTEXT_WORDS), 1, True, (), "openai",
            _published("context60"), _CONTEXT_LAYOUT, "train",
        ),
        SegmentationSet(
            "coco-object", COCO_OBJECTS, _prompts(COCO_OBJECTS, _COCO_WORDS), 1, True, _NO_OBJECT, "openai",
            _published("coco-object"), f"{_COCO_LAYOUT}_instanceTrainIds.png", "train2017",
        ),
        SegmentationSet(
            "coco-stuff", (*COCO_OBJECTS, *COCO_STUFF), _prompts((*COCO_OBJECTS, *COCO_STUFF), _STUFF), 0, False, (),
            "openai", _published("coco-stuff"), f"{_COCO_LAYOUT}_labelTrainIds.png", "train2017",
        ),
        SegmentationSet(
            "cityscapes", CITYSCAPES_NAMES, _prompts(CITYSCAPES_NAMES, _CITYSCAPES_WORDS), 0, False, (), "openai",
            _published("cityscapes"), "leftImg8bit/val/CITY and gtFine/val/CITY", "train",
        ),
        SegmentationSet(
            "ade20k", ADE20K_NAMES, _prompts(ADE20K_NAMES, _ADE20K_WORDS), 0, False, (), "openai",
            _published("ade20k"), "ADEChallengeData2016's images and annotations", "training",
        ),
        SegmentationSet(
            "playground", CLASSES, _prompts(CLASSES), 1, True, (), "none", {},
            "a name such as playground:3006:300:192, or the folder of `dinoclip playground draw`",
        ),
    )
}  # fmt: skip
"""Name -> benchmark; the results of voc20 and context59 exclude pixels of the background."""
