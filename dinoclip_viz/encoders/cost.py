"""What an encoding will cost, told before it runs: time from two measured passes, memory from the shapes."""

from __future__ import annotations

import time
from dataclasses import dataclass

from PIL import Image

from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.encoders.tiles import plan_tiles

FLOATS_A_TOKEN = 14
"""Values of the width of the model that one token needs at once: itself, its norm, query, key, value, and the MLP's
hidden layer before and after its activation. Attention is computed in blocks and its matrix never held."""


@dataclass(frozen=True)
class Cost:
    """An estimate.

    Attributes:
        grid: rows and columns of patches.
        passes: through the model: 1, or one a tile.
        seconds: in all.
        megabytes: at the peak, beside the model itself.
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
    """How fast an encoder is on this machine.

    Attributes:
        overhead: seconds of a pass that do not depend on its size.
        rate: seconds a unit of `work`.
        patch: side of a patch in pixels; width: dimension of the tokens.
    """

    overhead: float
    rate: float
    patch: int
    width: int

    def cost(self, image: tuple[int, int], size: int, tile: int | None = None) -> Cost:
        """What encoding an image whole will cost.

        Args:
            image: its width and height in pixels.
            size: longer side in pixels at which it is encoded.
            tile: side of a tile in pixels; None is one pass.

        Raises:
            ValueError: the size or the tile is out of its range.
        """
        tiling = plan_tiles(image, self.patch, size, size if tile is None else tile)
        rows, columns = tiling.tile
        tokens, passes = rows * columns, len(tiling.corners)
        seconds = passes * (self.overhead + self.rate * work(tokens, self.width))
        held = tokens * (FLOATS_A_TOKEN * self.width + 2 * 3 * self.patch**2)
        merged = tiling.grid[0] * tiling.grid[1] * self.width * (1 if passes == 1 else 2)
        return Cost(tiling.grid, passes, seconds, 4 * (held + merged) / 1e6)


def work(tokens: int, width: int) -> float:
    """Multiplications of one transformer block, up to a factor: linear layers, and attention's square.

    Args:
        tokens: N; width: D.

    Examples:
        >>> work(100, 64) == 100 * (6 * 64 + 100) * 64
        True
    """
    return tokens * (6 * width + tokens) * width


def measure_pace(encoder: ImageEncoder, rounds: int = 2) -> Pace:
    """How fast the encoder is here, from the fastest of a few passes at half and at all of its published size.

    Args:
        encoder: any image encoder.
        rounds: passes at each size, after one that is not counted.
    """
    sides = sorted({max(encoder.patch, encoder.size // 2), encoder.size})
    seconds = []
    for side in sides:
        black = Image.new("RGB", (side, side))
        seconds.append(min([_timed(encoder, black, side) for _ in range(rounds + 1)][1:]))
    amounts = [work((side // encoder.patch) ** 2, encoder.patch_dimension) for side in sides]
    rate = (seconds[-1] - seconds[0]) / (amounts[-1] - amounts[0]) if len(sides) > 1 else seconds[0] / amounts[0]
    rate = max(rate, 0.2 * seconds[-1] / amounts[-1])  # noise must not make large images free
    return Pace(max(seconds[-1] - rate * amounts[-1], 0.0), rate, encoder.patch, encoder.patch_dimension)


def _timed(encoder: ImageEncoder, image: Image.Image, side: int) -> float:
    start = time.perf_counter()
    encoder.encode([image], side, "whole")
    return time.perf_counter() - start


def _seconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
