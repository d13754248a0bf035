"""Values of any depth -> 8 bits: which value becomes black and which white."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.images.errors import ImageWarning, image_error

Levels = tuple[float, float] | Literal["auto"] | None
"""(value shown black, value shown white); "auto": the image's lowest and highest; None: the whole range."""

VALUES = "uint8, uint16, bool or float in [0, 1]"
_ROUNDING = 1e-5  # by which resizing and the like exceed [0, 1]
_BLOCK = 1 << 20  # values that are computed at once
_FRACTION = 16  # an image that uses less than one part in this many of its range brings a warning


def check_levels(levels: Levels) -> Levels:
    """The levels, if they can be used.

    Raises:
        ValueError: they are neither None, "auto", nor two finite numbers, the first below the second.

    Examples:
        >>> check_levels((0, 4095))
        (0.0, 4095.0)
    """
    if levels is None or (isinstance(levels, str) and levels == "auto"):
        return levels
    try:
        low, high = (float(value) for value in levels)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f'levels: found {levels!r}; expected None, "auto" or (low, high) with low < high')
    return low, high


def eight_bits(values: NDArray[np.generic], name: str, levels: Levels = None) -> NDArray[np.uint8]:
    """Values scaled to 0..255 and rounded to the nearest; always a new array.

    Args:
        values: any shape; uint8, uint16, bool or float in [0, 1]; any real numbers where levels are given.
        name: of the source, for messages.
        levels: the values that become 0 and 255, with everything outside clipped; see `Levels`.

    Raises:
        ImageError: the values are of another type, out of range, NaN or infinite.

    Examples:
        >>> eight_bits(np.array([0, 2048, 4095], np.uint16), "scan", levels=(0, 4095)).tolist()
        [0, 128, 255]
    """
    kind, width = values.dtype.kind, values.dtype.itemsize
    if kind not in "buif":
        raise image_error(name, f"values of type {values.dtype}", VALUES)
    if kind == "f" and not all(np.isfinite(rows).all() for rows in _blocks(values)):
        raise image_error(name, "values that are NaN or infinite", f"finite values: {VALUES}")
    if levels is not None:
        return _between(values, *_bounds(values, levels))
    if kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if kind == "u" and width == 1:
        return values.astype(np.uint8)
    if kind == "u" and width == 2:
        _warn_if_dark(values, 65535, name)
        return byte_of(values.astype(np.uint16, copy=False))
    if kind != "f":
        hint = "; cast first: array.astype(np.uint8), or give levels=(low, high)"
        raise image_error(name, f"values of type {values.dtype}", VALUES + hint)
    low, high = float(values.min()), float(values.max())
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        hint = "divide by 255" if low >= 0 and 1 < high <= 255 else "scale it first"
        raise image_error(name, f"values from {low:g} to {high:g}", f"{VALUES}; {hint}, or give levels=(low, high)")
    _warn_if_dark(values, 1, name)
    return _between(values, 0, 1)


def byte_of(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Values of 16 bits as 8 bits, rounded to the nearest."""
    found = np.empty(values.shape, np.uint8)
    for rows, out in zip(_blocks(values), _blocks(found), strict=True):
        out[...] = (rows.astype(np.uint32) + 128) // 257
    return found


def _bounds(values: NDArray[np.generic], levels: tuple[float, float] | Literal["auto"]) -> tuple[float, float]:
    if levels != "auto":
        return levels
    low, high = float(values.min()), float(values.max())
    return low, high if high > low else low + 1


def _between(values: NDArray[np.generic], low: float, high: float) -> NDArray[np.uint8]:
    found = np.empty(values.shape, np.uint8)
    for rows, out in zip(_blocks(values), _blocks(found), strict=True):
        scaled = (rows.astype(np.float64) - low) * 255 / (high - low)
        out[...] = np.floor(np.clip(scaled, 0, 255) + 0.5)
    return found


def _blocks(values: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    """Views of some rows each, so that what is computed from them stays small."""
    rows = max(1, _BLOCK * max(len(values), 1) // max(values.size, 1)) if values.ndim else 1
    yield from (values[start : start + rows] for start in range(0, len(values), rows)) if values.ndim else (values,)


def _warn_if_dark(values: NDArray[np.generic], full: float, name: str) -> None:
    """One warning where values differ, yet by less than a sixteenth of the range: as 8 bits nearly all is lost."""
    low, high = float(values.min()), float(values.max())
    if 0 < high - low < full / _FRACTION:
        warnings.warn(
            f"{name}: values from {low:g} to {high:g} use less than a sixteenth of [0, {full:g}]; "
            f'give levels=({low:g}, {high:g}) or levels="auto" to spread them',
            ImageWarning,
            stacklevel=outside(),
        )


def outside() -> int:
    """The `stacklevel` with which a warning points at the line outside this package that led to it."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "dinoclip_viz":
        frame, level = frame.f_back, level + 1
    return level
