"""Paraphrases of captions: everything that the first caption of a scene states, in other words and another order."""

from __future__ import annotations

from collections import Counter

from dinoclip_viz.playground.captions import article, relation
from dinoclip_viz.playground.layout import Layout, Look
from dinoclip_viz.playground.shapes.geometry import Chance
from dinoclip_viz.playground.vocabulary import plural

CLASS_WORDS: dict[str, tuple[str, ...]] = {
    "cat": ("feline", "kitty"),
    "dog": ("hound", "doggy"),
    "elephant": ("animal with a trunk", "jumbo"),
    "bird": ("feathered animal", "winged animal with a beak"),
    "fish": ("animal with fins", "swimmer with gills"),
    "butterfly": ("insect with wings", "winged insect"),
    "car": ("automobile", "motor car"),
    "bus": ("coach", "omnibus"),
    "boat": ("sailing ship", "ship"),
    "plane": ("aircraft", "airplane"),
    "bicycle": ("bike", "two-wheeler"),
    "tree": ("plant with a trunk", "woody plant"),
    "flower": ("blossom", "bloom"),
    "mushroom": ("toadstool", "fungus"),
    "house": ("building", "home"),
    "cup": ("mug", "coffee mug"),
    "knife": ("cutting tool", "blade with a handle"),
    "hammer": ("mallet", "tool for nails"),
    "umbrella": ("parasol", "brolly"),
    "chair": ("seat with a back", "piece of furniture"),
}
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("crimson", "scarlet"),
    "orange": ("tangerine",),
    "yellow": ("golden", "lemon"),
    "green": ("emerald",),
    "blue": ("azure", "navy"),
    "purple": ("violet",),
    "pink": ("rose",),
    "brown": ("chestnut",),
    "white": ("snowy", "ivory"),
    "black": ("dark", "ebony"),
    "gray": ("grey", "silver"),
}
SIZE_WORDS: dict[str, tuple[str, ...]] = {"small": ("little", "tiny"), "big": ("large", "huge")}
RELATION_WORDS: dict[str, tuple[str, ...]] = {
    "left of": ("to the left of", "on the left side of"),
    "right of": ("to the right of", "on the right side of"),
    "above": ("over", "higher than"),
    "below": ("under", "beneath"),
}
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
BACKGROUND_WORDS: dict[str, tuple[str, ...]] = {
    "grass": ("in a meadow", "on a lawn"),
    "sea": ("on the ocean", "on the water"),
    "sand": ("on a beach", "in the desert"),
    "sky": ("up in the air", "among the clouds"),
    "brick": ("in front of a wall", "before bricks"),
    "night": ("in the dark", "under the stars"),
    "plain": ("with nothing behind", "on an empty background"),
    "snow": ("in winter", "on frozen ground"),
}
COUNT_WORDS = {2: "a pair of", 3: "a trio of", 4: "a group of four", 5: "5", 6: "6", 7: "7", 8: "8"}


def _one(chance: Chance, options: tuple[str, ...]) -> str:
    return options[chance.below(len(options))]


def _phrase(layout: Layout, look: Look, chance: Chance, index: int) -> str:
    thing = layout.things[index]
    size = [_one(chance, SIZE_WORDS[thing.size])] if thing.size else []
    return article(" ".join([*size, _one(chance, COLOUR_WORDS[look.colours[index]]), _name(chance, thing.name)]))


def _name(chance: Chance, name: str) -> str:
    """The class by another word, in one case of five by its own."""
    return name if chance() < 0.2 else _one(chance, CLASS_WORDS[name])


def _pair(layout: Layout, look: Look, chance: Chance) -> str:
    """Two things and their positions, from the first or the second."""
    first, second = layout.things[:2]
    where = relation(first, second)
    phrases = [_phrase(layout, look, chance, index) for index in (0, 1)]
    if chance() < 0.5:
        return f"{phrases[0]} {_one(chance, RELATION_WORDS[where])} {phrases[1]}"
    return f"{phrases[1]} {_one(chance, RELATION_WORDS[OPPOSITE[where]])} {phrases[0]}"


def _several(layout: Layout, look: Look, chance: Chance, members: list[int]) -> str:
    """Things of one class, counted if they have one colour."""
    name, colours = layout.things[members[0]].name, {look.colours[index] for index in members}
    if len(colours) > 1:
        return " and ".join(_phrase(layout, look, chance, index) for index in members)
    colour = _one(chance, COLOUR_WORDS[colours.pop()])
    return f"{COUNT_WORDS[len(members)]} {colour} {_plural(chance, name)}"


def _plural(chance: Chance, name: str) -> str:
    words = _name(chance, name)
    head, *rest = words.split(" with ") if " with " in words else words.split(" for ")
    joint = " with " if " with " in words else " for "
    known = {
        "fungus": "fungi", "doggy": "doggies", "kitty": "kitties", "brolly": "brollies", "omnibus": "omnibuses",
    }  # fmt: skip
    several = known.get(head, plural(head) if head == name else head + ("es" if head.endswith(("sh", "ch")) else "s"))
    several = several.replace("piece of furnitures", "pieces of furniture")
    return joint.join([several, *rest])


def paraphrase(layout: Layout, look: Look, chance: Chance) -> str:
    """What the first caption of a scene states, in other words and in another order."""
    name, count = Counter(thing.name for thing in layout.things).most_common(1)[0]
    every = range(len(layout.things))
    if count > 1:
        named = [index for index in every if layout.things[index].name == name]
        words = _several(layout, look, chance, named)
    elif len(layout.things) > 1:
        named, words = [0, 1], _pair(layout, look, chance)
    else:
        named, words = [0], _phrase(layout, look, chance, 0)
    rest = [_phrase(layout, look, chance, index) for index in every if index not in named]
    words = " next to ".join([words, *rest]) if chance() < 0.5 else " as well as ".join([words, *rest])
    if look.background not in BACKGROUND_WORDS:
        return words
    where = _one(chance, BACKGROUND_WORDS[look.background])
    return f"{where}, {words}" if chance() < 0.35 else f"{words} {where}"
