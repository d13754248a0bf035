"""Outliers: vectors whose nearest neighbours are far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.tasks.retrieval.nearest import nearest_blocks
from dinoclip_viz.tasks.retrieval.vectors import VectorsLike, as_vectors


@dataclass(frozen=True)
class Outlier:
    """A vector with its mean cosine distance (1 - cosine, 0 to 2) to its nearest neighbours."""

    row: int
    distance: float


def outliers(features: VectorsLike, k: int = 10) -> list[Outlier]:
    """All vectors, the most isolated first.

    The score is the mean distance to the k nearest other vectors (Angiulli and Pizzuti 2002, "Fast outlier detection
    in high dimensional spaces"). All pairs are compared, in tiles: time is quadratic in N, memory is not. Among equal
    distances the lower row comes first.

    Args:
        features: (N, D) raw vectors: a tensor, an array, a nested list or rows of a store.
        k: number of neighbours, 1 to N - 1.

    Raises:
        ValueError: k out of range, or vectors that are ragged, not numeric or not finite.

    Examples:
        >>> outliers([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]], k=1)[0]
        Outlier(row=2, distance=1.0)
    """
    vectors = as_vectors(features, "features")
    total = vectors.shape[0]
    if not 1 <= k <= total - 1:
        raise ValueError(f"k is {k} for {total} vectors; expected 1 to {total - 1}, the number of other vectors")
    distances = np.empty(total, np.float32)
    for rows, cosines, found in nearest_blocks(vectors, vectors, k + 1):
        distances[rows] = _mean_distance(cosines, found, torch.arange(rows.start, rows.stop), k)
    order = np.argsort(-distances, kind="stable").tolist()
    return [Outlier(row, float(distances[row])) for row in order]


def _mean_distance(cosines: Tensor, found: Tensor, own: Tensor, k: int) -> NDArray[np.float32]:
    """(n,) mean of 1 - cosine over the k nearest, without the vector itself.

    Args:
        cosines, found: (n, k + 1) cosines and rows of the nearest, best first.
        own: (n,) row of each vector, which may be missing among more than k equal ones.
        k: number of neighbours.
    """
    others = found != own[:, None]
    others[others.all(1), -1] = False
    return (1 - cosines[others].view(-1, k).double()).mean(1).clamp_min(0).float().numpy()
