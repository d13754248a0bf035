"""Vocabulary of the scenes: classes, parts, colours, backgrounds and affordances."""

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

AFFORDANCES: dict[tuple[str, str], str] = {
    ("cup", "handle"): "hold",
    ("knife", "handle"): "hold",
    ("hammer", "handle"): "hold",
    ("umbrella", "handle"): "hold",
    ("bicycle", "handle"): "hold",
    ("knife", "blade"): "cut",
    ("hammer", "head"): "hit",
    ("cup", "body"): "contain",
    ("chair", "seat"): "sit on",
    ("bicycle", "seat"): "sit on",
    ("chair", "back"): "lean on",
    ("car", "door"): "open",
    ("bus", "door"): "open",
    ("house", "door"): "open",
}
"""(class, part) -> the action that this part affords."""


def plural(name: str) -> str:
    """The plural of a class name.

    Examples:
        >>> plural("knife"), plural("cat")
        ('knives', 'cats')
    """
    return PLURALS.get(name, name + "s")
