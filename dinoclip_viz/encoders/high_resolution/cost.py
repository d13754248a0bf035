"""Estimated time and memory of an encoding: time from two measured passes, memory from the shapes."""

from __future__ import annotations

import time
from dataclasses import dataclass

from PIL import Image

from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.encoders.high_resolution.tiles import plan_tiles

FLOATS_PER_TOKEN = 14
"""Peak number of activations per token, in multiples of the model's width: the token, its norm, query, key, value, and
the MLP's hidden layer before and after its activation. The attention matrix is computed in blocks and not stored."""


@dataclass(frozen=True)
class Cost:
    """Estimated cost of an encoding.

    Attributes:
        grid: rows and columns of patches.
        passes: forward passes: 1, or one per tile.
        seconds: total time in seconds.
        megabytes: peak memory in megabytes, without the model's weights.
    """

    grid: tuple[int, int]
    passes: int
    seconds: float
    megabytes: float

    def __str__(self) -> str:
        rows, columns = self.grid
        tiles = f" in {self.passes} tiles" if self.passes > 1 else ""
        return f"{columns} x {rows} patches{tiles}: about {_seconds(self.seconds)}, {self.megabytes:.0f} MB"


@dataclass(frozen=True)
class Pace:
    """Speed of an encoder on this machine.

    Attributes:
        overhead: seconds per pass that do not depend on its size.
        rate: seconds per unit of `work`.
        patch: side of a patch in pixels.
        width: dimension of the tokens.
    """

    overhead: float
    rate: float
    patch: int
    width: int

    def cost(self, image: tuple[int, int], size: int, tile: int | None = None) -> Cost:
        """Estimate the cost of encoding a whole image.

        Args:
            image: width and height of the image in pixels.
            size: longer side of the encoded image in pixels.
            tile: side of a tile in pixels; None for one pass.

        Raises:
            ValueError: `size` or `tile` is out of range.
        """
        tiling = plan_tiles(image, self.patch, size, size if tile is None else tile)
        rows, columns = tiling.tile
        tokens, passes = rows * columns, len(tiling.corners)
        seconds = passes * (self.overhead + self.rate * work(tokens, self.width))
        held = tokens * (FLOATS_PER_TOKEN * self.width + 2 * 3 * self.patch**2)
        merged = tiling.grid[0] * tiling.grid[1] * self.width * (1 if passes == 1 else 2)
        return Cost(tiling.grid, passes, seconds, 4 * (held + merged) / 1e6)


def work(tokens: int, width: int) -> float:
    """Number of multiplications of one transformer block, up to a constant factor.

    Args:
        tokens: number of tokens N.
        width: dimension D of the tokens.

    Examples:
        >>> work(100, 64) == 100 * (6 * 64 + 100) * 64
        True
    """
    return tokens * (6 * width + tokens) * width


def measure_pace(encoder: ImageEncoder, rounds: int = 2) -> Pace:
    """Measure the speed of an encoder: the fastest pass at half its published size, and at that size.

    Args:
        encoder: any image encoder.
        rounds: timed passes per size, after one warm-up pass.
    """
    sides = sorted({max(encoder.patch, encoder.size // 2), encoder.size})
    seconds = []
    for side in sides:
        black = Image.new("RGB", (side, side))
        seconds.append(min([_timed(encoder, black, side) for _ in range(rounds + 1)][1:]))
    amounts = [work((side // encoder.patch) ** 2, encoder.patch_dimension) for side in sides]
    rate = (seconds[-1] - seconds[0]) / (amounts[-1] - amounts[0]) if len(sides) > 1 else seconds[0] / amounts[0]
    rate = max(rate, 0.2 * seconds[-1] / amounts[-1])  # a lower bound, because both times are noisy
    return Pace(max(seconds[-1] - rate * amounts[-1], 0.0), rate, encoder.patch, encoder.patch_dimension)


def _timed(encoder: ImageEncoder, image: Image.Image, side: int) -> float:
    start = time.perf_counter()
    encoder.encode([image], side, "whole")
    return time.perf_counter() - start


def _seconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
