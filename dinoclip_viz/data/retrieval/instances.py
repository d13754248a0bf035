"""Data sets for instance retrieval: queries, a gallery, and which of its images show each query's very object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from dinoclip_viz.data.base import Sample, Source
from dinoclip_viz.data.playground import PlaygroundSource
from dinoclip_viz.playground.render import render
from dinoclip_viz.playground.world import sample

Lists = Mapping[str, tuple[int, ...]]
"""One query's "easy", "hard" and "junk": numbers of samples of the gallery."""

VIEWS = ("query", "easy", "hard")
_SIDES = {"query": (0.8, 0.95), "easy": (0.8, 0.95), "hard": (0.5, 0.65)}  # of the crop, as fractions of the scene's
_SHAKES = {"query": 0.0, "easy": 0.1, "hard": 0.3}  # of brightness, contrast and saturation
_INSIDE = 0.25  # the object's centre lies at least so far from a crop's edges, as a fraction of the crop's side


@dataclass(frozen=True)
class InstanceSet:
    """What instance retrieval is measured on.

    Attributes:
        name: as a person would name it.
        queries: Q images, one object each, cropped as the data set has it.
        gallery: N images.
        ground truth: Q times the lists of the gallery's samples.
    """

    name: str
    queries: Source
    gallery: Source
    truth: tuple[Lists, ...]


@dataclass(frozen=True)
class SampleList:
    """A source over samples that are known one by one.

    Attributes:
        name: the source's name.
        listed: its samples.
    """

    name: str
    listed: tuple[Sample, ...]

    @property
    def count(self) -> int | None:
        """How many samples."""
        return len(self.listed)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples from number `start` on."""
        return iter(self.listed[start:])


@dataclass(frozen=True)
class DrawnView:
    """One view of a playground scene, drawn when it is called: a crop round its first object, its light shaken.

    Attributes:
        scene: the source that the scene is of.
        index: number of the scene.
        view: "query" and "easy" show 80 to 95 % of the scene's side; "hard" 50 to 65 %, in another light.
    """

    scene: PlaygroundSource
    index: int
    view: str

    def __call__(self) -> Image.Image:
        """The RGB image, as large as the source's scenes."""
        layout, look = sample(self.scene.seed, self.index, self.scene.objects)
        image = render(layout, look, 2 * self.scene.size)[0]
        chance = np.random.default_rng([self.scene.seed, self.index, VIEWS.index(self.view)])
        side = chance.uniform(*_SIDES[self.view])
        thing = layout.things[0]
        corner = []
        for centre in (thing.x, thing.y):
            at = centre - side * chance.uniform(_INSIDE, 1 - _INSIDE)
            corner.append(min(max(at, 0.0), 1 - side))
        pixels = [value * image.width for value in (*corner, corner[0] + side, corner[1] + side)]
        square = (self.scene.size, self.scene.size)
        seen = image.resize(square, Image.Resampling.LANCZOS, (pixels[0], pixels[1], pixels[2], pixels[3]))
        for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            shake = _SHAKES[self.view]
            seen = change(seen).enhance(chance.uniform(1 - shake, 1 + shake))
        return seen


def drawn_instances(scenes: PlaygroundSource) -> InstanceSet:
    """Every scene seen three times: as a query, and in the gallery in an easy and in a hard view.

    A scene drawn again in other colours would be another object, so an instance is one scene in different crops and
    light, and the views of other scenes are distractors; scenes have classes, colours and backgrounds in
    common. Easy: nearly the same crop. Hard: half of the scene's side, shifted, brightness, contrast and saturation
    shaken by up to 30 %.

    Examples:
        >>> views = drawn_instances(PlaygroundSource(2000, 2, objects=1))
        >>> views.gallery.count, views.truth[1]
        (4, {'easy': (2,), 'hard': (3,)})
    """

    def seen(index: int, view: str) -> Sample:
        return Sample(f"{scenes.seed}-{index:06d}-{view}", DrawnView(scenes, index, view))

    numbers = range(scenes.count)
    queries = tuple(seen(index, "query") for index in numbers)
    gallery = tuple(seen(index, view) for index in numbers for view in ("easy", "hard"))
    truth = tuple({"easy": (2 * index,), "hard": (2 * index + 1,)} for index in numbers)
    name = f"{scenes.name}, views"
    return InstanceSet(name, SampleList(name, queries), SampleList(name, gallery), truth)
