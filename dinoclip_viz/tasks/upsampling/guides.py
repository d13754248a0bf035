"""The image that guides an upsampling: the part that the patches cover, at a number of pixels per patch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

MOST_FACTOR = 16
"""Most pixels per side of a patch at which edges are followed; a larger map is interpolated from there."""


def guide_of(image: Image.Image, box: Sequence[float] | None, shape: tuple[int, int]) -> Tensor:
    """(1, 3, height, width) a part of an image, red, green and blue in [0, 1].

    Args:
        image: RGB.
        box: (x0, y0, x1, y1) the part, in pixels; None is the whole image.
        shape: height and width of the result.
    """
    height, width = shape
    edges = (0.0, 0.0, float(image.width), float(image.height))
    if box is not None:
        edges = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], edges[2]), min(box[3], edges[3]))
    part = image
    if edges != (0.0, 0.0, image.width, image.height) or image.size != (width, height):
        part = image.resize((width, height), Image.Resampling.BICUBIC, edges)
    pixels = torch.frombuffer(bytearray(part.tobytes()), dtype=torch.uint8).view(1, height, width, 3)
    return pixels.permute(0, 3, 1, 2) / 255


def factor_of(grid: tuple[int, int], shape: tuple[int, int]) -> int:
    """Pixels per side of a patch with which a map of a height and width is computed.

    Examples:
        >>> factor_of((32, 32), (448, 448)), factor_of((24, 24), (200, 190)), factor_of((2, 2), (500, 500))
        (14, 9, 16)
    """
    return min(MOST_FACTOR, max(-(-shape[0] // grid[0]), -(-shape[1] // grid[1])))
