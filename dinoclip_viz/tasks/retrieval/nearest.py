"""Exact nearest neighbours of many queries in tiles, for k-NN classification and low-shot curves.

`search` handles few queries in float64; this handles thousands in float32, in memory that does not grow with the
number of queries or of gallery vectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.tasks.retrieval.vectors import Vectors, VectorsLike, as_vectors, block

_QUERIES_AT_ONCE = 256  # rows of one product
_BLOCKS = 4  # blocks of queries per pass over the gallery
_CHUNK = 8192  # rows of the gallery per block
_NORM = 1e-12  # lower limit of a length, as in torch.nn.functional.normalize


def nearest_blocks(gallery: VectorsLike, queries: VectorsLike, k: int) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Slices of queries with the (n, k) cosines and rows of the nearest gallery vectors, best first.

    Among equal cosines the lower row comes first. Memory does not grow with the number of queries or of gallery
    vectors: scores are computed in tiles, and only those above the k best so far are sorted.

    Args:
        gallery: (N, D) raw vectors: a tensor, an array, a nested list or rows of a store.
        queries: (Q, D) raw vectors of the same space.
        k: number of neighbours, 1 to N.

    Raises:
        ValueError: inconsistent shapes, vectors that are ragged, not numeric or not finite, or a k out of range.

    Examples:
        >>> gallery = torch.tensor([[0.0, 1.0], [2.0, 0.0], [3.0, 0.0]])
        >>> for _, cosines, rows in nearest_blocks(gallery, torch.tensor([[1.0, 0.0]]), k=2):
        ...     print(cosines.tolist(), rows.tolist())
        [[1.0, 1.0]] [[1, 2]]
    """
    gallery, queries = as_vectors(gallery, "gallery"), as_vectors(queries, "queries")
    _check(gallery, queries, k)
    high, wide = _even(len(queries), _QUERIES_AT_ONCE, 8), _even(len(gallery), _CHUNK, 64)
    known = torch.empty(wide, gallery.shape[1])
    product = torch.empty(high, wide)  # of constant shape, so that equal vectors get equal scores at every position
    for top in range(0, len(queries), _BLOCKS * high):
        starts = range(top, min(top + _BLOCKS * high, len(queries)), high)
        counts = [min(high, len(queries) - start) for start in starts]
        asked = [_fill(torch.empty(high, queries.shape[1]), queries, start, "queries") for start in starts]
        best = [_Best.none(count) for count in counts]
        for left in range(0, len(gallery), wide):
            _fill(known, gallery, left, "gallery")
            for index, count in enumerate(counts):
                torch.mm(asked[index], known.T, out=product)  # (high, wide)
                scores = product[:count, : len(gallery) - left].numpy()
                best[index] = best[index].with_scores(scores, left, k)
        for start, count, found in zip(starts, counts, best, strict=True):
            yield slice(start, start + count), *found.ordered()


@dataclass(frozen=True, eq=False)
class _Best:
    """The best matches of some queries so far: (n, m) cosines and rows, the rows ascending."""

    cosines: NDArray[np.float32]
    rows: NDArray[np.int64]

    @classmethod
    def none(cls, count: int) -> _Best:
        return cls(np.empty((count, 0), np.float32), np.empty((count, 0), np.int64))

    def with_scores(self, scores: NDArray[np.float32], left: int, k: int) -> _Best:
        """The k best including one more tile, (n, width) scores of the gallery's rows from `left` on."""
        if self.cosines.shape[1] < k:
            cosines, columns = _taken(scores, _greatest(scores, k))
        else:
            cosines, columns = _gathered(scores, scores > self.cosines.min(axis=1, keepdims=True))
        cosines = np.concatenate([self.cosines, cosines], axis=1)
        rows = np.concatenate([self.rows, columns + left], axis=1)
        if cosines.shape[1] <= k:
            return _Best(cosines, rows)
        keep = _greatest(cosines, k)
        return _Best(cosines[keep].reshape(-1, k), rows[keep].reshape(-1, k))

    def ordered(self) -> tuple[Tensor, Tensor]:
        """(n, k) cosines and rows, best first; among equal cosines the lower row first."""
        cosines, order = torch.from_numpy(self.cosines).sort(dim=1, descending=True, stable=True)
        return cosines, torch.from_numpy(self.rows).gather(1, order)


def _greatest(values: NDArray[np.float32], k: int) -> NDArray[np.bool_]:
    """(n, width) True at the min(k, width) greatest values of each row, the first among equal ones."""
    width = values.shape[1]
    if width <= k:
        return np.ones(values.shape, bool)
    least = np.partition(values, width - k, axis=1)[:, width - k, None]  # (n, 1)
    keep = values >= least
    if np.count_nonzero(keep) > k * len(values):
        above = values > least
        tied = keep & ~above
        keep = above | (tied & (tied.cumsum(axis=1) <= k - above.sum(axis=1, keepdims=True)))
    return keep


def _taken(values: NDArray[np.float32], keep: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(n, m) values and columns of the kept entries, m per row."""
    columns = np.flatnonzero(keep).reshape(len(keep), -1) % keep.shape[1]  # (n, m)
    return np.take_along_axis(values, columns, axis=1), columns


def _gathered(values: NDArray[np.float32], keep: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(n, m) values and columns of the kept entries, m the largest number per row; padded with -inf at the end."""
    owners, columns = np.divmod(np.flatnonzero(keep), keep.shape[1])
    counts = np.bincount(owners, minlength=len(keep))
    slots = np.arange(len(owners)) - (counts.cumsum() - counts)[owners]
    shape = len(keep), int(counts.max(initial=0))
    found, where = np.full(shape, -np.inf, np.float32), np.zeros(shape, np.int64)
    found[owners, slots], where[owners, slots] = values[owners, columns], columns
    return found, where


def _fill(buffer: Tensor, vectors: Vectors, start: int, name: str) -> Tensor:
    """The buffer, filled with the unit vectors of the rows from `start` on, and zeros after the last."""
    part = block(vectors, start, min(start + len(buffer), len(vectors))).cpu()
    lengths = torch.linalg.vector_norm(part, dim=1, keepdim=True)
    if not lengths.isfinite().all():
        row = start + int((~lengths[:, 0].isfinite()).nonzero()[0])
        raise ValueError(
            f"row {row} of the {name} is NaN or infinite; encode it again, on another device or in another dtype"
        )
    torch.div(part, lengths.clamp_min_(_NORM), out=buffer[: len(part)])
    buffer[len(part) :].zero_()
    return buffer


def _even(count: int, most: int, step: int) -> int:
    """The size of equal parts, a multiple of `step` and about `most` or less.

    Examples:
        >>> _even(50_000, 8192, 64), _even(3, 8192, 64)
        (7168, 64)
    """
    parts = -(-count // most)
    return -(-count // (parts * step)) * step if count else step


def _check(gallery: Vectors, queries: Vectors, k: int) -> None:
    if gallery.shape[1] != queries.shape[1]:
        raise ValueError(
            f"gallery and queries have the shapes {tuple(gallery.shape)} and {tuple(queries.shape)}; "
            "expected (N, D) and (Q, D) of one space"
        )
    if not 1 <= k <= len(gallery):
        raise ValueError(f"k is {k}; expected 1 to {len(gallery)}, the number of gallery vectors")
