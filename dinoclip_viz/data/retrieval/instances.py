"""Data sets for instance retrieval: queries, a gallery, and the gallery's images of each query's object."""

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
"""A query's "easy", "hard" and "junk": indices into the gallery."""

VIEWS = ("query", "easy", "hard")
_SIDES = {
    "query": (0.8, 0.95),
    "easy": (0.8, 0.95),
    "hard": (0.5, 0.65),
}  # the crop's, as fractions of the scene's
_CHANGES = {"query": 0.0, "easy": 0.1, "hard": 0.3}  # relative change of brightness, contrast and saturation
_INSIDE = 0.25  # least distance of the object's centre from the crop's edges, as a fraction of the crop's side


@dataclass(frozen=True)
class InstanceSet:
    """A data set for instance retrieval.

    Attributes:
        name: for display.
        queries: Q images of one object each, cropped as the data set defines.
        gallery: N images.
        truth: the ground truth, Q times the lists of samples of the gallery.
    """

    name: str
    queries: Source
    gallery: Source
    truth: tuple[Lists, ...]


@dataclass(frozen=True)
class SampleList:
    """A source of given samples.

    Attributes:
        name: the source's name.
        listed: its samples.
    """

    name: str
    listed: tuple[Sample, ...]

    @property
    def count(self) -> int | None:
        """The number of samples."""
        return len(self.listed)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples from number `start` on."""
        return iter(self.listed[start:])


@dataclass(frozen=True)
class DrawnView:
    """A view of a playground scene, drawn when called: a crop around its first object in changed light.

    Its pixels have 8 bits and need no levels.

    Attributes:
        scene: the source of the scene.
        index: the scene's index.
        view: "query" and "easy" show 80 to 95 % of the scene's side; "hard" 50 to 65 %, in different light.
    """

    scene: PlaygroundSource
    index: int
    view: str

    def __call__(self) -> Image.Image:
        """The RGB image, in the size of the source's scenes."""
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
            most = _CHANGES[self.view]
            seen = change(seen).enhance(chance.uniform(1 - most, 1 + most))
        return seen


def drawn_instances(scenes: PlaygroundSource) -> InstanceSet:
    """Three views of every scene: a query, and an easy and a hard view in the gallery.

    An instance is one scene in different crops and light. The views of other scenes, which have classes, colours and
    backgrounds in common, are distractors. Easy: nearly the same crop, light changed by up to 10 %. Hard: about half of
    the scene's side, shifted, with brightness, contrast and saturation changed by up to 30 %.

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
    ground_truth = tuple({"easy": (2 * index,), "hard": (2 * index + 1,)} for index in numbers)
    name = f"{scenes.name}, views"
    return InstanceSet(name, SampleList(name, queries), SampleList(name, gallery), ground_truth)
