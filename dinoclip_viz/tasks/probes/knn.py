"""k-nearest-neighbour classification on frozen features: DINO's weighted votes, for several k in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.tasks.retrieval.nearest import nearest_blocks
from dinoclip_viz.tasks.retrieval.search import nearest
from dinoclip_viz.tasks.retrieval.vectors import Numbers, Rows, Vectors, VectorsLike, as_tensor, as_vectors

KS = (10, 20, 100, 200)
"""The numbers of neighbours of DINO's evaluation."""
TEMPERATURE = 0.07

Labels = Sequence[str] | Sequence[int] | Tensor | NDArray[np.generic]
"""(N,) class of each vector, a name or an integer."""

_VOTES_AT_ONCE = 1 << 20  # entries per table of votes


def knn_classify(
    gallery: VectorsLike, labels: Labels, queries: VectorsLike, k: int = 20, temperature: float = TEMPERATURE
) -> NDArray[np.generic]:
    """(Q,) class with the most votes among the k nearest gallery vectors, as a name or an integer as in `labels`.

    The weight of a vote is exp(cosine / temperature), as in DINO's evaluation (Caron et al. 2021,
    https://arxiv.org/abs/2104.14294) after Wu et al. 2018, https://arxiv.org/abs/1805.01978. Among classes with equal
    votes the first in sorted order is predicted.

    Args:
        gallery: (N, D) raw vectors of known classes: a tensor, an array, a nested list or rows of a store.
        labels: (N,) their classes, names or integers.
        queries: (Q, D) raw vectors of the same space.
        k: number of neighbours, 1 to N.
        temperature: above 0; `math.inf` gives all neighbours the same weight.

    Raises:
        ValueError: inconsistent shapes, a class that is neither a name nor an integer, vectors that are ragged, not
            numeric or not finite, a k out of range, or a temperature that is not above 0.

    Examples:
        >>> gallery = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> knn_classify(gallery, ["cat", "cat", "dog"], torch.tensor([[0.1, 1.0], [1.0, 0.2]]), k=1).tolist()
        ['dog', 'cat']
    """
    gallery, queries = as_vectors(gallery, "gallery"), as_vectors(queries, "queries")
    classes, numbers = class_numbers(labels)
    predicted = _predicted(gallery, numbers, len(classes), queries, (k,), temperature)
    chosen: NDArray[np.generic] = classes[predicted[k]]
    return chosen


def knn_accuracy(
    gallery: VectorsLike,
    labels: Labels,
    queries: VectorsLike,
    target: Labels,
    ks: Sequence[int] = KS,
    temperature: float = TEMPERATURE,
) -> dict[int, float]:
    """{k: accuracy, 0 to 1} of k-NN classification, with one search of the gallery for all k.

    Args:
        gallery, labels, queries, temperature: as in `knn_classify`.
        target: (Q,) classes of the queries; a class that is not in the gallery counts as wrong.
        ks: numbers of neighbours, one or more.

    Raises:
        ValueError: as in `knn_classify`, no k, or different numbers of targets and queries.

    Examples:
        >>> knn_accuracy(torch.eye(2), ["cat", "dog"], torch.tensor([[1.0, 0.1], [0.9, 0.5]]), ["cat", "dog"], ks=[1])
        {1: 0.5}
    """
    gallery, queries = as_vectors(gallery, "gallery"), as_vectors(queries, "queries")
    classes, numbers = class_numbers(labels)
    asked = numbers_among(classes, target)
    if len(asked) != len(queries):
        raise ValueError(f"{len(asked)} classes for {len(queries)} queries; expected one each")
    predicted = _predicted(gallery, numbers, len(classes), queries, ks, temperature)
    return {k: float((found == asked).mean()) for k, found in predicted.items()}


def class_votes(
    cosines: Numbers | VectorsLike, numbers: Numbers | VectorsLike, classes: int, temperature: float = TEMPERATURE
) -> Tensor:
    """(Q, C) float64 fraction of the votes for each class; each row sums to 1.

    Args:
        cosines: (Q, k) of each query's neighbours, k >= 1.
        numbers: (Q, k) int64 classes of the neighbours, 0 to C - 1.
        classes: C.
        temperature: as in `knn_classify`.

    Raises:
        ValueError: a temperature that is not above 0.

    Examples:
        >>> votes = class_votes([[0.9, 0.9, 0.9]], [[0, 2, 2]], classes=3)
        >>> votes.round(decimals=2).tolist()
        [[0.33, 0.0, 0.67]]
    """
    cosines, numbers = as_tensor(cosines, "cosines", "(Q, k)"), as_tensor(numbers, "numbers", "(Q, k)")
    weights = _weights(cosines, temperature)
    votes = torch.zeros(len(cosines), classes, dtype=torch.float64).scatter_add_(1, numbers, weights)
    return votes / weights.sum(1, keepdim=True)


@dataclass(frozen=True)
class Vote:
    """The votes of the k nearest labelled vectors for one query.

    Attributes:
        rows: (k,) rows of the neighbours, nearest first.
        cosines: (k,) of the neighbours.
        labels: k classes.
        weights: (k,) fraction of the votes of each neighbour.
        fractions: class -> fraction of the votes, the greatest first.
    """

    rows: Tensor
    cosines: Tensor
    labels: tuple[str, ...]
    weights: Tensor
    fractions: dict[str, float]


def vote(
    query: Numbers | VectorsLike,
    vectors: VectorsLike | Rows,
    labels: Sequence[str | None],
    k: int,
    temperature: float = TEMPERATURE,
) -> Vote:
    """The votes of the k labelled vectors nearest to one query.

    Args:
        query: (1, D) raw vector.
        vectors: (N, D) raw vectors of the same space: a tensor, an array, a nested list or rows of a store.
        labels: N classes, None for an unlabelled vector.
        k: number of neighbours, 1 to the number of labels.
        temperature: as in `knn_classify`.

    Raises:
        ValueError: fewer labels than k, different numbers of labels and vectors, or as in `knn_classify`.

    Examples:
        >>> found = vote(torch.tensor([[1.0, 0.0]]), torch.eye(2).repeat(2, 1), [None, "dog", "cat", "dog"], k=2)
        >>> found.labels, found.rows.tolist()
        (('cat', 'dog'), [2, 1])
    """
    query, vectors = as_tensor(query, "query", "(1, D)"), as_vectors(vectors, "vectors")
    if len(labels) != vectors.shape[0]:
        raise ValueError(f"{len(labels)} labels for {vectors.shape[0]} vectors; expected one each, or None")
    known = torch.tensor([label is not None for label in labels])
    count = int(known.sum())
    if not 1 <= k <= count:
        raise ValueError(f"k is {k}; expected 1 to {count}, the number of labelled images of {len(labels)}")
    wanted = k
    while True:  # search wider until k labelled ones are found
        scores, rows = nearest(query, vectors, wanted)
        keep = known[rows[0]]
        if int(keep.sum()) >= k:
            break
        wanted = min(4 * wanted, len(labels))
    cosines, kept = scores[0][keep][:k], rows[0][keep][:k]
    named = tuple(str(labels[row]) for row in kept.tolist())
    classes, numbers = class_numbers(named)
    votes = class_votes(cosines[None], torch.from_numpy(numbers)[None], len(classes), temperature)[0]
    order = votes.argsort(descending=True, stable=True).tolist()
    weights = _weights(cosines[None], temperature)[0]
    return Vote(kept, cosines, named, weights / weights.sum(), {str(classes[n]): votes[n].item() for n in order})


def class_numbers(labels: Labels) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """The classes in sorted order, and (N,) index of the class of each label.

    Args:
        labels: (N,) names or integers, N >= 1.

    Raises:
        ValueError: no label, more than one axis, or labels that are neither names nor integers.

    Examples:
        >>> classes, numbers = class_numbers(["dog", "cat", "dog"])
        >>> classes.tolist(), numbers.tolist()
        (['cat', 'dog'], [1, 0, 1])
    """
    classes, numbers = np.unique(_array(labels), return_inverse=True)
    return classes, numbers.astype(np.int64)


def numbers_among(classes: NDArray[np.generic], labels: Labels) -> NDArray[np.int64]:
    """(N,) index of each label among the sorted classes, -1 for an unknown one.

    Raises:
        ValueError: as in `class_numbers`, or names where the classes are numbers.

    Examples:
        >>> numbers_among(np.array(["cat", "dog"]), ["dog", "horse"]).tolist()
        [1, -1]
    """
    given = _array(labels)
    kinds = ["names" if array.dtype.kind == "U" else "numbers" for array in (given, classes)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"classes are {kinds[0]} and {kinds[1]}; expected the same for gallery and queries")
    positions = np.searchsorted(classes, given).clip(max=len(classes) - 1)
    return np.where(classes[positions] == given, positions, -1).astype(np.int64)


def _array(labels: Labels) -> NDArray[np.generic]:
    try:
        given = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    except ValueError as error:
        raise ValueError("labels is ragged; expected (N,), one label per image") from error
    if given.ndim != 1 or not len(given):
        raise ValueError(f"labels have shape {given.shape}; expected (N,), one label per image, N >= 1")
    if given.dtype.kind not in "iuU":
        raise ValueError(f"labels have type {given.dtype}, {given[0]!r} first; expected names or integers")
    return given


def _predicted(
    gallery: Vectors,
    numbers: NDArray[np.int64],
    classes: int,
    queries: Vectors,
    ks: Sequence[int],
    temperature: float,
) -> dict[int, NDArray[np.int64]]:
    """{k: (Q,) number of the class with the most votes}."""
    if len(numbers) != len(gallery):
        raise ValueError(f"{len(numbers)} labels for {len(gallery)} vectors; expected one each")
    wanted = sorted(set(ks))
    if not wanted or wanted[0] < 1:
        raise ValueError(f"k is {wanted[0] if wanted else 'missing'}; expected 1 to {len(gallery)}")
    _weights(torch.zeros(1, 1), temperature)  # raises before the search
    found = {k: np.empty(len(queries), np.int64) for k in wanted}
    known = torch.from_numpy(numbers)
    few = max(1, _VOTES_AT_ONCE // classes)
    for rows, cosines, neighbours in nearest_blocks(gallery, queries, wanted[-1]):
        weights = _weights(cosines, temperature)
        voters = known[neighbours]  # (n, k)
        for start in range(0, len(voters), few):
            part = slice(start, start + few)
            votes = torch.zeros(len(voters[part]), classes, dtype=torch.float64)
            for fewer, k in zip([0, *wanted], wanted, strict=False):
                votes.scatter_add_(1, voters[part, fewer:k], weights[part, fewer:k])
                first = rows.start + start
                found[k][first : first + len(votes)] = votes.argmax(1).numpy()
    return found


def _weights(cosines: Tensor, temperature: float) -> Tensor:
    """(Q, k) float64 exp(cosine / temperature), scaled to 1 at the nearest neighbour of each query."""
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; expected a number above 0, such as {TEMPERATURE}, or math.inf")
    cosines = cosines.double()
    return ((cosines - cosines.amax(1, keepdim=True)) / temperature).exp()
