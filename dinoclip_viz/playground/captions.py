"""Captions of scenes from a small grammar: colour, size, count, position and background."""

from __future__ import annotations

from collections import Counter

import numpy as np

from dinoclip_viz.playground.layout import Layout, Look, Thing
from dinoclip_viz.playground.shapes.geometry import Chance
from dinoclip_viz.playground.vocabulary import BACKGROUNDS, plural

NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight"}
OPENINGS = ("", "", "", "a photo of ", "a picture of ", "a drawing of ", "an image of ")


def article(words: str) -> str:
    """The words with "a" or "an" before them.

    Examples:
        >>> article("orange cat")
        'an orange cat'
    """
    return ("an " if words[0].lower() in "aeiou" else "a ") + words


class _Grammar:
    """Phrases for one scene; `whole` states every attribute, otherwise attributes are omitted at random."""

    def __init__(self, layout: Layout, look: Look, chance: Chance, whole: bool) -> None:
        self.layout, self.look, self.chance, self.whole = layout, look, chance, whole

    def states(self, probability: float) -> bool:
        return self.whole or self.chance() < probability

    def phrase(self, index: int) -> str:
        thing = self.layout.things[index]
        words = [thing.size] if thing.size and self.states(0.5) else []
        if self.states(0.8):
            words.append(self.look.colours[index])
        return article(" ".join([*words, thing.name]))

    def counted(self, name: str) -> str:
        members = [i for i, thing in enumerate(self.layout.things) if thing.name == name]
        rest = [self.phrase(i) for i in range(len(self.layout.things)) if i not in members]
        colours = {self.look.colours[i] for i in members}
        if len(colours) == 1:
            colour = f"{colours.pop()} " if self.states(0.8) else ""
            return " and ".join([f"{NUMBERS[len(members)]} {colour}{plural(name)}", *rest])
        if self.whole:
            return " and ".join([self.phrase(i) for i in members] + rest)
        return " and ".join([f"{NUMBERS[len(members)]} {plural(name)}", *rest])

    def related(self) -> str:
        first, second = self.layout.things[:2]
        words = f"{self.phrase(0)} {relation(first, second)} {self.phrase(1)}"
        return " and ".join([words, *(self.phrase(i) for i in range(2, len(self.layout.things)))])

    def listed(self) -> str:
        order = list(range(len(self.layout.things)))
        for last in range(len(order) - 1, 0, -1):
            other = self.chance.below(last + 1)
            order[last], order[other] = order[other], order[last]
        phrases = [self.phrase(i) for i in order]
        return ", ".join(phrases[:-1]) + " and " + phrases[-1]


def relation(first: Thing, second: Thing) -> str:
    """Position of the first thing relative to the second."""
    across, down = first.x - second.x, first.y - second.y
    if abs(across) > abs(down):
        return "left of" if across < 0 else "right of"
    return "above" if down < 0 else "below"


def _caption(layout: Layout, look: Look, chance: Chance, whole: bool) -> str:
    grammar = _Grammar(layout, look, chance, whole)
    name, count = Counter(thing.name for thing in layout.things).most_common(1)[0]
    if len(layout.things) == 1:
        words = grammar.phrase(0)
    elif count > 1:
        words = grammar.counted(name)
    elif whole or chance() < 0.5:
        words = grammar.related()
    else:
        words = grammar.listed()
    if look.background in BACKGROUNDS and grammar.states(0.7):
        words = f"{words} {BACKGROUNDS[look.background]}"
    if whole:
        return words
    words = OPENINGS[chance.below(len(OPENINGS))] + words
    return words.replace("gray", "grey") if chance() < 0.3 else words


def captions(layout: Layout, look: Look, generator: np.random.Generator, count: int = 4) -> list[str]:
    """`count` captions; the first states size, colour, position and background, the others omit words at random."""
    chance = Chance(generator)
    return [_caption(layout, look, chance, whole=index == 0) for index in range(count)]
