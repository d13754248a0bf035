"""Clusters of vectors by k-means on the unit sphere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.tasks.retrieval.search import unit_chunks
from dinoclip_viz.tasks.retrieval.vectors import Rows, VectorsLike, as_vectors

SAMPLE = 20_000
"""Largest number of vectors that the centres are fitted on."""
_ROUNDS = 3


def cluster_rows(features: VectorsLike | Rows, count: int, seed: int = 0) -> NDArray[np.int64]:
    """(N,) cluster of each vector, from 0, the largest cluster first.

    k-means (Lloyd 1982, with k-means++ of Arthur and Vassilvitskii 2007) on normalised vectors. Beyond 20,000 vectors
    the centres are fitted on a random sample of that size, and every vector gets its nearest centre. Rows are read in
    blocks.

    Args:
        features: (N, D) raw vectors: a tensor, an array, a nested list or rows of a store.
        count: number of clusters, 1 to N; fewer are found where fewer vectors are distinct.
        seed: of the sample and of the first centres.

    Raises:
        ValueError: a count out of range, or vectors that are ragged, not numeric or not finite.

    Examples:
        >>> cluster_rows([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]], count=2).tolist()
        [1, 0, 0]
    """
    vectors = as_vectors(features, "features")
    total = vectors.shape[0]
    if not 1 <= count <= total:
        raise ValueError(f"found {count} clusters for {total} vectors; expected 1 to {total}")
    centres = _centres(_sample(vectors, seed), count, seed)
    found = np.concatenate([_nearest(part.numpy(), centres) for _, part in unit_chunks(vectors)])  # (N,)
    sizes = np.bincount(found, minlength=len(centres))
    rank = np.empty(len(centres), np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(centres))
    return np.asarray(rank[found])


def _sample(vectors: Rows, seed: int) -> NDArray[np.float32]:
    total = vectors.shape[0]
    kept = np.arange(total)
    if total > SAMPLE:
        kept = np.sort(np.random.default_rng(seed).choice(total, SAMPLE, replace=False))
    parts = []
    for start, part in unit_chunks(vectors):
        first, last = np.searchsorted(kept, (start, start + len(part)))
        parts.append(part.numpy()[kept[first:last] - start].astype(np.float32))
    return np.concatenate(parts)


def _centres(rows: NDArray[np.float32], count: int, seed: int) -> NDArray[np.float64]:
    """(K, D) centres, no two of them equal."""
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # on fewer distinct vectors than clusters
        means = KMeans(count, n_init=_ROUNDS, random_state=seed).fit(rows)
    return np.unique(np.asarray(means.cluster_centers_, dtype=np.float64), axis=0)


def _nearest(rows: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,) nearest centre of each row by the Euclidean distance."""
    return np.asarray((rows @ centres.T - (centres**2).sum(1) / 2).argmax(1), dtype=np.int64)
