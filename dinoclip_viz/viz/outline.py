"""Edges of regions, and the stripes that mark unknown values."""

import numpy as np
from numpy.typing import NDArray


def region_edges(labels: NDArray[np.int32], thickness: int) -> NDArray[np.bool_]:
    """True (H, W) where another label lies within `thickness` pixels, diagonals included.

    Examples:
        >>> region_edges(np.array([[0, 0, 1, 1]]), thickness=1).tolist()
        [[False, True, True, False]]
    """
    least, most = labels, labels
    for axis in (0, 1):
        least = _extreme(least, thickness, axis, np.minimum)
        most = _extreme(most, thickness, axis, np.maximum)
    return np.asarray(least != most)


def stripes(height: int, width: int) -> NDArray[np.bool_]:
    """Diagonal stripes (height, width), True on a stripe, with a period that scales with the image."""
    period = max(4, min(height, width) // 40)
    rows, columns = np.ogrid[:height, :width]
    return np.asarray((rows + columns) % period < max(1, period // 3))


def line_thickness(width: int, height: int) -> int:
    """Line thickness in pixels that suits an image of this size."""
    return max(1, round(min(width, height) / 250))


def _extreme(labels: NDArray[np.int32], reach: int, axis: int, pick: np.ufunc) -> NDArray[np.int32]:
    pad = [(0, 0), (0, 0)]
    pad[axis] = (reach, reach)
    padded = np.pad(labels, pad, mode="edge")
    found = np.moveaxis(padded, axis, 0)
    span, window = 1, 2 * reach + 1
    while span < window:  # extremes of spans that double: a wide line on a large image takes few passes
        step = min(span, window - span)
        found = pick(found[:-step], found[step:])
        span += step
    return np.moveaxis(found, 0, axis)
