"""Instance retrieval on frozen features: a gallery ranked by cosine, evaluated as in revisited Oxford and Paris."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.tasks.retrieval.search import CHUNK, unit_chunks, unit_rows
from dinoclip_viz.tasks.retrieval.vectors import Indices, Rows, VectorsLike, as_vectors, indices

PROTOCOLS: dict[str, tuple[str, ...]] = {"easy": ("easy",), "medium": ("easy", "hard"), "hard": ("hard",)}
"""Protocol -> the lists of its correct images. Images of the other lists are ignored."""
LISTS = ("easy", "hard", "junk")
CUTS = (1, 5, 10)

Relevant = Mapping[str, Sequence[int]]
"""The lists "easy", "hard" and "junk" of one query, rows of the gallery. A missing list is empty."""

_QUERIES_AT_ONCE = 64
_Listed = tuple[NDArray[np.int64], NDArray[np.int64]]


def instance_retrieval(
    queries: VectorsLike | Rows, gallery: VectorsLike | Rows, relevant: Sequence[Relevant], chunk: int = CHUNK
) -> dict[str, dict[str, float]]:
    """Mean average precision and mean precision at 1, 5 and 10, for each protocol with at least one answered query.

    Radenović et al. 2018, "Revisiting Oxford and Paris", https://arxiv.org/abs/1803.11285: the gallery is ranked by
    cosine, without training, and images that a protocol ignores are removed from the ranking. Queries without a correct
    image are skipped. Ties count against the query: among equal cosines the wrong images rank first.

    Args:
        queries: (Q, D) raw vectors: a tensor, an array, a nested list or rows of a store.
        gallery: (N, D) raw vectors of the same space.
        relevant: the ground truth, Q mappings from the name of a list to rows of the gallery; the lists of a query are
            disjoint.
        chunk: gallery vectors per block; memory grows with it, not with N.

    Returns:
        {"easy": {"mAP", "mP@1", "mP@5", "mP@10", "queries"}, "medium": ..., "hard": ...}: fractions, 0 to 1, and
        the number of queries.

    Raises:
        ValueError: inconsistent shapes, a row out of range or in two lists, no query with a correct image, or vectors
            that are ragged, not numeric or not finite.

    Examples:
        >>> import torch
        >>> gallery = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> found = instance_retrieval(torch.tensor([[1.0, 0.0]]), gallery, [{"easy": [1], "junk": [0]}])
        >>> found["easy"]["mAP"], list(found)
        (1.0, ['easy', 'medium'])
    """
    queries, gallery = as_vectors(queries, "queries"), as_vectors(gallery, "gallery")
    listed = _listed(queries, gallery, relevant)
    ranks = _ranks(queries, gallery, listed, chunk)
    found: dict[str, dict[str, float]] = {}
    for protocol, correct in PROTOCOLS.items():
        each = []
        for (_, kinds), (scores, wrong) in zip(listed, ranks, strict=True):
            answers = np.isin(kinds, [LISTS.index(name) for name in correct])
            if answers.any():
                order = np.argsort(-scores[answers], kind="stable")
                positions = wrong[answers][order] + np.arange(len(order))
                each.append([average_precision(positions), *(precision_at(positions, cut) for cut in CUTS)])
        if each:
            means = np.mean(each, axis=0).tolist()
            names = ("mAP", *(f"mP@{cut}" for cut in CUTS))
            found[protocol] = {**dict(zip(names, means, strict=True)), "queries": len(each)}
    if not found:
        raise ValueError("no query has a correct image in the gallery; expected rows under 'easy' or 'hard'")
    return found


def average_precision(positions: Indices) -> float:
    """Area under the precision-recall curve by the trapezoidal rule, as for Oxford and Paris.

    Args:
        positions: (m,) positions of the query's m correct images in the ranking, from 0, ascending.

    Raises:
        ValueError: positions that are not numbers.

    Examples:
        >>> average_precision([0, 1]), average_precision([1])
        (1.0, 0.25)
    """
    at = indices(positions, "positions")
    before = np.arange(len(at))
    left = np.where(at > 0, before / np.maximum(at, 1), 1.0)  # precision just above each correct image
    right = (before + 1) / (at + 1)  # and including it
    return float((left + right).mean() / 2)


def precision_at(positions: Indices, cut: int) -> float:
    """Fraction of correct images among the first `cut`, or up to the last correct one where that ranks higher.

    Args:
        positions: as in `average_precision`.
        cut: 1 or more.

    Examples:
        >>> precision_at([0, 2, 9], 5), precision_at([0], 10)
        (0.4, 1.0)
    """
    at = indices(positions, "positions")
    counted = min(int(at.max()) + 1, cut)
    return float((at < counted).sum() / counted)


def _listed(
    queries: Rows, gallery: Rows, relevant: Sequence[Relevant]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Each query's listed rows and the numbers of their lists."""
    if queries.shape[1] != gallery.shape[1]:
        shapes = f"{tuple(queries.shape)} and {tuple(gallery.shape)}"
        raise ValueError(f"queries and gallery have the shapes {shapes}; expected (Q, D) and (N, D) of one space")
    if len(relevant) != queries.shape[0]:
        raise ValueError(f"{len(relevant)} ground truths for {queries.shape[0]} queries; expected one each")
    found = []
    for number, lists in enumerate(relevant):
        rows = np.array([row for name in LISTS for row in lists.get(name, ())], np.int64)
        kinds = np.repeat(np.arange(len(LISTS)), [len(lists.get(name, ())) for name in LISTS])
        if len(rows) and not 0 <= rows.min() <= rows.max() < gallery.shape[0]:
            raise ValueError(
                f"query {number} lists rows {rows.min()} to {rows.max()}; expected 0 to {gallery.shape[0] - 1}"
            )
        if len(np.unique(rows)) < len(rows):
            raise ValueError(f"query {number} repeats a row; expected each once, in one of {', '.join(LISTS)}")
        found.append((rows, kinds))
    return found


def _ranks(
    queries: Rows, gallery: Rows, listed: Sequence[_Listed], chunk: int
) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Each query's cosines with its listed rows, and the number of other rows that are at least as similar."""
    scores = [np.empty(len(rows), np.float32) for rows, _ in listed]
    for query, start, values in _products(queries, gallery, chunk):
        rows, _ = listed[query]
        here = (rows >= start) & (rows < start + len(values))
        scores[query][here] = values[rows[here] - start]
    sorted_scores = [np.sort(own) for own in scores]
    passed = [np.zeros(len(own) + 1, np.int64) for own in scores]  # counts by the number of listed ones reached
    for query, _, values in _products(queries, gallery, chunk):
        own = sorted_scores[query]
        passed[query] += np.bincount(np.searchsorted(own, values, side="right"), minlength=len(own) + 1)
    found = []
    for own, ascending, counts in zip(scores, sorted_scores, passed, strict=True):
        reaching = counts[::-1].cumsum()[::-1]  # number of rows that reach at least i of the sorted ones
        total = reaching[np.searchsorted(ascending, own, side="left") + 1]
        found.append((own, total - (own >= own[:, None]).sum(axis=1)))
    return found


def _products(queries: Rows, gallery: Rows, chunk: int) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Number of a query, number of the first row, and the query's (n,) cosines with the rows from there on."""
    count = queries.shape[0]
    asked: list[tuple[int, Tensor]] = [
        (top, unit_rows(queries, top, min(top + _QUERIES_AT_ONCE, count))) for top in range(0, count, _QUERIES_AT_ONCE)
    ]
    for start, part in unit_chunks(gallery, chunk):
        for top, some in asked:
            for query, values in enumerate((some @ part.T).float().numpy(), start=top):
                yield query, start, values
