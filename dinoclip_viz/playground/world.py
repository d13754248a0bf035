"""Synthetic scenes with ground truth: `draw` and `stream`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.playground.actions import action_caption
from dinoclip_viz.playground.captions import captions
from dinoclip_viz.playground.domains import DOMAINS, changed
from dinoclip_viz.playground.layout import MOST_OBJECTS, Layout, Look, natural_look, sample_layout, sample_look
from dinoclip_viz.playground.paraphrases import paraphrase
from dinoclip_viz.playground.render import CLASS_NUMBER, PART_NUMBER, ground_truth, render
from dinoclip_viz.playground.shapes.geometry import Chance
from dinoclip_viz.playground.vocabulary import ACTIONS

SMALLEST, LARGEST = 16, 2048
WORLDS = (1, 2)


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
        captions: the first states size, colour, position and background; the next three omit words at random. In world
            2 two more mention actions, and the last is a paraphrase of the first.
        objects: name, colour and box of each object; a fully occluded object has an empty box.
        background: one of `BACKGROUNDS`; in world 2 also "photograph".
    """

    image: Image.Image
    mask: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    depth: NDArray[np.float32]
    captions: list[str]
    objects: list[SceneObject]
    background: str

    @property
    def affordances(self) -> NDArray[np.uint8]:
        """(V, size, size) uint8, 1 where the part of an object affords each of the V actions of `ACTIONS`."""
        table = np.zeros((len(ACTIONS), len(CLASS_NUMBER) + 1, len(PART_NUMBER) + 1), np.uint8)
        for number, pairs in enumerate(ACTIONS.values()):
            for name, part in pairs:
                table[number, CLASS_NUMBER[name], PART_NUMBER[part]] = 1
        masks: NDArray[np.uint8] = table[:, self.mask, self.parts]
        return masks


def draw(
    seed: int = 1000, count: int = 8, size: int = 96, objects: int | None = None, *, world: int = 1,
    domain: str | None = None,
) -> list[Scene]:  # fmt: skip
    """`count` scenes; scene i depends on the seed, i and the other arguments only.

    Args:
        seed: 0 or more. The embedded models were trained on seeds below 1000; evaluate on others.
        count: number of scenes, 0 or more.
        size: side in pixels, 16 to 2048.
        objects: number of objects per scene, 1 to 8; by default 1 to 4 at random.
        world: 2 adds natural textures, photographs as backgrounds (scikit-image is required) and captions that mention
            actions to the scenes of world 1, whose layouts are the same. Models are evaluated on world 1.
        domain: one of `DOMAINS`, in which the same scenes look different; None leaves them unchanged.

    Raises:
        ValueError: an argument is out of its range.

    Examples:
        >>> scene = draw(seed=1000, count=1, size=96, objects=1)[0]
        >>> scene.image.size, scene.mask.shape, len(scene.objects)
        ((96, 96), (96, 96), 1)
    """
    return list(stream(seed, count, size, objects, world=world, domain=domain))


def stream(
    seed: int, count: int, size: int, objects: int | None = None, *, world: int = 1, domain: str | None = None
) -> Iterator[Scene]:
    """The scenes of `draw`, one at a time, with constant memory. Arguments as for `draw`.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check(seed, count, size, objects)
    _check_world(world, domain)
    return (_scene(seed, index, size, objects, world, domain) for index in range(count))


def draw_one(
    seed: int, index: int, size: int = 96, objects: int | None = None, *, world: int = 1, domain: str | None = None
) -> Scene:
    """The scene of one index, without those before it. Arguments as for `draw`.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check(seed, index, size, objects)
    _check_world(world, domain)
    return _scene(seed, index, size, objects, world, domain)


def sample(seed: int, index: int, objects: int | None = None, look: int = 0, *, world: int = 1) -> tuple[Layout, Look]:
    """Layout and look of one scene; another `look` index gives the same layout in another look."""
    layout = sample_layout(np.random.default_rng([seed, index, 0]), objects)
    seen = sample_look(np.random.default_rng([seed, index, 1 + look]), layout)
    return layout, seen if world == 1 else natural_look(np.random.default_rng([seed, index, 1 + look, 2]), seen)


def words(seed: int, index: int, layout: Layout, look: Look, *, world: int = 1) -> list[str]:
    """The captions of one scene: four, and three more in world 2."""
    first = captions(layout, look, np.random.default_rng([seed, index, 1, 1]))
    if world == 1:
        return first
    chance = Chance(np.random.default_rng([seed, index, 1, 2]))
    told = [action_caption(layout, look, chance, named) or first[number] for named, number in ((True, 1), (False, 2))]
    return [*first, *told, paraphrase(layout, look, chance)]


def _scene(seed: int, index: int, size: int, objects: int | None, world: int, domain: str | None) -> Scene:
    layout, look = sample(seed, index, objects, world=world)
    change = DOMAINS[domain].layout if domain else None
    layout = change(layout) if change else layout
    image, pieces = render(layout, look, size)
    known = ground_truth(layout, look, pieces)
    if domain:
        image, known = changed(image, pieces, known, domain, np.random.default_rng([seed, index, 3]))
    return Scene(
        image=image,
        mask=known.mask,
        parts=known.parts,
        instances=known.instances,
        depth=known.depth,
        captions=words(seed, index, layout, look, world=world),
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


def _check_world(world: int, domain: str | None) -> None:
    if world not in WORLDS:
        raise ValueError(f"world is {world!r}; expected 1 or 2")
    if domain is not None and domain not in DOMAINS:
        raise ValueError(f"domain {domain!r} is unknown; expected one of {', '.join(DOMAINS)}, or None")
