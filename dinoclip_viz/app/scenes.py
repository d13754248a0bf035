"""Images that the page shows by itself: synthetic scenes, or photographs that were given instead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from dinoclip_viz import playground
from dinoclip_viz.app.cache import Shelf
from dinoclip_viz.app.images import GivenImage, digest_of
from dinoclip_viz.images import load_image

SIZE = 192
"""Side of a scene in pixels."""
FIRST_SCENES = {
    "zero-shot": 1043,
    "heatmap": 1002,
    "pca": 1016,
    "hover": 1026,
    "match": 1086,
    "tokens": 1009,
    "probes": 1092,
    "neighbours": 1069,
    "search": 1085,
    "ask": 1010,
    "affordances": 1026,
}
"""Seed of the scene that each tab opens with: a typical good one, chosen with tests/benchmarks/first_scenes.py."""


class Scenes:
    """The scenes drawn so far, found again by their content.

    Args:
        photographs: files that are shown instead of scenes, one after the other. Their names are what they show.
        most: number of scenes that are remembered.

    Raises:
        ImageError: a photograph cannot be read.

    Attributes:
        words: what the photographs show, the labels and prompts that tabs open with; empty for scenes.
    """

    def __init__(self, photographs: Sequence[Path] = (), most: int = 4096) -> None:
        self._known: Shelf[int] = Shelf(most)
        self._photographs = [load_image(path) for path in photographs]
        self.words = [path.stem.replace("_", " ") for path in photographs]

    @property
    def noun(self) -> str:
        """What the page calls one of its images: scene or photograph."""
        return "photograph" if self._photographs else "scene"

    def draw(self, seed: int) -> Image.Image:
        """The image of a seed's scene, which is remembered; of a photograph, whose turn comes with the seed."""
        if self._photographs:
            return self._photographs[seed % len(self._photographs)]
        image = playground.draw(seed, 1, SIZE)[0].image
        self._known.put(seed, digest_of(image))
        return image

    def scene(self, image: GivenImage) -> playground.Scene | None:
        """The scene that the image shows, with its ground truth; None for other images."""
        seed = self._known.get(image.digest)
        return None if seed is None else playground.draw(seed, 1, SIZE)[0]

    def next(self, last: int) -> tuple[int, Image.Image]:
        """The seed after the last one, and its scene."""
        return last + 1, self.draw(last + 1)

    def several(self, count: int, last: int) -> tuple[int, list[Image.Image]]:
        """The last seed used, and `count` scenes of the seeds after the last one."""
        return last + count, [self.draw(seed) for seed in range(last + 1, last + count + 1)]

    def __contains__(self, image: GivenImage) -> bool:
        return self._known.get(image.digest) is not None
