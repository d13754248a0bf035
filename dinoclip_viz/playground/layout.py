"""Layout and look of a scene: its geometry, and separately its colours, textures and background.

The two have separate random streams, so that one layout can be rendered in several looks: views with exact dense
correspondence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from dinoclip_viz.playground.shapes import TURNS, Chance, Piece, build
from dinoclip_viz.playground.vocabulary import BACKGROUNDS, CLASSES, COLOURS, TYPICAL_COLOURS

MOST_OBJECTS = 8
FAR = 40.0
"""Depth of the sky in metres, the maximum."""
SCALES = {1: (0.28, 0.46), 2: (0.2, 0.34), 3: (0.165, 0.27), 4: (0.145, 0.23)}
"""Number of objects -> smallest and largest half side of an object, as a fraction of the image's side."""

SMALL, BIG = 0.19, 0.36
"""Half sides below and above which a caption may call an object small or big."""

PHOTOGRAPHIC = 0.3
"""Fraction of the backgrounds of world 2 that are photographs."""

_COLOUR_NAMES = tuple(COLOURS)
_BACKGROUND_NAMES = tuple(BACKGROUNDS)


@dataclass(frozen=True)
class Thing:
    """One object's geometry.

    Attributes:
        name: its class.
        x, y: its centre, as fractions of the image's side.
        scale: half its side, likewise.
        pieces: its polygons as fractions of the image's side, back to front.
    """

    name: str
    x: float
    y: float
    scale: float
    pieces: tuple[Piece, ...]

    @property
    def size(self) -> str:
        """Size word of captions: "small", "big", or "" in between."""
        return "small" if self.scale < SMALL else "big" if self.scale > BIG else ""

    @property
    def bottom(self) -> float:
        """Height at which it touches the ground: its lowest point, as a fraction of the image's side."""
        return float(max(piece.points[:, 1].max() for piece in self.pieces))


@dataclass(frozen=True)
class Layout:
    """The geometry of a scene: objects as a caption lists them, and the horizon's height (0 top, 1 bottom)."""

    things: tuple[Thing, ...]
    horizon: float


@dataclass(frozen=True)
class Look:
    """The look of a scene.

    Attributes:
        background: one of `BACKGROUNDS`, or "photograph" in world 2.
        colours: a colour name for each thing.
        seed: of the random stream of colours and textures.
        nature: in world 2, of the random stream of natural textures.
    """

    background: str
    colours: tuple[str, ...]
    seed: tuple[int, ...]
    nature: tuple[int, ...] | None = None


def _position(chance: Chance, scale: float, horizon: float, taken: list[Thing]) -> tuple[float, float]:
    """The position of twelve random ones with the least overlap with earlier objects."""
    low = max(horizon + 0.1 - 0.85 * scale, 0.88 * scale)
    high = max(1 - 0.88 * scale, low)
    best, position = -math.inf, (0.5, 0.5)
    for _ in range(12):
        x, y = chance(0.88 * scale, 1 - 0.88 * scale), chance(low, high)
        gap = min((math.hypot(x - other.x, y - other.y) - 0.85 * (scale + other.scale) for other in taken), default=1.0)
        if gap > best:
            best, position = gap, (x, y)
        if gap > 0:
            break
    return position


def _stand(chance: Chance, name: str, x: float, y: float, scale: float) -> Thing:
    """An object of the class, deformed, rotated, flipped and moved to its position."""
    pieces = build(name, chance)
    wide, tall = scale * chance(0.88, 1.12), scale * chance(0.88, 1.12)
    flip = -1.0 if chance() < 0.5 else 1.0
    turn = chance(-TURNS[name], TURNS[name]) if name in TURNS else 0.1 * chance.normal()
    cosine, sine = math.cos(turn), math.sin(turn)
    affine = np.array([[cosine * wide * flip, -sine * tall], [sine * wide * flip, cosine * tall]])
    points = np.concatenate([piece.points for piece in pieces]) @ affine.T + (x, y)  # (N, 2)
    ends = np.cumsum([len(piece.points) for piece in pieces])[:-1]
    placed = tuple(
        Piece(piece.part, corners, piece.paint) for piece, corners in zip(pieces, np.split(points, ends), strict=True)
    )
    return Thing(name, x, y, scale, placed)


def sample_layout(generator: np.random.Generator, objects: int | None = None) -> Layout:
    """A scene's geometry: 1 to 4 objects, or exactly `objects`."""
    chance = Chance(generator)
    draw = chance()
    count = objects or (1 if draw < 0.4 else 2 if draw < 0.7 else 3 if draw < 0.9 else 4)
    horizon = chance(0.1, 0.34)
    low, high = SCALES.get(count, (0.5 / count, 0.85 / count))
    twins = count > 1 and chance() < 0.25
    things: list[Thing] = []
    for index in range(count):
        name = things[0].name if twins and index == 1 else CLASSES[chance.below(len(CLASSES))]
        scale = chance(low, high)
        x, y = _position(chance, scale, horizon, things)
        things.append(_stand(chance, name, x, y, scale))
    return Layout(tuple(things), horizon)


def sample_look(generator: np.random.Generator, layout: Layout) -> Look:
    """A look for a layout: a background, and per thing a colour, typical of its class in half of the cases."""
    chance = Chance(generator)
    background = _BACKGROUND_NAMES[chance.below(len(_BACKGROUND_NAMES))]
    colours: list[str] = []
    for index, thing in enumerate(layout.things):
        typical = TYPICAL_COLOURS.get(thing.name, ())
        choices = typical if typical and chance() < 0.5 else _COLOUR_NAMES
        colour = choices[chance.below(len(choices))]
        if index == 1 and thing.name == layout.things[0].name and chance() < 0.6:
            colour = colours[0]
        colours.append(colour)
    return Look(background, tuple(colours), tuple(int(v) for v in generator.integers(0, 2**31, 2)))


def natural_look(generator: np.random.Generator, look: Look) -> Look:
    """The look of world 2: natural textures, and in three cases of ten a photograph as the background."""
    chance = Chance(generator)
    background = "photograph" if chance() < PHOTOGRAPHIC else look.background
    return replace(look, background=background, nature=tuple(int(v) for v in generator.integers(0, 2**31, 2)))


def depth_at(row: float, horizon: float) -> float:
    """Depth of the ground in metres at a row (0 to 1), from a camera 1.5 m above it with a focal length of one side.

    Examples:
        >>> round(depth_at(1.0, 0.25), 2)
        2.0
    """
    return 1.5 / max(row - horizon, 1.5 / FAR)
