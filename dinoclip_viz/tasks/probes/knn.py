"""k-nearest-neighbour classification on frozen features: DINO's weighted votes, for several k in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.tasks.retrieval.nearest import nearest_blocks
from dinoclip_viz.tasks.retrieval.search import Rows, nearest
from dinoclip_viz.tasks.retrieval.vectors import Vectors

KS = (10, 20, 100, 200)
"""The numbers of neighbours that DINO is measured with."""
TEMPERATURE = 0.07

Labels = Sequence[str] | Sequence[int] | Tensor | NDArray[np.generic]
"""(N,) the class of each vector, by name or by number."""

_VOTES_AT_ONCE = 1 << 20  # values of a table of votes


def knn_classify(
    gallery: Vectors, labels: Labels, queries: Vectors, k: int = 20, temperature: float = TEMPERATURE
) -> NDArray[np.generic]:
    """(Q,) the class that the k nearest of the gallery vote for, by name or number as `labels` has it.

    A neighbour's vote weighs exp(cosine / temperature), as DINO is measured (Caron et al. 2021,
    https://arxiv.org/abs/2104.14294) after Wu et al. 2018, https://arxiv.org/abs/1805.01978. Of classes with equal
    votes the first in sorted order wins.

    Args:
        gallery: (N, D) raw vectors whose classes are known.
        labels: (N,) their classes, names or whole numbers.
        queries: (Q, D) raw vectors of the same space.
        k: how many neighbours vote, 1 to N.
        temperature: above 0; `math.inf` gives every neighbour one vote.

    Raises:
        ValueError: shapes that do not fit, a class that is neither name nor number, vectors that are not finite, a k
            larger than the gallery, or a temperature that is not above 0.

    Examples:
        >>> gallery = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
        >>> knn_classify(gallery, ["cat", "cat", "dog"], torch.tensor([[0.1, 1.0], [1.0, 0.2]]), k=1).tolist()
        ['dog', 'cat']
    """
    classes, numbers = class_numbers(labels)
    predicted = _predicted(gallery, numbers, len(classes), queries, (k,), temperature)
    chosen: NDArray[np.generic] = classes[predicted[k]]
    return chosen


def knn_accuracy(
    gallery: Vectors,
    labels: Labels,
    queries: Vectors,
    truth: Labels,
    ks: Sequence[int] = KS,
    temperature: float = TEMPERATURE,
) -> dict[int, float]:
    """{k: share of the queries whose class the k nearest vote for, 0 to 1}, the gallery searched once for all k.

    Args:
        gallery, labels, queries, temperature: as in `knn_classify`.
        truth: (Q,) the queries' classes; one that the gallery has not is never found.
        ks: numbers of neighbours, one or more.

    Raises:
        ValueError: as in `knn_classify`, no k, or another number of classes than of queries.

    Examples:
        >>> knn_accuracy(torch.eye(2), ["cat", "dog"], torch.tensor([[1.0, 0.1], [0.9, 0.5]]), ["cat", "dog"], ks=[1])
        {1: 0.5}
    """
    classes, numbers = class_numbers(labels)
    asked = numbers_among(classes, truth)
    if len(asked) != len(queries):
        raise ValueError(f"{len(asked)} classes for {len(queries)} queries; expected one each")
    predicted = _predicted(gallery, numbers, len(classes), queries, ks, temperature)
    return {k: float((found == asked).mean()) for k, found in predicted.items()}


def class_votes(cosines: Tensor, numbers: Tensor, classes: int, temperature: float = TEMPERATURE) -> Tensor:
    """(Q, C) float64 share of the votes that each class gets; each row sums to 1.

    Args:
        cosines: (Q, k) of each query's neighbours, k >= 1.
        numbers: (Q, k) int64 classes of the neighbours, 0 to C - 1.
        classes: C.
        temperature: as in `knn_classify`.

    Raises:
        ValueError: a temperature that is not above 0.

    Examples:
        >>> shares = class_votes(torch.tensor([[0.9, 0.9, 0.9]]), torch.tensor([[0, 2, 2]]), classes=3)
        >>> shares.round(decimals=2).tolist()
        [[0.33, 0.0, 0.67]]
    """
    weights = _weights(cosines, temperature)
    votes = torch.zeros(len(cosines), classes, dtype=torch.float64).scatter_add_(1, numbers, weights)
    return votes / weights.sum(1, keepdim=True)


@dataclass(frozen=True)
class Vote:
    """What the k nearest labelled vectors say of one query.

    Attributes:
        rows: (k,) rows of the neighbours, nearest first; cosines: (k,) theirs; labels: k classes.
        weights: (k,) share of the votes that each neighbour holds.
        shares: class -> share of the votes, the greatest first.
    """

    rows: Tensor
    cosines: Tensor
    labels: tuple[str, ...]
    weights: Tensor
    shares: dict[str, float]


def vote(query: Tensor, vectors: Rows, labels: Sequence[str | None], k: int, temperature: float = TEMPERATURE) -> Vote:
    """The votes of the k vectors nearest to one query among those that have a label.

    Args:
        query: (1, D) raw vector.
        vectors: (N, D) raw vectors of the same space.
        labels: N classes, None for a vector without.
        k: how many neighbours, 1 to the number of labels.
        temperature: as in `knn_classify`.

    Raises:
        ValueError: fewer labels than k, another number of labels than of vectors, or as in `knn_classify`.

    Examples:
        >>> told = vote(torch.tensor([[1.0, 0.0]]), torch.eye(2).repeat(2, 1), [None, "dog", "cat", "dog"], k=2)
        >>> told.labels, told.rows.tolist()
        (('cat', 'dog'), [2, 1])
    """
    if len(labels) != vectors.shape[0]:
        raise ValueError(f"{len(labels)} labels for {vectors.shape[0]} vectors; expected one each, or None")
    known = torch.tensor([label is not None for label in labels])
    count = int(known.sum())
    if not 1 <= k <= count:
        raise ValueError(f"k is {k}, but {count} of {len(labels)} images have a label; expected 1 to {count}")
    wanted = k
    while True:  # unlabelled ones stand between: look further until k are found
        scores, rows = nearest(query, vectors, wanted)
        keep = known[rows[0]]
        if int(keep.sum()) >= k:
            break
        wanted = min(4 * wanted, len(labels))
    cosines, places = scores[0][keep][:k], rows[0][keep][:k]
    named = tuple(str(labels[row]) for row in places.tolist())
    classes, numbers = class_numbers(named)
    shares = class_votes(cosines[None], torch.from_numpy(numbers)[None], len(classes), temperature)[0]
    order = shares.argsort(descending=True, stable=True).tolist()
    weights = _weights(cosines[None], temperature)[0]
    return Vote(places, cosines, named, weights / weights.sum(), {str(classes[n]): shares[n].item() for n in order})


def class_numbers(labels: Labels) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """The classes in sorted order, and (N,) which of them each label is.

    Args:
        labels: (N,) names or whole numbers, N >= 1.

    Raises:
        ValueError: no label, more than one axis, or labels that are neither names nor whole numbers.

    Examples:
        >>> classes, numbers = class_numbers(["dog", "cat", "dog"])
        >>> classes.tolist(), numbers.tolist()
        (['cat', 'dog'], [1, 0, 1])
    """
    classes, numbers = np.unique(_array(labels), return_inverse=True)
    return classes, numbers.astype(np.int64)


def numbers_among(classes: NDArray[np.generic], labels: Labels) -> NDArray[np.int64]:
    """(N,) which of the sorted classes each label is, -1 for one that is none of them.

    Raises:
        ValueError: as in `class_numbers`, or names where the classes are numbers.

    Examples:
        >>> numbers_among(np.array(["cat", "dog"]), ["dog", "horse"]).tolist()
        [1, -1]
    """
    given = _array(labels)
    kinds = ["names" if array.dtype.kind == "U" else "numbers" for array in (given, classes)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"some classes are {kinds[0]}, others {kinds[1]}; expected the same for gallery and queries")
    places = np.searchsorted(classes, given).clip(max=len(classes) - 1)
    return np.where(classes[places] == given, places, -1).astype(np.int64)


def _array(labels: Labels) -> NDArray[np.generic]:
    given = labels.cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if given.ndim != 1 or not len(given):
        raise ValueError(f"labels of shape {given.shape}; expected (N,), one label an image, N 1 or more")
    if given.dtype.kind not in "iuU":
        raise ValueError(f"labels of type {given.dtype}, {given[0]!r} first; expected names or whole numbers")
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
    _weights(torch.zeros(1, 1), temperature)  # refused before the search, not after
    found = {k: np.empty(len(queries), np.int64) for k in wanted}
    known = torch.from_numpy(numbers)
    few = max(1, _VOTES_AT_ONCE // classes)
    for rows, cosines, places in nearest_blocks(gallery, queries, wanted[-1]):
        weights = _weights(cosines, temperature)
        voters = known[places]  # (n, k)
        for start in range(0, len(voters), few):
            part = slice(start, start + few)
            votes = torch.zeros(len(voters[part]), classes, dtype=torch.float64)
            for fewer, k in zip([0, *wanted], wanted, strict=False):
                votes.scatter_add_(1, voters[part, fewer:k], weights[part, fewer:k])
                first = rows.start + start
                found[k][first : first + len(votes)] = votes.argmax(1).numpy()
    return found


def _weights(cosines: Tensor, temperature: float) -> Tensor:
    """(Q, k) float64 exp(cosine / temperature), the nearest of each query scaled to 1, which changes no decision."""
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; expected more than 0, such as {TEMPERATURE}, or math.inf")
    cosines = cosines.double()
    return ((cosines - cosines.amax(1, keepdim=True)) / temperature).exp()
