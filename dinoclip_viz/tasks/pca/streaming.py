"""Exact principal components of rows that exceed memory, in one pass, by a running mean and scatter matrix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

CHUNK = 8192
"""Rows per chunk: 25 MB at 384 values per row."""
_LEAST_VARIANCE = 1e-12


class Principal(NamedTuple):
    """A PCA of K components fitted on rows of D values, float64.

    Attributes:
        mean: (D,) of the rows.
        components: (K, D) unit vectors, by falling variance; the largest weight of each is positive.
        deviations: (K,) standard deviation of the rows along each, never 0.
        fractions: (K,) fraction of the total variance along each.
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    deviations: NDArray[np.float64]
    fractions: NDArray[np.float64]


class Moments:
    """Count, mean and scatter matrix of rows in chunks; memory depends on D alone.

    Each chunk is centred on its own mean and then merged (Chan, Golub and LeVeque 1979, "Updating formulae and a
    pairwise algorithm for computing sample variances"), in float64. This keeps precision where the mean is far from 0
    or drifts, unlike the plain sum of squares.

    Args:
        width: D.

    Attributes:
        count: number of rows so far.
        mean: (D,) float64.
        scatter: (D, D) float64, the sum of outer products of the centred rows.

    Examples:
        >>> moments = Moments(1).add(np.array([[1.0], [2.0]])).add(np.array([[6.0]]))
        >>> moments.count, moments.mean.tolist(), moments.scatter.tolist()
        (3, [3.0], [[14.0]])
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.mean = np.zeros(width)
        self.scatter = np.zeros((width, width))

    def add(self, rows: NDArray[np.generic]) -> Self:
        """Add rows.

        Args:
            rows: (n, D) of any floating type; converted to float64 in chunks of `CHUNK` rows.

        Raises:
            ValueError: a different width, or values that are NaN or infinite.
        """
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise ValueError(f"rows have shape {rows.shape}; expected (n, {len(self.mean)})")
        for start in range(0, len(rows), CHUNK):
            self._merge(rows[start : start + CHUNK].astype(np.float64))
        return self

    def principal(self, components: int) -> Principal:
        """The principal components of all rows so far, by one eigendecomposition.

        The result equals scikit-learn's `PCA(svd_solver="full")` up to sign, which is fixed here.

        Args:
            components: K, from 1 to D.

        Raises:
            ValueError: no more rows than components, or more components than values per row.
        """
        width = len(self.mean)
        if self.count <= components or not 1 <= components <= width:
            raise ValueError(
                f"{self.count} rows of {width} values cannot give {components} components; expected more rows"
            )
        values, vectors = np.linalg.eigh(self.scatter / (self.count - 1))  # ascending
        variances = np.maximum(values[::-1], 0)
        axes = np.ascontiguousarray(vectors.T[::-1][:components])  # (K, D)
        deviations = np.sqrt(np.maximum(variances[:components], _LEAST_VARIANCE))
        fractions = variances[:components] / max(float(variances.sum()), _LEAST_VARIANCE)
        return Principal(self.mean.copy(), positive(axes), deviations, fractions)

    def _merge(self, rows: NDArray[np.float64]) -> None:
        with np.errstate(invalid="ignore"):  # inf - inf; raised below
            mean = rows.mean(0)
        if not np.isfinite(mean).all():  # one NaN or infinite value makes the column's mean so
            raise ValueError("found values that are NaN or infinite; expected finite values: check the encoder's dtype")
        rows -= mean
        gap, total = mean - self.mean, self.count + len(rows)
        self.scatter += rows.T @ rows
        self.scatter += np.outer(gap, gap * (self.count * len(rows) / total))
        self.mean += gap * (len(rows) / total)
        self.count = total


def streaming_pca(chunks: Iterable[NDArray[np.generic]], components: int) -> Principal:
    """The exact principal components of all rows of all chunks, with one chunk in memory at a time.

    Args:
        chunks: (n, D) arrays of any floating type; iterated once.
        components: K, from 1 to D.

    Raises:
        ValueError: no chunk, different widths, values that are not finite, or too few rows.

    Examples:
        >>> streaming_pca([np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[6.0, 8.0]])], 1).components.round(3).tolist()
        [[0.6, 0.8]]
    """
    moments: Moments | None = None
    for chunk in chunks:
        moments = (moments or Moments(chunk.shape[-1])).add(chunk)
    if moments is None:
        raise ValueError("found no rows; expected at least one chunk of (n, D)")
    return moments.principal(components)


def positive(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, D) the axes, signed so that the largest weight of each is positive."""
    largest = np.abs(axes).argmax(1)
    axes *= np.sign(axes[np.arange(len(axes)), largest])[:, None]
    return axes
