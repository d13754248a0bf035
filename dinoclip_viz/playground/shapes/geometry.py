"""The polygons that objects consist of, and the random numbers that deform them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

_ANGLES = np.linspace(0, 2 * np.pi, 18, endpoint=False)
_COSINES, _SINES = np.cos(_ANGLES), np.sin(_ANGLES)


class Piece(NamedTuple):
    """One polygon of an object.

    Attributes:
        part: name of its part.
        points: (N, 2) corners in the object's own square, x to the right and y downwards.
        paint: name of the paint that fills it; see `render.FIXED_PAINTS`.
    """

    part: str
    points: Points
    paint: str


class Chance:
    """Uniform random numbers from one generator, sampled in blocks for speed."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._block: list[float] = []

    def __call__(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number between low and high."""
        if not self._block:
            self._block = self._generator.random(96).tolist()
        return low + (high - low) * self._block.pop()

    def below(self, count: int) -> int:
        """A whole number from 0 to count - 1."""
        return min(int(self() * count), count - 1)

    def normal(self) -> float:
        """A number from the standard normal distribution (Box-Muller)."""
        return math.sqrt(-2 * math.log(1.0 - self())) * math.cos(2 * math.pi * self())


def ellipse(x: float, y: float, width: float, height: float, turn: float = 0.0) -> Points:
    """An ellipse around (x, y) with the given half axes, rotated by an angle in radians."""
    across, down = width * _COSINES, height * _SINES
    if turn:
        cosine, sine = math.cos(turn), math.sin(turn)
        across, down = cosine * across - sine * down, sine * across + cosine * down
    return np.stack([x + across, y + down], axis=1)


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """An upright rectangle."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=float)


def polygon(*corners: tuple[float, float]) -> Points:
    """A polygon with these corners."""
    return np.array(corners, dtype=float)


def bar(x0: float, y0: float, x1: float, y1: float, width: float, end: float | None = None) -> Points:
    """A straight bar from one point to another, `width` wide where it starts and `end` wide where it ends."""
    length = math.hypot(x1 - x0, y1 - y0) + 1e-6
    across = np.array([-(y1 - y0), x1 - x0]) / length / 2
    start, stop = np.array([x0, y0]), np.array([x1, y1])
    last = width if end is None else end
    return np.stack([start + across * width, stop + across * last, stop - across * last, start - across * width])


def arc(x: float, y: float, radius: float, begin: float, end: float, width: float, steps: int = 9) -> Points:
    """A bent bar: the part of a ring between two angles in radians."""
    angles = np.linspace(begin, end, steps)
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    centre = np.array([x, y])
    return np.concatenate([centre + (radius + width / 2) * rays, centre + (radius - width / 2) * rays[::-1]])


def dome(x: float, y: float, width: float, height: float, steps: int = 13) -> Points:
    """The upper half of an ellipse around (x, y)."""
    angles = np.linspace(np.pi, 2 * np.pi, steps)
    return np.stack([x + width * np.cos(angles), y + height * np.sin(angles)], axis=1)
