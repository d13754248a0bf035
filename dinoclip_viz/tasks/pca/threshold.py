"""Otsu's threshold between two groups of values, in memory or from a stream."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray

BINS = 1 << 16
REACH = 16.0
"""Standard deviations on each side of the mean that the bins span; values beyond fall into the outermost bins."""


def otsu(values: NDArray[np.float64]) -> float:
    """The threshold that maximises the variance between the two groups that it separates (Otsu 1979).

    Args:
        values: (N,), N >= 2.

    Examples:
        >>> otsu(np.array([0.0, 0.1, 0.9, 1.0]))
        0.5
    """
    ordered = np.sort(values)
    lower = np.arange(1, len(ordered))
    below = np.cumsum(ordered)[:-1]
    fraction = lower / len(ordered)
    gap = below / lower - (ordered.sum() - below) / (len(ordered) - lower)
    split = int((fraction * (1 - fraction) * gap**2).argmax())
    return float((ordered[split] + ordered[split + 1]) / 2)


class BinnedOtsu:
    """Otsu's threshold of values in chunks, in bounded memory.

    Each bin of fixed width stores the count, sum, minimum and maximum of its values. Every split between two bins is
    evaluated exactly, and the threshold lies midway between the values next to it, as in `otsu`. The result equals that
    of `otsu` unless the best split falls inside a bin, deviation / 2048 wide; then they differ by about that width.

    Args:
        deviation: standard deviation of the values, whose mean is 0.

    Examples:
        >>> BinnedOtsu(0.45).add(np.array([-0.5, -0.4]), np.array([True, True])).add(
        ...     np.array([0.4, 0.5]), np.array([False, False])
        ... ).threshold()
        0.0
    """

    def __init__(self, deviation: float) -> None:
        self._scale = BINS / (2 * REACH * max(deviation, 1e-12))
        self._counts = np.zeros(BINS, np.int64)
        self._marked = np.zeros(BINS, np.int64)
        self._sums = np.zeros(BINS)
        self._least = np.full(BINS, np.inf)
        self._greatest = np.full(BINS, -np.inf)

    def add(self, values: NDArray[np.float64], marked: NDArray[np.bool_]) -> Self:
        """Add values.

        Args:
            values: (n,).
            marked: (n,) bool, the values that `fraction_above` counts.
        """
        bins = np.clip(np.floor(values * self._scale) + BINS // 2, 0, BINS - 1).astype(np.int64)
        self._counts += np.bincount(bins, minlength=BINS)
        self._marked += np.bincount(bins[marked], minlength=BINS)
        self._sums += np.bincount(bins, values, BINS)
        np.minimum.at(self._least, bins, values)
        np.maximum.at(self._greatest, bins, values)
        return self

    def threshold(self) -> float:
        """The threshold, midway between the values on both sides of the split.

        Raises:
            ValueError: no values were added.
        """
        below = self._split()
        used = np.flatnonzero(self._counts)
        position = int(np.searchsorted(used, below))
        if position + 1 == len(used):  # all in one bin
            return float(self._least[below] + self._greatest[below]) / 2
        return float(self._greatest[below] + self._least[used[position + 1]]) / 2

    def fraction_above(self) -> float:
        """Fraction of the marked values above the threshold, 0 to 1."""
        above = self._marked[self._split() + 1 :].sum()
        return float(above / max(int(self._marked.sum()), 1))

    def _split(self) -> int:
        """The bin below the split."""
        used = np.flatnonzero(self._counts)
        if not len(used):
            raise ValueError("found no values; expected at least one")
        if len(used) == 1:
            return int(used[0])
        counts, sums = self._counts[used].cumsum(), self._sums[used].cumsum()
        lower, below, fraction = counts[:-1], sums[:-1], counts[:-1] / counts[-1]
        gap = below / lower - (sums[-1] - below) / (counts[-1] - lower)
        return int(used[(fraction * (1 - fraction) * gap**2).argmax()])
