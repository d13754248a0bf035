"""Codes of masks as segmentation tokens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import SupportsInt

CODES = 128
"""Number of vectors in the codebook, and of segmentation tokens, <seg000> to <seg127>."""

TOKENS = 16
"""Number of codes per mask."""


def mask_tokens(codes: Iterable[SupportsInt]) -> str:
    """16 segmentation tokens of the codes of one mask.

    Args:
        codes: 16 numbers in 0..127, row by row; a list or a tensor.

    Raises:
        ValueError: there are not 16, or one is not in 0..127.

    Examples:
        >>> mask_tokens([5] + 15 * [127])[:24]
        '<seg005><seg127><seg127>'
    """
    numbers = [int(code) for code in codes]
    if len(numbers) != TOKENS or not all(0 <= number < CODES for number in numbers):
        raise ValueError(f"found {len(numbers)} codes {numbers[:TOKENS]}; expected {TOKENS} in 0..{CODES - 1}")
    return "".join(f"<seg{number:03d}>" for number in numbers)
