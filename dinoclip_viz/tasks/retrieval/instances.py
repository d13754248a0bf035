"""Instance retrieval on frozen features: a gallery ranked by cosine, measured as on revisited Oxford and Paris."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.tasks.retrieval.search import CHUNK, Rows, unit_chunks, unit_rows

PROTOCOLS: dict[str, tuple[str, ...]] = {"easy": ("easy",), "medium": ("easy", "hard"), "hard": ("hard",)}
"""Protocol -> the lists whose images answer a query. The images of its other lists are ignored."""
LISTS = ("easy", "hard", "junk")
CUTS = (1, 5, 10)

Truth = Mapping[str, Sequence[int]]
"""One query's lists "easy", "hard" and "junk", rows of the gallery. A list that is not there is empty."""

_QUERIES_AT_ONCE = 64


def instance_retrieval(
    queries: Rows, gallery: Rows, truth: Sequence[Truth], chunk: int = CHUNK
) -> dict[str, dict[str, float]]:
    """Mean average precision, and mean precision at 1, 5 and 10, by each protocol by which some query has an answer.

    Radenović et al. 2018, "Revisiting Oxford and Paris", https://arxiv.org/abs/1803.11285: the gallery is ranked by
    cosine, nothing is trained, and what a protocol ignores is taken out of the ranking. A query without an answer by a
    protocol is left out of its means. A tie counts against the query: of equal cosines the wrong images come first.

    Args:
        queries: (Q, D) raw vectors.
        gallery: (N, D) raw vectors of the same space.
        truth: Q times the lists of rows of the gallery, no row in two of a query's lists.
        chunk: gallery vectors that are compared at once; memory grows with it, not with N.

    Returns:
        {"easy": {"mAP", "mP@1", "mP@5", "mP@10", "queries"}, "medium": ..., "hard": ...}: shares from 0 to 1, and how
        many queries they are the means of.

    Raises:
        ValueError: shapes that do not fit, a row out of range or in two lists, no query with an answer, or vectors
            that are not finite.

    Examples:
        >>> import torch
        >>> gallery = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> found = instance_retrieval(torch.tensor([[1.0, 0.0]]), gallery, [{"easy": [1], "junk": [0]}])
        >>> found["easy"]["mAP"], list(found)
        (1.0, ['easy', 'medium'])
    """
    listed = _listed(queries, gallery, truth)
    ranks = _ranks(queries, gallery, listed, chunk)
    found: dict[str, dict[str, float]] = {}
    for protocol, answering in PROTOCOLS.items():
        each = []
        for (_, kinds), (scores, wrong) in zip(listed, ranks, strict=True):
            answers = np.isin(kinds, [LISTS.index(name) for name in answering])
            if answers.any():
                order = np.argsort(-scores[answers], kind="stable")
                places = wrong[answers][order] + np.arange(len(order))
                each.append([average_precision(places), *(precision_at(places, cut) for cut in CUTS)])
        if each:
            means = np.mean(each, axis=0).tolist()
            names = ("mAP", *(f"mP@{cut}" for cut in CUTS))
            found[protocol] = {**dict(zip(names, means, strict=True)), "queries": len(each)}
    if not found:
        raise ValueError("no query has an answer in the gallery; expected rows under 'easy' or 'hard'")
    return found


def average_precision(places: NDArray[np.int64]) -> float:
    """Area under the curve of precision over recall, by trapezia, as Oxford and Paris are measured.

    Args:
        places: (m,) where in the ranking the query's m answers stand, from 0, ascending.

    Examples:
        >>> average_precision(np.array([0, 1])), average_precision(np.array([1]))
        (1.0, 0.25)
    """
    before = np.arange(len(places))
    left = np.where(places > 0, before / np.maximum(places, 1), 1.0)  # precision just above each answer
    right = (before + 1) / (places + 1)  # and with it
    return float((left + right).mean() / 2)


def precision_at(places: NDArray[np.int64], cut: int) -> float:
    """Share of answers among the first `cut`; among fewer where the last answer stands before, as the protocol has it.

    Args:
        places: as in `average_precision`.
        cut: 1 or more.

    Examples:
        >>> precision_at(np.array([0, 2, 9]), 5), precision_at(np.array([0]), 10)
        (0.4, 1.0)
    """
    looked_at = min(int(places.max()) + 1, cut)
    return float((places < looked_at).sum() / looked_at)


def _listed(queries: Rows, gallery: Rows, truth: Sequence[Truth]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Each query's listed rows and the numbers of their lists."""
    if len(queries.shape) != 2 or len(gallery.shape) != 2 or queries.shape[1] != gallery.shape[1]:
        shapes = f"{tuple(queries.shape)} and {tuple(gallery.shape)}"
        raise ValueError(f"queries and gallery have the shapes {shapes}; expected (Q, D) and (N, D) of one space")
    if len(truth) != queries.shape[0]:
        raise ValueError(f"{len(truth)} queries have a truth, {queries.shape[0]} have a vector; expected one each")
    found = []
    for number, lists in enumerate(truth):
        rows = np.array([row for name in LISTS for row in lists.get(name, ())], np.int64)
        kinds = np.repeat(np.arange(len(LISTS)), [len(lists.get(name, ())) for name in LISTS])
        if len(rows) and not 0 <= rows.min() <= rows.max() < gallery.shape[0]:
            raise ValueError(f"query {number} lists rows {rows.min()} to {rows.max()} of {gallery.shape[0]}")
        if len(np.unique(rows)) < len(rows):
            raise ValueError(f"query {number} lists a row twice; expected each in one of {', '.join(LISTS)}")
        found.append((rows, kinds))
    return found


def _ranks(
    queries: Rows, gallery: Rows, listed: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]], chunk: int
) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Each query's cosines with its listed rows, and how many rows that it does not list are as close or closer."""
    scores = [np.empty(len(rows), np.float32) for rows, _ in listed]
    for query, start, values in _products(queries, gallery, chunk):
        rows, _ = listed[query]
        here = (rows >= start) & (rows < start + len(values))
        scores[query][here] = values[rows[here] - start]
    sorted_scores = [np.sort(own) for own in scores]
    passed = [np.zeros(len(own) + 1, np.int64) for own in scores]  # by how many of the sorted listed ones they reach
    for query, _, values in _products(queries, gallery, chunk):
        own = sorted_scores[query]
        passed[query] += np.bincount(np.searchsorted(own, values, side="right"), minlength=len(own) + 1)
    found = []
    for own, ascending, counts in zip(scores, sorted_scores, passed, strict=True):
        reaching = counts[::-1].cumsum()[::-1]  # of all rows, those that reach at least i of the sorted ones
        every = reaching[np.searchsorted(ascending, own, side="left") + 1]
        found.append((own, every - (own >= own[:, None]).sum(axis=1)))
    return found


def _products(queries: Rows, gallery: Rows, chunk: int) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Number of a query, number of a first row, and the query's (n,) cosines with the rows from there on."""
    count = queries.shape[0]
    asked: list[tuple[int, Tensor]] = [
        (top, unit_rows(queries, top, min(top + _QUERIES_AT_ONCE, count))) for top in range(0, count, _QUERIES_AT_ONCE)
    ]
    for start, part in unit_chunks(gallery, chunk):
        for top, some in asked:
            for query, values in enumerate((some @ part.T).float().numpy(), start=top):
                yield query, start, values
