"""Truth about every pixel: what a source of masks or depth answers, and which source a name stands for."""

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
from dinoclip_viz.playground.render import ground_truth as truth
from dinoclip_viz.playground.render import render
from dinoclip_viz.playground.world import sample

TruthKind = Literal["class", "parts", "depth"]
TRUTH_KINDS: tuple[TruthKind, ...] = ("class", "parts", "depth")

ACCEPTED = (
    "playground[:SEED:COUNT[:SIZE[:OBJECTS]]], a folder of Pascal VOC, of ADE20k, or with images/ and masks/, parts/ "
    "or depth/, or a list of NYU Depth (lines of image, depth map, focal length)"
)
_TRAINING, _TESTING = ("train", "training"), ("val", "validation", "test")
_SKY = FAR - 1e-3  # the sky of a scene, and all beyond the range of a camera, lies at FAR

_SCENE = re.compile(r"(\d{1,18})-(\d{1,18})")


@runtime_checkable
class TruthSource(Source, Protocol):
    """A source that also knows the ground truth of every pixel of its images.

    Attributes:
        kinds: which ground truth it has.
        depth_range: metres above the first and up to the second count in measures of depth.
    """

    @property
    def kinds(self) -> tuple[str, ...]:
        """Some of `TRUTH_KINDS`."""
        ...

    @property
    def depth_range(self) -> tuple[float, float]:
        """The depths that count, in metres."""
        ...

    def names(self, kind: str) -> tuple[str, ...]:
        """Class names in the order of the labels; none for depth."""
        ...

    def truth(self, key: str, kind: str) -> NDArray[np.generic]:
        """The ground truth about one image, (height, width).

        Args:
            key: the sample's.
            kind: one of `kinds`. "class" and "parts" give uint8 labels, 255 where the class is not known; "depth" gives
                float32 metres, 0 where it is not known.

        Raises:
            ImageError: the file of this ground truth is missing or broken.
            SourceError: the source has no such ground truth or no such key.
        """
        ...


@dataclass(frozen=True)
class DrawnTruth:
    """The playground with its ground truth; scenes are drawn for each question.

    Depth counts from 1 m to below 40 m: there the sky of a scene stands, which has no distance.

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
        """How many scenes."""
        return self.images.count

    @property
    def kinds(self) -> tuple[str, ...]:
        """All of them."""
        return TRUTH_KINDS

    @property
    def depth_range(self) -> tuple[float, float]:
        """All but the sky; nothing is nearer than a metre."""
        return 1.0, _SKY

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The scenes from number `start` on."""
        return self.images.samples(start)

    def names(self, kind: str) -> tuple[str, ...]:
        """Class or part names after the background."""
        listed = {"class": CLASSES, "parts": PARTS, "depth": None}
        found = listed[check_kind(self, kind)]
        return () if found is None else ("background", *found)

    def truth(self, key: str, kind: str) -> NDArray[np.generic]:
        """The scene's mask, parts or depth."""
        scene, world = _SCENE.fullmatch(key), self.images
        check_kind(self, kind)
        if not scene or int(scene[1]) != world.seed or int(scene[2]) >= world.count:
            raise SourceError(f"{self.name}: no scene {shown(key)[:40]}; expected {world.seed}-000000 and so on")
        layout, look = sample(world.seed, int(scene[2]), world.objects)
        known = truth(layout, look, render(layout, look, world.size)[1])
        if kind == "depth":
            return known.depth
        return known.mask if kind == "class" else known.parts


def open_truths(text: str | os.PathLike[str], split: str | None = None, training: bool = False) -> TruthSource:
    """The source with ground truth that a name or path stands for; its first sample is looked at.

    Args:
        text: "playground" or "playground:SEED:COUNT[:SIZE[:OBJECTS]]"; the folder of Pascal VOC (VOCdevkit or VOC2012),
            of ADE20k (ADEChallengeData2016), or one with images/ and masks/, parts/ or depth/ of the same names; NYU
            Depth's list file, or the folder that holds it.
        split: which part, where the source has parts; by default the one that `training` asks for.
        training: whether the usual part for training is meant, or the one for testing.

    Raises:
        SourceError: there is no such source, or no such part.

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
    """Each sample with its image and ground truth, or with the reason why it is invalid.

    Args:
        source: where they are from.
        kind: of ground truth.
        limit: how many samples are looked at; None for all.

    Raises:
        SourceError: the source as a whole cannot be read, or has no such ground truth.
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
    """The kind, if the source has such ground truth.

    Raises:
        SourceError: it has not.
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
        raise SourceError(f"{shown(path)}: no list of NYU Depth; expected {ACCEPTED}")
    if not name.strip() or not path.is_dir():
        raise SourceError(f"{shown(name)[:200]!r}: no such file or folder; expected {ACCEPTED}")
    if (root := voc_root(path)) is not None:
        return voc_source(root, split or usual[0])
    if is_ade20k(path):
        return ade20k_source(path, split or usual[1])
    if is_mask_folder(path):
        if split is not None:
            raise SourceError(f"{shown(path)}: has no splits; omit split {shown(split)}, or name a folder a split")
        return MaskFolderSource(path)
    if lists := nyu_lists(path):
        wanted = [file for file in lists if any(word in file.stem for word in ((split,) if split else usual))]
        if len(wanted) == 1:
            return NyuSource(wanted[0])
        names = ", ".join(file.name for file in lists)
        raise SourceError(f"{shown(path)}: the lists {names}; name the file that is meant")
    raise SourceError(f"{shown(path)}: no ground truth was found in this folder; expected {ACCEPTED}")
