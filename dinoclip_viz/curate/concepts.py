"""Concept coverage: as many pairs for each concept, those nearest to its prototype.

The choice of training pairs of "Harnessing Frozen Unimodal Encoders for Flexible Multimodal Alignment" (Maniparambil et
al. 2025): the concept with the fewest near pairs chooses first, the one with the most last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUEUE = 25
"""Candidates per concept, times the number of pairs that it takes; the published ratio is 50,000 to 2,000."""
_CONCEPTS = 256  # scored at a time


@dataclass(frozen=True)
class ConceptPicks:
    """The pairs that C concepts took.

    Attributes:
        rows: for each concept, the pairs that it took, nearest first.
        scores: for each concept, their cosines with its prototype.
        order: the concepts in the order in which they took their pairs.
        pairs: number of pairs to choose from.
    """

    rows: tuple[NDArray[np.int64], ...]
    scores: tuple[NDArray[np.float32], ...]
    order: tuple[int, ...]
    pairs: int

    @property
    def kept(self) -> NDArray[np.int64]:
        """All pairs that were taken, ascending."""
        return np.sort(np.concatenate(self.rows)) if self.rows else np.zeros(0, np.int64)


def pick_per_concept(
    blocks: Iterable[NDArray[np.generic]],
    prototypes: NDArray[np.generic],
    per_concept: int,
    queue: int | None = None,
) -> ConceptPicks:
    """The pairs nearest to each prototype, each pair for one concept.

    Concepts are visited from the one with the lowest `per_concept`-th best score to the one with the highest; each
    takes its nearest pairs that no other has taken. Of equal scores, the earlier pair is nearer. (As published, the
    score that decides the order is that of the last candidate of a queue of 50,000.)

    Args:
        blocks: parts of the (N, D) vectors of all pairs, in order, raw or unit.
        prototypes: (C, D) vectors of the same space.
        per_concept: number of pairs that each concept takes, 1 or more; fewer where its candidates run out.
        queue: number of candidates per concept, at least `per_concept`; None for 25 times as many.

    Raises:
        ValueError: no pairs or prototypes, other shapes, a vector that is zero or not finite, or a `per_concept` or
            `queue` out of range.

    Examples:
        >>> pairs = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
        >>> [rows.tolist() for rows in pick_per_concept([pairs], np.eye(2), per_concept=1).rows]
        [[0], [2]]
    """
    if per_concept < 1:
        raise ValueError(f"per_concept is {per_concept}; expected 1 or more pairs")
    length = QUEUE * per_concept if queue is None else queue
    if length < per_concept:
        raise ValueError(f"the queue is {length}; expected at least the {per_concept} pairs of a concept")
    concepts = unit(prototypes, "prototype")
    queues = [_Queue(length) for _ in concepts]
    count = 0
    for block in blocks:
        vectors = _checked(block, concepts.shape[1], count)
        for first in range(0, len(concepts), _CONCEPTS):
            scores = concepts[first : first + _CONCEPTS] @ vectors.T  # (C', B)
            for one, row in zip(queues[first : first + _CONCEPTS], scores, strict=True):
                one.add(row, count)
        count += len(vectors)
    if not count:
        raise ValueError("found no pairs; expected at least one")
    return _visited(queues, per_concept, count)


def _visited(queues: Sequence[_Queue], per_concept: int, count: int) -> ConceptPicks:
    best = [one.best() for one in queues]
    levels = [float(scores[min(per_concept, len(scores)) - 1]) for scores, _ in best]
    order = sorted(range(len(queues)), key=lambda concept: (levels[concept], concept))
    taken = np.zeros(count, bool)
    rows: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(queues)
    scores = [np.zeros(0, np.float32)] * len(queues)
    for concept in order:
        values, candidates = best[concept]
        free = np.flatnonzero(~taken[candidates])[:per_concept]
        rows[concept], scores[concept] = candidates[free], values[free]
        taken[candidates[free]] = True
    return ConceptPicks(tuple(rows), tuple(scores), tuple(order), count)


class _Queue:
    """The best candidates of one concept, of equal scores the earliest.

    Args:
        length: number of candidates to keep.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._scores: list[NDArray[np.float32]] = []
        self._rows: list[NDArray[np.int64]] = []
        self._waiting, self._floor = 0, -np.inf

    def add(self, scores: NDArray[np.float32], first: int) -> None:
        """Add the scores of pairs, from row `first` on."""
        fresh = np.flatnonzero(scores > self._floor)  # an equal score would come after those that are kept
        self._scores.append(scores[fresh])
        self._rows.append(fresh + first)
        self._waiting += len(fresh)
        if self._waiting > 2 * self._length:
            scores, rows = self.best()
            self._scores, self._rows = [scores], [rows]
            self._waiting = len(self._rows[0])
            self._floor = float(self._scores[0][-1])

    def best(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Scores and rows of the candidates, best first."""
        scores, rows = np.concatenate(self._scores), np.concatenate(self._rows)
        order = np.argsort(-scores, kind="stable")[: self._length]
        return scores[order], rows[order]


def unit(vectors: NDArray[np.generic], name: str, first: int = 0) -> NDArray[np.float32]:
    """(N, D) unit vectors, float32.

    Args:
        vectors: (N, D) raw vectors, N and D 1 or more.
        name: of one vector, for errors.
        first: number of the first vector, for errors.

    Raises:
        ValueError: another shape, or a vector that is zero or not finite.
    """
    raw = np.asarray(vectors, np.float32)
    if raw.ndim != 2 or not raw.size:
        raise ValueError(f"{name}s of shape {raw.shape}; expected (N, D) vectors, at least one")
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    if len(bad := np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))):
        raise ValueError(f"{name} {first + bad[0]} is zero or not finite; expected a vector with a direction")
    return np.asarray(raw / lengths)


def _checked(block: NDArray[np.generic], width: int, first: int) -> NDArray[np.float32]:
    if block.ndim != 2 or block.shape[1] != width:
        raise ValueError(f"pairs of shape {block.shape}, prototypes of {width} dimensions; expected (B, {width})")
    return unit(block, "pair", first) if len(block) else np.zeros((0, width), np.float32)
