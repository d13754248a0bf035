"""Random crops as torchvision's RandomResizedCrop chooses them, from a generator of one's own."""

from __future__ import annotations

import math

import numpy as np

Box = tuple[int, int, int, int]
"""Top, left, height and width in pixels."""

RATIO = (3 / 4, 4 / 3)
"""Lowest and highest width / height, as published for ImageNet (Szegedy et al. 2015)."""
_TRIES = 10


def random_crop(
    width: int,
    height: int,
    chance: np.random.Generator,
    scale: tuple[float, float],
    ratio: tuple[float, float] = RATIO,
) -> Box:
    """Top, left, height and width of a random crop inside an image.

    Where ten tries find none, it is the centre crop of the image with its ratio limited to `ratio`.

    Args:
        width, height: of the image in pixels, 1 or more.
        chance: random generator.
        scale: lowest and highest area, as fractions of the image's area.
        ratio: lowest and highest width / height.
    """
    low, high = (math.log(each) for each in ratio)
    for _ in range(_TRIES):
        area = width * height * chance.uniform(*scale)
        drawn = math.exp(chance.uniform(low, high))
        across, down = round(math.sqrt(area * drawn)), round(math.sqrt(area / drawn))
        if 0 < across <= width and 0 < down <= height:
            return int(chance.integers(height - down + 1)), int(chance.integers(width - across + 1)), down, across
    across = min(width, max(1, round(height * ratio[1])))
    down = min(height, max(1, round(width / ratio[0])))
    return (height - down) // 2, (width - across) // 2, down, across
