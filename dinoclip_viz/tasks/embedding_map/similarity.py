"""The similarity of every vector to one query, such as a text."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray

from dinoclip_viz.tasks.retrieval.search import unit_chunks
from dinoclip_viz.tasks.retrieval.vectors import Numbers, Rows, VectorsLike, as_tensor, as_vectors


def similarities(query: Numbers, features: VectorsLike | Rows) -> NDArray[np.float32]:
    """(N,) cosine of every vector with one query.

    Args:
        query: (D,) raw vector of the same space, such as that of a text.
        features: (N, D) raw vectors: a tensor, an array, a nested list or rows of a store, read in blocks.

    Raises:
        ValueError: inconsistent shapes, or vectors that are ragged, not numeric or not finite.

    Examples:
        >>> similarities([2.0, 0.0], [[1.0, 0.0], [3.0, 4.0]]).astype(float).round(2).tolist()
        [1.0, 0.6]
    """
    vectors = as_vectors(features, "features")
    asked = as_tensor(query, "query", "(D,)")
    if asked.ndim != 1 or asked.shape[0] != vectors.shape[1]:
        raise ValueError(
            f"query has shape {tuple(asked.shape)}, features {tuple(vectors.shape)}; expected (D,) and (N, D)"
        )
    if not asked.isfinite().all():
        raise ValueError("query has NaN or infinite values; expected a finite vector")
    unit = F.normalize(asked.double().cpu(), dim=0)
    parts = [(part @ unit).float().numpy() for _, part in unit_chunks(vectors)]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)
