"""Questions about held-out scenes, by which vision-language models are measured: the same ones for every model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from dinoclip_viz.playground.questions import ANSWER, Asked, Facts, questions, referring
from dinoclip_viz.playground.shapes.geometry import Chance
from dinoclip_viz.playground.world import Scene, stream

MOST_EXPRESSIONS = 3
"""Referring expressions per scene."""


@dataclass(frozen=True)
class HeldOut:
    """A scene with its questions.

    Attributes:
        scene: the scene.
        visible: indices of its visible objects.
        expressions: (text, index in `visible`), each true of one object of a class with two or more.
        asked: one question of every kind with a short answer that the scene has.
    """

    scene: Scene
    visible: tuple[int, ...]
    expressions: tuple[tuple[str, int], ...]
    asked: tuple[Asked, ...]


def held_out(seed: int, count: int, size: int = 96, objects: int | None = None) -> Iterator[HeldOut]:
    """Scenes with their questions; those of scene i depend on the seed, i, size and objects only.

    Args:
        seed, count, size, objects: as in `draw`; models are measured on seeds from 1000 on.

    Raises:
        ValueError: an argument is out of its range.

    Examples:
        >>> one = next(held_out(3000, 1))
        >>> len(one.visible), [each.kind for each in one.asked][:2]
        (2, ['colour', 'count'])
    """
    return (
        _of(scene, Chance(np.random.default_rng([seed, n, 4])))
        for n, scene in enumerate(stream(seed, count, size, objects))
    )


def _of(scene: Scene, chance: Chance) -> HeldOut:
    facts = Facts.of(scene)
    counted = facts.counted()
    twins = [(words, at) for words, at in referring(facts) if counted[facts.objects[at]["name"]] > 1]
    order = sorted(range(len(twins)), key=lambda _: chance())[:MOST_EXPRESSIONS]
    asked = [one for one in questions(facts, chance) if one.prompt.startswith(ANSWER)]
    return HeldOut(scene, facts.numbers, tuple(twins[n] for n in sorted(order)), tuple(asked))
