"""How near points that were followed are to their ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

THRESHOLDS = (1, 2, 4, 8, 16)
"""Pixels of a frame of 256 x 256 within which a position counts as right (TAP-Vid, Doersch et al. 2022)."""
_SIDE = 256


@dataclass(frozen=True)
class PointAccuracy:
    """Errors of followed points over the frames after the first, where a point is visible.

    Attributes:
        error: mean distance as a fraction of the frame's longer side.
        median: median distance, likewise.
        within: mean over the thresholds of the fraction of positions within them.
        positions: number of positions.
    """

    error: float
    median: float
    within: float
    positions: int


def point_distances(
    found: NDArray[np.floating], expected: NDArray[np.floating], visible: NDArray[np.bool_], side: int
) -> NDArray[np.float64]:
    """(P,) distance of each visible position after the first frame, as a fraction of the side.

    Args:
        found, expected: (T, N, 2) positions in pixels.
        visible: (T, N) whether a point is visible in the ground truth.
        side: the frame's longer side in pixels.
    """
    away = np.linalg.norm(np.asarray(found, np.float64) - expected, axis=-1) / side  # (T, N)
    seen: NDArray[np.float64] = away[1:][visible[1:]]
    return seen


def point_accuracy(distances: NDArray[np.floating]) -> PointAccuracy:
    """The accuracy of points from their distances.

    Args:
        distances: (P,) as from `point_distances`, of one or several clips together, at least one.

    Raises:
        ValueError: there are none.

    Examples:
        >>> point_accuracy(np.array([0.0, 3 / 256]))  # the second is within 4, 8 and 16 of 256 pixels
        PointAccuracy(error=0.005859375, median=0.005859375, within=0.8, positions=2)
    """
    if not len(distances):
        raise ValueError("found no visible positions; expected at least one")
    within = np.mean([(distances * _SIDE <= threshold).mean() for threshold in THRESHOLDS])
    return PointAccuracy(float(distances.mean()), float(np.median(distances)), float(within), len(distances))
