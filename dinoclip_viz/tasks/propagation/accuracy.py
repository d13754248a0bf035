"""Region similarity J and boundary measure F of propagated masks, as DAVIS 2017 computes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 0.008
"""Largest distance between matching boundaries, as a fraction of the image's diagonal."""
RECALLED = 0.5
"""A frame counts for recall if its value is above this."""
_QUARTERS = 4


@dataclass(frozen=True)
class Statistics:
    """A measure over the frames of one object, or the mean of such over objects.

    Attributes:
        mean: over the frames.
        recall: fraction of the frames whose value is above 0.5.
        decay: mean over the first quarter of the frames minus that over the last; lower is better.
    """

    mean: float
    recall: float
    decay: float


def region_similarity(found: NDArray[np.bool_], expected: NDArray[np.bool_]) -> float:
    """J: intersection over union of two masks; 1 where both are empty (Perazzi et al. 2016).

    Args:
        found: (height, width) propagated mask.
        expected: (height, width) ground truth.

    Examples:
        >>> region_similarity(np.array([[True, True, False]]), np.array([[False, True, True]]))  # 1 of 3 pixels
        0.3333333333333333
    """
    union = np.count_nonzero(found | expected)
    return float(np.count_nonzero(found & expected) / union) if union else 1.0


def boundary_measure(found: NDArray[np.bool_], expected: NDArray[np.bool_], tolerance: float = TOLERANCE) -> float:
    """F: harmonic mean of precision and recall of the boundary pixels of two masks (Perazzi et al. 2016).

    A boundary pixel is matched if one of the other mask is at most `tolerance` times the diagonal away, rounded up to
    whole pixels. With one boundary empty F is 0, with both 1.

    Args:
        found: (height, width) propagated mask.
        expected: (height, width) ground truth.
        tolerance: fraction of the diagonal.

    Examples:
        >>> mask = np.zeros((8, 8), bool)
        >>> mask[2:5, 2:5] = True
        >>> boundary_measure(mask, mask), boundary_measure(mask, ~mask & False)
        (1.0, 0.0)
    """
    from scipy.ndimage import distance_transform_edt

    ours, theirs = boundary(found), boundary(expected)
    if not ours.any() or not theirs.any():
        return float(not ours.any() and not theirs.any())
    reach = math.ceil(tolerance * math.hypot(*found.shape))
    precision = (distance_transform_edt(~theirs)[ours] <= reach).mean()
    recall = (distance_transform_edt(~ours)[theirs] <= reach).mean()
    both = precision + recall
    return float(2 * precision * recall / both) if both else 0.0


def boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(height, width) pixels that differ from the one to the right, below or diagonally below, one pixel wide.

    Args:
        mask: (height, width).

    Examples:
        >>> boundary(np.array([[False, True], [False, True]])).tolist()
        [[True, False], [True, False]]
    """
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, 1:] != mask[:, :-1]
    edge[:-1] |= mask[1:] != mask[:-1]
    edge[:-1, :-1] |= mask[1:, 1:] != mask[:-1, :-1]
    return edge


def statistics(values: Sequence[float]) -> Statistics:
    """Mean, recall and decay of a measure over the frames of one object, as DAVIS 2017 computes them.

    Quarters share their outer frames: of N frames each begins where the one before it ends.

    Args:
        values: of each frame, at least one.

    Raises:
        ValueError: there are none.

    Examples:
        >>> statistics([1.0, 1.0, 0.5, 0.0, 0.0])
        Statistics(mean=0.5, recall=0.4, decay=1.0)
    """
    array = np.asarray(values, np.float64)
    if not len(array):
        raise ValueError("found no frames; expected at least one: the first and the last of a video do not count")
    ends = (np.round(np.linspace(1, len(array), _QUARTERS + 1) + 1e-10) - 1).astype(int)
    decay = array[ends[0] : ends[1] + 1].mean() - array[ends[-2] : ends[-1] + 1].mean()
    return Statistics(float(array.mean()), float((array > RECALLED).mean()), float(decay))


def mean_statistics(several: Sequence[Statistics]) -> Statistics:
    """The mean over objects, each of which counts once.

    Args:
        several: one or more.
    """
    columns = [[getattr(one, name) for one in several] for name in ("mean", "recall", "decay")]
    return Statistics(*(float(np.mean(column)) for column in columns))
