"""Synthetic scenes on the page: the ones each tab opens with, and which images are scenes of the playground."""

from __future__ import annotations

from PIL import Image

from dinoclip_viz import playground
from dinoclip_viz.app.cache import Shelf
from dinoclip_viz.app.images import GivenImage, digest_of

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
        most: number of scenes that are remembered.
    """

    def __init__(self, most: int = 4096) -> None:
        self._known: Shelf[int] = Shelf(most)

    def draw(self, seed: int) -> Image.Image:
        """The image of a seed's scene, which is remembered."""
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
