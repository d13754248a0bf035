"""Synthetic scenes with ground truth: `draw` and `stream`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.playground.captions import captions
from dinoclip_viz.playground.layout import MOST_OBJECTS, Layout, Look, sample_layout, sample_look
from dinoclip_viz.playground.render import ground_truth, render

SMALLEST, LARGEST = 16, 2048


class SceneObject(TypedDict):
    """One object of a scene: class, colour, and the box (x0, y0, x1, y1) of its visible pixels."""

    name: str
    colour: str
    box: list[int]


@dataclass(frozen=True)
class Scene:
    """A synthetic image with its ground truth.

    Attributes:
        image: RGB image, size x size.
        mask: (size, size) uint8, index into CLASSES + 1, 0 background.
        parts: (size, size) uint8, index into PARTS + 1, 0 background.
        instances: (size, size) uint8, index into `objects` + 1, 0 background.
        depth: (size, size) float32, metres, from a camera 1.5 m above a ground plane; the sky is at 40.
        captions: the first states size, colour, position and background; the others omit words at random.
        objects: name, colour and box of each object; a fully occluded object has an empty box.
        background: one of `BACKGROUNDS`.
    """

    image: Image.Image
    mask: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    depth: NDArray[np.float32]
    captions: list[str]
    objects: list[SceneObject]
    background: str


def draw(seed: int = 1000, count: int = 8, size: int = 96, objects: int | None = None) -> list[Scene]:
    """`count` scenes; scene i depends on the seed, i, the size and `objects` only.

    Args:
        seed: 0 or more. The embedded models were trained on seeds below 1000; evaluate on others.
        count: number of scenes, 0 or more.
        size: side in pixels, 16 to 2048.
        objects: number of objects per scene, 1 to 8; by default 1 to 4 at random.

    Raises:
        ValueError: an argument is out of its range.

    Examples:
        >>> scene = draw(seed=1000, count=1, size=96, objects=1)[0]
        >>> scene.image.size, scene.mask.shape, len(scene.objects)
        ((96, 96), (96, 96), 1)
    """
    return list(stream(seed, count, size, objects))


def stream(seed: int, count: int, size: int, objects: int | None = None) -> Iterator[Scene]:
    """The scenes of `draw`, one at a time, with constant memory. Arguments as for `draw`.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check(seed, count, size, objects)
    return (_scene(seed, index, size, objects) for index in range(count))


def sample(seed: int, index: int, objects: int | None = None, look: int = 0) -> tuple[Layout, Look]:
    """Layout and look of one scene; another `look` index gives the same layout in another look."""
    layout = sample_layout(np.random.default_rng([seed, index, 0]), objects)
    return layout, sample_look(np.random.default_rng([seed, index, 1 + look]), layout)


def words(seed: int, index: int, layout: Layout, look: Look) -> list[str]:
    """The captions of one scene."""
    return captions(layout, look, np.random.default_rng([seed, index, 1, 1]))


def _scene(seed: int, index: int, size: int, objects: int | None) -> Scene:
    layout, look = sample(seed, index, objects)
    image, pieces = render(layout, look, size)
    known = ground_truth(layout, look, pieces)
    return Scene(
        image=image,
        mask=known.mask,
        parts=known.parts,
        instances=known.instances,
        depth=known.depth,
        captions=words(seed, index, layout, look),
        objects=[
            SceneObject(name=thing.name, colour=colour, box=_box(known.instances == number))
            for number, (thing, colour) in enumerate(zip(layout.things, look.colours, strict=True), start=1)
        ],
        background=look.background,
    )


def _box(seen: NDArray[np.bool_]) -> list[int]:
    """(x0, y0, x1, y1) around the True pixels, x1 and y1 exclusive; zeros if there are none."""
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0]
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def _check(seed: int, count: int, size: int, objects: int | None) -> None:
    if seed < 0:
        raise ValueError(f"seed is {seed}; expected 0 or more")
    if count < 0:
        raise ValueError(f"count is {count}; expected 0 or more")
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size is {size} pixels; expected {SMALLEST} to {LARGEST}")
    if objects is not None and not 1 <= objects <= MOST_OBJECTS:
        raise ValueError(f"objects is {objects}; expected 1 to {MOST_OBJECTS}, or None for 1 to 4 at random")
