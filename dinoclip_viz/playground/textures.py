"""Texture patterns of the scenes: stripes, dots, checks, bricks, waves, clouds, as brightness maps."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pattern = NDArray[np.float32]


def _noise(side: int, rows: int, columns: int, seed: int) -> Pattern:
    """Smooth periodic noise: the centre of four copies of a coarse random grid, enlarged."""
    grid = np.random.default_rng([7, seed]).uniform(-1, 1, (rows, columns)).astype(np.float32)
    four = Image.fromarray(np.tile(grid, (2, 2))).resize((2 * side, 2 * side), Image.Resampling.BICUBIC)
    return np.asarray(four)[side // 2 : side // 2 + side, side // 2 : side // 2 + side]


def _axes(side: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, columns = np.mgrid[0:side, 0:side] / side
    return columns, rows


def _stripes(angle: float, frequency: float) -> Callable[[int], NDArray[np.float64]]:
    def draw(side: int) -> NDArray[np.float64]:
        x, y = _axes(side)
        waves: NDArray[np.float64] = np.sign(np.sin(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle))))
        return waves

    return draw


def _dots(frequency: float) -> Callable[[int], NDArray[np.float64]]:
    def draw(side: int) -> NDArray[np.float64]:
        x, y = _axes(side)
        return np.where(((x * frequency) % 1 - 0.5) ** 2 + ((y * frequency) % 1 - 0.5) ** 2 < 0.09, 1.0, -0.35)

    return draw


def _checks(frequency: float) -> Callable[[int], NDArray[np.float64]]:
    def draw(side: int) -> NDArray[np.float64]:
        x, y = _axes(side)
        return np.where(((x * frequency).astype(int) + (y * frequency).astype(int)) % 2, 1.0, -1.0)

    return draw


def _bricks(side: int) -> NDArray[np.float64]:
    x, y = _axes(side)
    along = np.where((y * 12).astype(int) % 2, x * 7, x * 7 + 0.5)
    return np.where(((y * 12) % 1 < 0.14) | (along % 1 < 0.08), 1.6, -0.25)


def _waves(side: int) -> NDArray[np.float64]:
    x, y = _axes(side)
    return 0.8 * np.sin(2 * np.pi * (9 * y + 0.5 * np.sin(2 * np.pi * 3 * x)))


def _stars(side: int) -> NDArray[np.float64]:
    """A few bright cells of an 80 x 80 grid, the same at every side."""
    grid = (np.random.default_rng([7, 99]).random((80, 80)) > 0.993).astype(np.float32) * 255
    return np.asarray(Image.fromarray(grid.astype(np.uint8)).resize((side, side), Image.Resampling.BILINEAR)) / 85.0


PATTERNS: dict[str, Callable[[int], NDArray[np.floating]]] = {
    "flat": lambda side: np.zeros((side, side)),
    "mottled": lambda side: _noise(side, 4, 4, 1),
    "cloudy": lambda side: _noise(side, 8, 8, 2),
    "patchy": lambda side: _noise(side, 16, 16, 3),
    "rough": lambda side: _noise(side, 48, 48, 4),
    "grainy": lambda side: _noise(side, 80, 80, 5),
    "stripes": _stripes(0.0, 14),
    "bands": _stripes(1.57, 14),
    "diagonals": _stripes(0.8, 18),
    "slashes": _stripes(-0.8, 20),
    "dots": _dots(10),
    "specks": _dots(16),
    "checks": _checks(8),
    "squares": _checks(14),
    "bricks": _bricks,
    "waves": _waves,
    "clouds": lambda side: np.clip(_noise(side, 10, 10, 6) * 1.6 - 0.2, -0.3, 1),
    "stars": _stars,
    "blades": lambda side: _noise(side, 12, 90, 7),
}
"""Name -> a function from the side in pixels to a (side, side) map of brightness, about -1 to 1."""

COATS: tuple[tuple[str, float], ...] = (
    ("flat", 0.34), ("mottled", 0.07), ("cloudy", 0.07), ("patchy", 0.07), ("rough", 0.07), ("grainy", 0.06),
    ("stripes", 0.04), ("bands", 0.04), ("diagonals", 0.04), ("slashes", 0.04), ("dots", 0.04), ("specks", 0.04),
    ("checks", 0.04), ("squares", 0.04),
)  # fmt: skip
"""Textures of objects, with their frequencies."""


@lru_cache(maxsize=96)
def pattern(name: str, side: int) -> Pattern:
    """(side, side) brightness of a pattern, about -1 to 1; read-only."""
    values = np.ascontiguousarray(PATTERNS[name](side), dtype=np.float32)
    values.setflags(write=False)
    return values
