"""Approximate nearest-neighbour search with FAISS, and its recall of the exact result; needs the extra `ann`."""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.tasks.retrieval.search import CHUNK, nearest, unit_chunks
from dinoclip_viz.tasks.retrieval.vectors import Numbers, Rows, VectorsLike, as_tensor, as_vectors


class ApproximateIndex:
    """An approximate index of unit vectors, a hierarchical navigable small-world graph.

    Malkov and Yashunin 2018, https://arxiv.org/abs/1603.09320, by inner product. Vectors are not quantised: scores are
    exact cosines, but rows can be missed. The vectors and the graph are in memory: about 4 D + 8 `links` bytes per row.

    Args:
        width: D.
        links: number of neighbours per vector in the graph.
        effort: candidates examined per insertion; higher values give a better graph.

    Raises:
        ImportError: faiss is not installed; the message gives the command that installs it.
    """

    def __init__(self, width: int, links: int = 32, effort: int = 80) -> None:
        faiss = _faiss()
        self.width = width
        self._index = faiss.IndexHNSWFlat(width, links, faiss.METRIC_INNER_PRODUCT)
        self._index.hnsw.efConstruction = effort

    @classmethod
    def build(cls, vectors: VectorsLike | Rows, links: int = 32, effort: int = 80, chunk: int = CHUNK) -> Self:
        """An index of (N, D) raw vectors, read in chunks.

        Args:
            vectors: a tensor, an array, a nested list or rows of a store.
            links, effort: as in the constructor.
            chunk: rows per block.

        Raises:
            ImportError: faiss is not installed.
            ValueError: vectors that are ragged, not numeric or not finite.
        """
        vectors = as_vectors(vectors, "vectors")
        index = cls(vectors.shape[1], links, effort)
        for _, part in unit_chunks(vectors, chunk):
            index.add(part)
        return index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: Numbers | VectorsLike) -> None:
        """Append (n, D) raw vectors."""
        self._index.add(_unit(as_tensor(vectors, "vectors")))

    def search(self, queries: Numbers | VectorsLike, k: int, effort: int = 128) -> tuple[Tensor, Tensor]:
        """(Q, k) cosines and rows of the nearest vectors that are found, best first; -inf and row -1 where none is.

        Args:
            queries: (Q, D) raw vectors.
            k: number of neighbours; all where there are fewer vectors.
            effort: candidates examined, at least k; higher values increase recall and latency.

        Raises:
            ValueError: k is below 1, or the queries are not (Q, D) finite numbers.
        """
        queries = as_tensor(queries, "queries", "(Q, D)")
        if k < 1:
            raise ValueError(f"k is {k}; expected 1 or more")
        if queries.ndim != 2 or queries.shape[1] != self.width or not queries.isfinite().all():
            raise ValueError(f"queries have shape {tuple(queries.shape)}; expected (Q, {self.width}), all finite")
        k = min(k, len(self))
        self._index.hnsw.efSearch = max(effort, k)
        scores, rows = self._index.search(_unit(queries), k)
        order = np.lexsort((rows, -scores), axis=1)  # among equal cosines the lower row first, as in the exact search
        scores, rows = (np.take_along_axis(values, order, axis=1) for values in (scores, rows))
        scores[rows < 0] = -np.inf
        return torch.from_numpy(scores), torch.from_numpy(rows)


class Index(Protocol):
    """What finds the nearest of the vectors that it holds."""

    def search(self, queries: Numbers | VectorsLike, k: int) -> tuple[Tensor, Tensor]:
        """(Q, k) cosines and rows, best first."""
        ...


def recall_against_exact(index: Index, vectors: VectorsLike | Rows, queries: Numbers | VectorsLike, k: int) -> float:
    """Fraction of the k nearest vectors of an exact search that the index finds, 0 to 1, over all queries.

    A row that is replaced by another of equal cosine counts as found.

    Args:
        index: of the vectors.
        vectors: (N, D) raw vectors.
        queries: (Q, D) raw vectors.
        k: number of neighbours.

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
            'FAISS is not installed; expected it for approximate search: pip install "dinoclip-viz[ann]"'
        ) from error
    return faiss
