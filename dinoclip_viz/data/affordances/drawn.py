"""The playground's actions as a source of affordances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.data.affordances.base import AffordanceImage
from dinoclip_viz.data.base import SourceError
from dinoclip_viz.playground import ACTIONS, CLASSES, Scene, stream
from dinoclip_viz.playground.world import draw_one, sample

LEAST = 0.0005
"""Smallest fraction of an image's pixels that counts as an answer to a verb."""
EXAMPLE_LEAST = 0.003
"""The same of every part of an example; a scene that shows less is passed over."""
EXAMPLE_SEED = 700
"""Seed of the examples of draw 0; those of the next draws follow. Below 1000, as of all training scenes."""
DRAWS = 100
SIZE = 192
_TRIES = 5_000


@dataclass(frozen=True)
class DrawnAffordances:
    """Scenes with the parts that afford each action; scenes that afford none are skipped.

    Attributes:
        seed: of the scenes, 0 or more.
        count: number of scenes that are drawn.
        size: side in pixels.
        objects: number of objects per scene; None for 1 to 4 at random.
    """

    seed: int = 3000
    count: int = 300
    size: int = SIZE
    objects: int | None = None

    def __post_init__(self) -> None:
        """Checks the ranges; nothing is drawn."""
        try:
            stream(self.seed, self.count, self.size, self.objects)
        except ValueError as error:
            raise SourceError(f"{self.name}: {error}") from error

    @property
    def name(self) -> str:
        """The name for `open_affordances`."""
        return f"playground:{self.seed}:{self.count}:{self.size}" + (f":{self.objects}" if self.objects else "")

    @property
    def verbs(self) -> tuple[str, ...]:
        """The actions."""
        return tuple(ACTIONS)

    @property
    def hard(self) -> bool:
        """True: targets are masks."""
        return True

    def images(self) -> Iterator[AffordanceImage]:
        """The scenes that afford an action, each with the targets of these."""
        for index, scene in enumerate(stream(self.seed, self.count, self.size, self.objects)):
            found = drawn_targets(scene, LEAST)
            if found:
                objects = {verb: affording(scene, verb) for verb in found}
                yield AffordanceImage(f"{self.seed}-{index:06d}", "", scene.image, found, objects)

    def examples(self, draw: int = 0, classes: Sequence[str] | None = None) -> list[AffordanceImage]:
        """One scene of one object per class: the first that shows all parts of its object that afford an action."""
        wanted = list(CLASSES if classes is None else classes)
        unknown = sorted(set(wanted) - set(CLASSES))
        if unknown or not 0 <= draw < DRAWS:
            found = f"class {unknown[0]!r}" if unknown else f"draw {draw}"
            raise SourceError(
                f"{self.name}: found {found}; expected classes of the playground and draws 0 to {DRAWS - 1}"
            )
        return [_example(EXAMPLE_SEED + draw, name) for name in wanted]


def drawn_targets(scene: Scene, least: float) -> dict[str, NDArray[np.float32]]:
    """Action -> (size, size) mask, of the actions that more than a fraction of the pixels afford.

    Args:
        scene: with its ground truth.
        least: that fraction.
    """
    masks = scene.affordances
    return {verb: mask.astype(np.float32) for verb, mask in zip(ACTIONS, masks, strict=True) if mask.mean() > least}


def affording(scene: Scene, verb: str) -> NDArray[np.bool_]:
    """(size, size) mask of the whole objects of the classes that afford an action."""
    numbers = [CLASSES.index(name) + 1 for name, _ in ACTIONS[verb]]
    found: NDArray[np.bool_] = np.isin(scene.mask, numbers)
    return found


def _example(seed: int, name: str) -> AffordanceImage:
    """The first suitable scene of a class; layouts are sampled without drawing until one is of that class."""
    own = [verb for verb, pairs in ACTIONS.items() if any(owner == name for owner, _ in pairs)]
    for index in range(_TRIES):
        if sample(seed, index, 1)[0].things[0].name != name:
            continue
        scene = draw_one(seed, index, SIZE, 1)
        found = drawn_targets(scene, EXAMPLE_LEAST)
        if list(found) == own:
            objects = {verb: affording(scene, verb) for verb in found}
            return AffordanceImage(f"{seed}-{index:06d}", name, scene.image, found, objects)
    raise SourceError(f"no scene of seed {seed} shows all parts of a {name}; expected one among {_TRIES}")
