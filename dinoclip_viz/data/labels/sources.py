"""Sources of ground truth per pixel: their interface, the playground's, and the source of a name."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.data.base import Sample, Source, SourceError
from dinoclip_viz.data.labels.ade20k import ade20k_source, is_ade20k
from dinoclip_viz.data.labels.masks import MaskFolderSource, is_mask_folder
from dinoclip_viz.data.labels.nyu import NyuSource, is_nyu_list, nyu_lists
from dinoclip_viz.data.labels.voc import voc_root, voc_source
from dinoclip_viz.data.locations import shown
from dinoclip_viz.data.playground import PlaygroundSource, playground_of
from dinoclip_viz.images import ImageError
from dinoclip_viz.playground import CLASSES, PARTS
from dinoclip_viz.playground.layout import FAR
from dinoclip_viz.playground.render import ground_truth, render
from dinoclip_viz.playground.world import sample

TruthKind = Literal["class", "parts", "depth"]
TRUTH_KINDS: tuple[TruthKind, ...] = ("class", "parts", "depth")

ACCEPTED = (
    "playground[:SEED:COUNT[:SIZE[:OBJECTS]]], a folder of Pascal VOC, of ADE20k, or with images/ and masks/, parts/ "
    "or depth/, or a list of NYU Depth (lines of image, depth map, focal length)"
)
_TRAINING, _TESTING = ("train", "training"), ("val", "validation", "test")
_SKY = FAR - 1e-3  # the sky is drawn at FAR

_SCENE = re.compile(r"(\d{1,18})-(\d{1,18})")


@runtime_checkable
class TruthSource(Source, Protocol):
    """A source with ground truth for every pixel of its images.

    Attributes:
        kinds: the available kinds of ground truth.
        depth_range: evaluated depths in metres, above the first and up to the second.
    """

    @property
    def kinds(self) -> tuple[str, ...]:
        """Some of `TRUTH_KINDS`."""
        ...

    @property
    def depth_range(self) -> tuple[float, float]:
        """The evaluated depths, in metres."""
        ...

    def names(self, kind: str) -> tuple[str, ...]:
        """Class names in the order of the labels; none for depth."""
        ...

    def truth(self, key: str, kind: str) -> NDArray[np.generic]:
        """The ground truth (height, width) of an image.

        Args:
            key: the sample's key.
            kind: one of `kinds`. "class" and "parts" are uint8 labels, 255 where unknown; "depth" is float32 metres, 0
                where unknown.

        Raises:
            ImageError: the file of the ground truth is missing or broken.
            SourceError: the source does not have this kind of ground truth, or the key.
        """
        ...


@dataclass(frozen=True)
class DrawnTruth:
    """The playground with its ground truth; scenes are drawn on every call.

    Depth is evaluated from 1 m to below 40 m, where the sky is drawn, which has no distance.

    Attributes:
        images: the source of the images.

    Examples:
        >>> source = DrawnTruth(PlaygroundSource(seed=2000, count=2))
        >>> source.truth("2000-000001", "class").shape, source.names("class")[:2]
        ((96, 96), ('background', 'cat'))
    """

    images: PlaygroundSource

    @property
    def name(self) -> str:
        """The source's name."""
        return self.images.name

    @property
    def count(self) -> int | None:
        """The number of scenes."""
        return self.images.count

    @property
    def kinds(self) -> tuple[str, ...]:
        """All of `TRUTH_KINDS`."""
        return TRUTH_KINDS

    @property
    def depth_range(self) -> tuple[float, float]:
        """All but the sky; nothing is nearer than 1 m."""
        return 1.0, _SKY

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The scenes from number `start` on."""
        return self.images.samples(start)

    def names(self, kind: str) -> tuple[str, ...]:
        """The background, then the class or part names."""
        listed = {"class": CLASSES, "parts": PARTS, "depth": None}
        found = listed[check_kind(self, kind)]
        return () if found is None else ("background", *found)

    def truth(self, key: str, kind: str) -> NDArray[np.generic]:
        """The scene's mask, parts or depth."""
        scene, scenes = _SCENE.fullmatch(key), self.images
        check_kind(self, kind)
        if not scene or int(scene[1]) != scenes.seed or int(scene[2]) >= scenes.count:
            raise SourceError(f"{self.name}: no scene {shown(key)[:40]}; expected {scenes.seed}-000000 and so on")
        layout, look = sample(scenes.seed, int(scene[2]), scenes.objects)
        known = ground_truth(layout, look, render(layout, look, scenes.size)[1])
        if kind == "depth":
            return known.depth
        return known.mask if kind == "class" else known.parts


def open_truths(text: str | os.PathLike[str], split: str | None = None, training: bool = False) -> TruthSource:
    """The source of ground truth that a name or path refers to; its first sample is read to raise errors at once.

    Args:
        text: "playground" or "playground:SEED:COUNT[:SIZE[:OBJECTS]]"; the folder of Pascal VOC (VOCdevkit or VOC2012),
            of ADE20k (ADEChallengeData2016), or one with images/ and masks/, parts/ or depth/ of the same names; NYU
            Depth's list file, or the folder that holds it.
        split: one of the source's splits; None for the usual one, given `training`.
        training: whether the usual split is that for training or that for evaluation.

    Raises:
        SourceError: the source or the split does not exist.

    Examples:
        >>> open_truths("playground:2000:3").count
        3
    """
    name = os.fspath(text)
    source = _named(name, split, _TRAINING if training else _TESTING)
    next(source.samples(), None)
    return source


def pairs(
    source: TruthSource, kind: str, limit: int | None = None
) -> Iterator[tuple[Sample, tuple[Image.Image, NDArray[np.generic]] | str]]:
    """The samples, each with its image and ground truth, or with the reason why it is invalid.

    Args:
        source: the source of images and ground truth.
        kind: the kind of ground truth.
        limit: maximum number of samples; None for all.

    Raises:
        SourceError: the source cannot be read, or does not have this kind of ground truth.
    """
    check_kind(source, kind)
    for one in islice(source.samples(), limit):
        try:
            image, known = one.load(), source.truth(one.key, kind)
        except ImageError as error:
            yield one, str(error)
            continue
        if known.shape != (image.height, image.width):
            found = f"{known.shape[1]} x {known.shape[0]}"
            yield one, f"{one.path or one.key}: {image.width} x {image.height} pixels, but its ground truth has {found}"
        else:
            yield one, (image, known)


def check_kind(source: TruthSource, kind: str) -> str:
    """The kind, if the source has ground truth of it.

    Raises:
        SourceError: the source does not have it.
    """
    if kind not in source.kinds:
        raise SourceError(f"{source.name}: no ground truth of kind {kind!r}; this source has {', '.join(source.kinds)}")
    return kind


def _named(name: str, split: str | None, usual: tuple[str, ...]) -> TruthSource:
    if name == "playground" or name.startswith("playground:"):
        if split is not None:
            raise SourceError(f"{name}: has no splits; omit split {shown(split)} and name another seed")
        return DrawnTruth(playground_of(name))
    path = Path(name).expanduser()
    if path.is_file():
        if is_nyu_list(path):
            return NyuSource(path)
        raise SourceError(f"{shown(path)}: not a list of NYU Depth; expected {ACCEPTED}")
    if not name.strip() or not path.is_dir():
        raise SourceError(f"{shown(name)[:200]!r}: no such file or folder; expected {ACCEPTED}")
    if (root := voc_root(path)) is not None:
        return voc_source(root, split or usual[0])
    if is_ade20k(path):
        return ade20k_source(path, split or usual[1])
    if is_mask_folder(path):
        if split is not None:
            raise SourceError(f"{shown(path)}: has no splits; omit split {shown(split)}, or name one folder per split")
        return MaskFolderSource(path)
    if lists := nyu_lists(path):
        wanted = [file for file in lists if any(word in file.stem for word in ((split,) if split else usual))]
        if len(wanted) == 1:
            return NyuSource(wanted[0])
        names = ", ".join(file.name for file in lists)
        raise SourceError(f"{shown(path)}: several lists, {names}; give the path of one")
    raise SourceError(f"{shown(path)}: no ground truth was found in this folder; expected {ACCEPTED}")
