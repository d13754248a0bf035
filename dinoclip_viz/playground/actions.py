"""Captions that mention what the objects of a scene are for: "something to cut with", "a cup to hold by its handle"."""

from __future__ import annotations

from dinoclip_viz.playground.captions import article
from dinoclip_viz.playground.layout import Layout, Look
from dinoclip_viz.playground.shapes.geometry import Chance
from dinoclip_viz.playground.vocabulary import ACTIONS, BACKGROUNDS, SYNONYMS

FORMS: dict[str, tuple[str, ...]] = {
    "hold": ("{thing} to {verb} by its {part}", "{thing} with a {part} to {verb}"),
    "cut": ("{thing} to {verb} with", "{thing} with a {part} to {verb} with"),
    "hit": ("{thing} to {verb} with", "{thing} with a {part} to {verb} with"),
    "contain": ("{thing} to drink from", "{thing} that can {verb}", "{thing} that can {verb} with coffee"),
    "sit on": ("{thing} to {verb}", "{thing} with a {part} to {verb}"),
    "lean on": ("{thing} to {verb}", "{thing} with a {part} to {verb}"),
    "open": ("{thing} to enter", "{thing} with a {part} to {verb}", "{thing} with a {part} to go in"),
    "ride": ("{thing} to {verb}", "{thing} you can {verb}"),
    "look through": ("{thing} with windows to {verb}", "{thing} with a window you can {verb}"),
    "fly": ("{thing} that can {verb}", "{thing} with wings to {verb}"),
    "sail": ("{thing} to {verb}", "{thing} that can {verb}"),
    "eat": ("{thing} to {verb}", "{thing} you can {verb}"),
}
"""Action -> templates of captions."""

NOUNS = ("something", "a thing", "an object")


def afforded(name: str) -> list[tuple[str, str]]:
    """The (action, part) pairs of a class.

    Examples:
        >>> afforded("knife")
        [('hold', 'handle'), ('cut', 'blade')]
    """
    return [(action, part) for action, pairs in ACTIONS.items() for owner, part in pairs if owner == name]


def action_caption(layout: Layout, look: Look, chance: Chance, named: bool) -> str | None:
    """A caption about an action that an object of the scene affords; None where none does.

    Args:
        layout, look: of the scene.
        chance: random numbers.
        named: name the object, as in "a red knife to cut with"; otherwise as in "something to cut with".
    """
    able = [index for index, thing in enumerate(layout.things) if afforded(thing.name)]
    if not able:
        return None
    index = able[chance.below(len(able))]
    thing = layout.things[index]
    pairs = afforded(thing.name)
    action, part = pairs[chance.below(len(pairs))]
    if named:
        colour = f"{look.colours[index]} " if chance() < 0.7 else ""
        noun = article(colour + thing.name)
    else:
        noun = NOUNS[chance.below(len(NOUNS))]
    forms = FORMS[action]
    verbs = (action, *SYNONYMS[action]) if action != "contain" else SYNONYMS[action]
    words = forms[chance.below(len(forms))].format(thing=noun, verb=verbs[chance.below(len(verbs))], part=part)
    where = BACKGROUNDS.get(look.background)
    doubled = where is not None and words.split()[-1] == where.split()[0]  # "to sit on on sand"
    return f"{words} {where}" if where and not doubled and chance() < 0.4 else words
