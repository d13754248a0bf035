"""Vocabulary of the scenes: classes, parts, colours, backgrounds and actions."""

from __future__ import annotations

CLASSES: tuple[str, ...] = (
    "cat", "dog", "elephant", "bird", "fish", "butterfly", "car", "bus", "boat", "plane",
    "bicycle", "tree", "flower", "mushroom", "house", "cup", "knife", "hammer", "umbrella", "chair",
)  # fmt: skip
"""Object classes. A mask holds the index + 1; 0 is background."""

PARTS: tuple[str, ...] = (
    "body", "head", "ear", "eye", "leg", "tail", "nose", "wing", "fin", "wheel", "window", "door", "roof", "hull",
    "sail", "mast", "frame", "canopy", "trunk", "petal", "center", "stem", "leaf", "cap", "handle", "blade", "seat",
    "back",
)  # fmt: skip
"""Object parts. A part mask holds the index + 1; 0 is background."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (210, 40, 40),
    "orange": (240, 140, 40),
    "yellow": (240, 215, 60),
    "green": (60, 160, 60),
    "blue": (50, 90, 210),
    "purple": (130, 60, 170),
    "pink": (240, 150, 190),
    "brown": (130, 85, 45),
    "white": (240, 240, 240),
    "black": (35, 35, 40),
    "gray": (135, 135, 140),
}
"""Colour names of captions -> mean sRGB value in the images."""

BACKGROUNDS: dict[str, str] = {
    "grass": "on grass",
    "sea": "on the sea",
    "sand": "on sand",
    "sky": "in the sky",
    "brick": "by a brick wall",
    "night": "at night",
    "plain": "on a plain background",
    "snow": "in the snow",
}
"""Backgrounds -> their phrase in captions."""

TYPICAL_COLOURS: dict[str, tuple[str, ...]] = {
    "tree": ("green",),
    "elephant": ("gray",),
    "mushroom": ("red", "brown"),
    "knife": ("gray",),
    "hammer": ("gray",),
    "cat": ("orange", "gray", "black"),
    "dog": ("brown", "white"),
    "fish": ("orange", "blue"),
    "bus": ("yellow", "red"),
}
"""Class -> the colours of half of its objects."""

PLURALS: dict[str, str] = {"knife": "knives", "butterfly": "butterflies", "fish": "fish", "bus": "buses"}

ACTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "hold": (
        ("cup", "handle"), ("knife", "handle"), ("hammer", "handle"), ("umbrella", "handle"), ("bicycle", "handle"),
    ),
    "cut": (("knife", "blade"),),
    "hit": (("hammer", "head"),),
    "contain": (("cup", "body"),),
    "sit on": (("chair", "seat"), ("bicycle", "seat")),
    "lean on": (("chair", "back"),),
    "open": (("car", "door"), ("bus", "door"), ("house", "door")),
    "ride": (("bicycle", "frame"), ("bicycle", "seat"), ("elephant", "body")),
    "look through": (("car", "window"), ("bus", "window"), ("house", "window"), ("plane", "window")),
    "fly": (("plane", "wing"), ("bird", "wing"), ("butterfly", "wing")),
    "sail": (("boat", "sail"), ("boat", "hull")),
    "eat": (("mushroom", "cap"), ("mushroom", "stem")),
}  # fmt: skip
"""Actions -> the (class, part) pairs that afford them."""

AFFORDANCES: dict[tuple[str, str], str] = {}
"""(class, part) -> the first of `ACTIONS` that this part affords."""
for _action, _pairs in ACTIONS.items():
    for _pair in _pairs:
        AFFORDANCES.setdefault(_pair, _action)

SYNONYMS: dict[str, tuple[str, ...]] = {
    "hold": ("grasp", "grip"),
    "cut": ("slice",),
    "hit": ("strike", "pound"),
    "contain": ("be filled",),
    "sit on": ("take a seat on", "rest on"),
    "lean on": ("lean against",),
    "open": ("enter by",),
    "ride": ("travel on",),
    "look through": ("see through",),
    "fly": ("take off",),
    "sail": ("cross the water",),
    "eat": ("taste",),
}
"""Actions -> other words for them in captions."""


def plural(name: str) -> str:
    """The plural of a class name.

    Examples:
        >>> plural("knife"), plural("cat")
        ('knives', 'cats')
    """
    return PLURALS.get(name, name + "s")
