"""Boxes as PaliGemma's location tokens, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels; the right and bottom edges are exclusive."""

BINS = 1024
"""Number of location tokens, <loc0000> to <loc1023>."""

DIVISORS = (BINS - 1, BINS)
"""What a token's number is divided by: 1023 in big_vision, 1024 in the demo's parser and in supervision."""


def location_tokens(box: Sequence[float], size: tuple[int, int]) -> str:
    """Four location tokens of a box, in PaliGemma's order: y0, x0, y1, x1 (Beyer et al., 2024; big_vision).

    Args:
        box: (x0, y0, x1, y1) in pixels; edges outside the image are clipped to it.
        size: width and height of the image in pixels.

    Raises:
        ValueError: the box has no four finite numbers, or the size is not positive.

    Examples:
        >>> location_tokens((0, 25, 50, 100), (100, 100))
        '<loc0256><loc0000><loc1023><loc0512>'
    """
    if len(box) != 4 or not all(math.isfinite(edge) for edge in box):
        raise ValueError(f"found box {tuple(box)}; expected four finite numbers (x0, y0, x1, y1) in pixels")
    width, height = _checked(size)
    x0, y0, x1, y1 = box
    edges = ((y0, height), (x0, width), (y1, height), (x1, width))
    bins = [min(max(round(edge / side * (BINS - 1)), 0), BINS - 1) for edge, side in edges]
    return "".join(f"<loc{number:04d}>" for number in bins)


def box_of(numbers: Sequence[int], size: tuple[int, int], bins: int = BINS - 1) -> Box:
    """The box (x0, y0, x1, y1) in pixels that four location tokens stand for.

    Args:
        numbers: of the tokens y0, x0, y1, x1, each in 0..1023.
        size: width and height of the image in pixels.
        bins: what the numbers are divided by, of `DIVISORS`.

    Raises:
        ValueError: there are not four numbers in 0..1023, the size is not positive, or the divisor is unknown.

    Examples:
        >>> box_of((256, 0, 1023, 512), (1023, 1023))
        (0.0, 256.0, 512.0, 1023.0)
    """
    if len(numbers) != 4 or not all(0 <= number < BINS for number in numbers):
        raise ValueError(f"found location numbers {tuple(numbers)}; expected four in 0..{BINS - 1}")
    if bins not in DIVISORS:
        raise ValueError(f"found bins={bins}; expected {DIVISORS[0]} (big_vision) or {DIVISORS[1]} (supervision)")
    width, height = _checked(size)
    y0, x0, y1, x1 = numbers
    return (x0 / bins * width, y0 / bins * height, x1 / bins * width, y1 / bins * height)


def _checked(size: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    if width < 1 or height < 1:
        raise ValueError(f"found an image of {width} x {height} pixels; expected a width and a height of 1 or more")
    return width, height
