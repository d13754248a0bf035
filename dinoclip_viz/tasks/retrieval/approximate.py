"""Approximate search with FAISS, and how much of the exact answer it finds; needs the extra `ann`."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.tasks.retrieval.search import CHUNK, Rows, nearest, unit_chunks


class ApproximateIndex:
    """A graph over unit vectors that is walked instead of comparing with all of them.

    Hierarchical navigable small worlds over the vectors as they are (Malkov and Yashunin 2018,
    https://arxiv.org/abs/1603.09320), inner product; nothing is quantised, so that scores are exact cosines and only
    a row can be missed. The vectors and the graph stay in memory: about 4 D + 8 `links` bytes a row.

    Args:
        width: D.
        links: neighbours that a vector is joined to.
        effort: candidates looked at while a vector is put in; more finds better neighbours.

    Raises:
        ImportError: faiss is not installed; the message says how to install it.
    """

    def __init__(self, width: int, links: int = 32, effort: int = 80) -> None:
        faiss = _faiss()
        self.width = width
        self._index = faiss.IndexHNSWFlat(width, links, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = effort

    @classmethod
    def build(cls, vectors: Rows, links: int = 32, effort: int = 80, chunk: int = CHUNK) -> Self:
        """The index of (N, D) raw vectors, read a chunk at a time.

        Raises:
            ImportError: faiss is not installed.
            ValueError: a value is NaN or infinite.
        """
        index = cls(vectors.shape[1], links, effort)
        for _, part in unit_chunks(vectors, chunk):
            index.add(part)
        return index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: Tensor) -> None:
        """Put (n, D) raw vectors in, after those that are there."""
        self._index.add(_unit(vectors))

    def search(self, queries: Tensor, k: int, effort: int = 128) -> tuple[Tensor, Tensor]:
        """(Q, k) cosines and rows that lie close to each query, best first; row -1 and -inf where nothing was found.

        Args:
            queries: (Q, D) raw vectors.
            k: how many; where there are fewer vectors, all of them.
            effort: candidates looked at, at least k; more finds more and takes longer.

        Raises:
            ValueError: k is below 1, or the queries are not (Q, D) and finite.
        """
        if k < 1:
            raise ValueError(f"k is {k}; expected 1 or more")
        if queries.ndim != 2 or queries.shape[1] != self.width or not queries.isfinite().all():
            raise ValueError(f"queries of shape {tuple(queries.shape)}; expected (Q, {self.width}), all finite")
        k = min(k, len(self))
        self._index.hnsw.efSearch = max(effort, k)
        scores, rows = self._index.search(_unit(queries), k)
        order = np.lexsort((rows, -scores), axis=1)  # of equal cosines the lower row first, as the exact search has it
        scores, rows = (np.take_along_axis(values, order, axis=1) for values in (scores, rows))
        scores[rows < 0] = -np.inf
        return torch.from_numpy(scores), torch.from_numpy(rows)


def recall_against_exact(index: ApproximateIndex, vectors: Rows, queries: Tensor, k: int) -> float:
    """Share of the exact search's k best that the index finds, 0 to 1, over all queries.

    A row that is missed in favour of another of the same cosine counts as found.

    Args:
        index: of the vectors.
        vectors: (N, D) raw vectors.
        queries: (Q, D) raw vectors.
        k: how many of the best.

    Raises:
        ValueError: as in `nearest`.
    """
    exact, _ = nearest(queries, vectors, k)  # (Q, k)
    found, _ = index.search(queries, k)  # (Q, k)
    return (found >= exact[:, -1:] - 1e-5).float().mean().item()


def _unit(vectors: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    unit: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = F.normalize(vectors.float().cpu(), dim=-1).numpy()
    return np.ascontiguousarray(unit)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            'approximate search needs FAISS, which is not installed; run: pip install "dinoclip-viz[ann]"'
        ) from error
    return faiss
