"""Near duplicates: groups of images with almost equal features, and the image to keep of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.tasks.retrieval.search import unit_chunks, unit_rows
from dinoclip_viz.tasks.retrieval.vectors import Rows, VectorsLike, as_vectors


@dataclass(frozen=True)
class DuplicateGroup:
    """A group of near duplicates.

    Attributes:
        keep: the row to keep, the lowest of the group.
        duplicates: (row, cosine with the kept row), rows ascending. The cosine may be below the threshold for rows
            that are connected through others.
    """

    keep: int
    duplicates: tuple[tuple[int, float], ...]


def near_duplicates(vectors: VectorsLike | Rows, above: float, chunk: int = 2048) -> list[DuplicateGroup]:
    """The connected components of the graph that connects images with a cosine above a threshold.

    As in the deduplication of DINOv2's training set (Oquab et al. 2023, appendix A, https://arxiv.org/abs/2304.07193),
    with all pairs compared instead of nearest neighbours only. Time is quadratic in N; memory is one number per row
    and chunk x chunk scores.

    Args:
        vectors: (N, D) raw vectors: a tensor, an array, a nested list or rows of a store.
        above: threshold of the cosine, -1 to below 1.
        chunk: rows per block; does not affect the result.

    Returns:
        Groups of two or more, in order of the kept rows.

    Raises:
        ValueError: a threshold outside -1 to below 1, chunk below 1, or vectors that are ragged, not numeric or
            not finite.

    Examples:
        >>> near_duplicates(np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]), above=0.9)
        [DuplicateGroup(keep=0, duplicates=((2, 1.0),))]
    """
    if not -1 <= above < 1:
        raise ValueError(f"above is {above}; expected a cosine from -1 to below 1, such as 0.95")
    vectors = as_vectors(vectors, "vectors")
    count = vectors.shape[0]
    parents = np.arange(count)
    for start, part in unit_chunks(vectors, chunk):
        for other in range(start, count, chunk):
            others = part if other == start else unit_rows(vectors, other, min(other + chunk, count))
            close = ((part @ others.T).float() > above).numpy()  # (n, m)
            _join(parents, np.triu(close, 1) if other == start else close, start, other)
    roots = _roots(parents, np.arange(count))
    return _groups(vectors, roots)


def _join(parents: NDArray[np.int64], close: NDArray[np.bool_], left: int, right: int) -> None:
    """Merge close rows, one partner per row and round, which is fast even for many copies of one image."""
    rows = np.flatnonzero(close.any(1))
    while len(rows):
        here = _roots(parents, left + rows)
        there = _roots(parents, right + np.arange(close.shape[1]))
        apart = close[rows] & (here[:, None] != there)
        found = apart.any(1)
        for a, b in zip((left + rows[found]).tolist(), (right + apart[found].argmax(1)).tolist(), strict=True):
            one, other = _root(parents, a), _root(parents, b)
            parents[max(one, other)] = min(one, other)
        rows = rows[found]


def _roots(parents: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) lowest row of the group of each row."""
    roots = parents[rows]
    while not np.array_equal(higher := parents[roots], roots):
        roots = higher
    parents[rows] = roots
    return roots


def _root(parents: NDArray[np.int64], row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = int(parents[row])
    return row


def _groups(vectors: Rows, roots: NDArray[np.int64]) -> list[DuplicateGroup]:
    members: dict[int, list[tuple[int, float]]] = {}
    for row in np.flatnonzero(roots != np.arange(len(roots))).tolist():
        kept = int(roots[row])
        members.setdefault(kept, []).append((row, _cosine(vectors, kept, row)))
    return [DuplicateGroup(kept, tuple(members[kept])) for kept in sorted(members)]


def _cosine(vectors: Rows, one: int, other: int) -> float:
    a, b = (unit_rows(vectors, row, row + 1)[0] for row in (one, other))
    return (a @ b).float().item()
