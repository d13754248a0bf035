"""Exact nearest neighbours of many queries, tile by tile: what k-NN classification and low-shot curves stand on.

`search` answers a few queries in float64; here come thousands, in float32, and memory is flat in their number as in the
gallery's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.tasks.retrieval.vectors import Vectors, block

_QUERIES_AT_ONCE = 256  # rows of one product
_BLOCKS = 4  # of queries that go by while one chunk of the gallery is in memory
_CHUNK = 8192  # rows of the gallery that are read at once
_NORM = 1e-12  # shorter vectors count as this long, as in torch.nn.functional.normalize


def nearest_blocks(gallery: Vectors, queries: Vectors, k: int) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Runs of queries, with the (n, k) cosines and rows of the gallery vectors closest to each, best first.

    Of equal cosines the lower row comes first. Nothing grows with the number of queries or of gallery vectors: scores
    are made tile by tile, and of a tile only what beats a query's k best so far is looked at twice.

    Args:
        gallery: (N, D) raw vectors.
        queries: (Q, D) raw vectors of the same space.
        k: how many, 1 to N.

    Raises:
        ValueError: shapes that do not fit, vectors that are not finite, or a k out of its range.

    Examples:
        >>> gallery = torch.tensor([[0.0, 1.0], [2.0, 0.0], [3.0, 0.0]])
        >>> for _, cosines, rows in nearest_blocks(gallery, torch.tensor([[1.0, 0.0]]), k=2):
        ...     print(cosines.tolist(), rows.tolist())
        [[1.0, 1.0]] [[1, 2]]
    """
    _check(gallery, queries, k)
    high, wide = _even(len(queries), _QUERIES_AT_ONCE, 8), _even(len(gallery), _CHUNK, 64)
    known = torch.empty(wide, gallery.shape[1])
    product = torch.empty(high, wide)  # always of this shape, so that equal vectors get equal scores wherever they are
    for top in range(0, len(queries), _BLOCKS * high):
        starts = range(top, min(top + _BLOCKS * high, len(queries)), high)
        counts = [min(high, len(queries) - start) for start in starts]
        asked = [_fill(torch.empty(high, queries.shape[1]), queries, start, "queries") for start in starts]
        best = [_Best.none(count) for count in counts]
        for left in range(0, len(gallery), wide):
            _fill(known, gallery, left, "gallery")
            for place, count in enumerate(counts):
                torch.mm(asked[place], known.T, out=product)  # (high, wide)
                scores = product[:count, : len(gallery) - left].numpy()
                best[place] = best[place].with_scores(scores, left, k)
        for start, count, found in zip(starts, counts, best, strict=True):
            yield slice(start, start + count), *found.ordered()


@dataclass(frozen=True, eq=False)
class _Best:
    """The best of what some queries have seen so far: (n, m) cosines and rows, the rows ascending."""

    cosines: NDArray[np.float32]
    rows: NDArray[np.int64]

    @classmethod
    def none(cls, count: int) -> _Best:
        return cls(np.empty((count, 0), np.float32), np.empty((count, 0), np.int64))

    def with_scores(self, scores: NDArray[np.float32], left: int, k: int) -> _Best:
        """The k best with those of one more tile, (n, width) scores of the gallery's rows from `left` on."""
        if self.cosines.shape[1] < k:
            cosines, places = _taken(scores, _greatest(scores, k))
        else:
            cosines, places = _gathered(scores, scores > self.cosines.min(axis=1, keepdims=True))
        cosines = np.concatenate([self.cosines, cosines], axis=1)
        rows = np.concatenate([self.rows, places + left], axis=1)
        if cosines.shape[1] <= k:
            return _Best(cosines, rows)
        keep = _greatest(cosines, k)
        return _Best(cosines[keep].reshape(-1, k), rows[keep].reshape(-1, k))

    def ordered(self) -> tuple[Tensor, Tensor]:
        """(n, k) cosines and rows, best first, of equal cosines the lower row first."""
        cosines, order = torch.from_numpy(self.cosines).sort(dim=1, descending=True, stable=True)
        return cosines, torch.from_numpy(self.rows).gather(1, order)


def _greatest(values: NDArray[np.float32], k: int) -> NDArray[np.bool_]:
    """(n, width) True at exactly min(k, width) values of each row, the greatest, of equal ones the first."""
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
    """(n, m) values and places of what is kept, where every row keeps m."""
    places = np.flatnonzero(keep).reshape(len(keep), -1) % keep.shape[1]  # (n, m)
    return np.take_along_axis(values, places, axis=1), places


def _gathered(values: NDArray[np.float32], keep: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(n, m) values and places of what is kept, m the most that a row keeps, the others padded with -inf at the end."""
    owners, places = np.divmod(np.flatnonzero(keep), keep.shape[1])
    counts = np.bincount(owners, minlength=len(keep))
    slots = np.arange(len(owners)) - (counts.cumsum() - counts)[owners]
    shape = len(keep), int(counts.max(initial=0))
    found, where = np.full(shape, -np.inf, np.float32), np.zeros(shape, np.int64)
    found[owners, slots], where[owners, slots] = values[owners, places], places
    return found, where


def _fill(buffer: Tensor, vectors: Vectors, start: int, name: str) -> Tensor:
    """The buffer with unit vectors, the rows from `start` on, and zeros where there are none left."""
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
    """The size, a multiple of `step`, of equal parts of at most about `most`.

    Examples:
        >>> _even(50_000, 8192, 64), _even(3, 8192, 64)
        (7168, 64)
    """
    parts = -(-count // most)
    return -(-count // (parts * step)) * step if count else step


def _check(gallery: Vectors, queries: Vectors, k: int) -> None:
    if len(gallery.shape) != 2 or len(queries.shape) != 2 or gallery.shape[1] != queries.shape[1]:
        raise ValueError(
            f"gallery and queries have the shapes {tuple(gallery.shape)} and {tuple(queries.shape)}; "
            "expected (N, D) and (Q, D) of one space"
        )
    if not 1 <= k <= len(gallery):
        raise ValueError(f"k is {k}, but the gallery holds {len(gallery)} vectors; expected 1 to {len(gallery)}")
