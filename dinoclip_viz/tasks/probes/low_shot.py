"""Low-shot curves: accuracy of classifiers on frozen features with few training images per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.tasks.probes.knn import Labels, class_numbers, knn_accuracy, numbers_among
from dinoclip_viz.tasks.probes.linear import LinearProbe
from dinoclip_viz.tasks.retrieval.vectors import (
    Indices,
    Numbers,
    Vectors,
    VectorsLike,
    as_tensor,
    as_vectors,
    block,
    indices,
)

SHOTS = (1, 2, 4, 8, 16)
SEEDS = (0, 1, 2, 3, 4)
PENALTY_C = 0.1
"""C of the linear probe, fixed because few images leave none to choose it on."""
NEIGHBOURS = 20

Method = Literal["knn", "class_mean", "linear"]
METHODS: tuple[Method, ...] = ("knn", "class_mean", "linear")


@dataclass(frozen=True)
class Shot:
    """One point of a curve.

    Attributes:
        method: "knn", "class_mean" or "linear".
        shots: training images per class.
        mean: mean accuracy over the draws, 0 to 1.
        deviation: standard deviation of the accuracy over the draws (n - 1).
        draws: number of draws.
    """

    method: Method
    shots: int
    mean: float
    deviation: float
    draws: int


def low_shot(
    gallery: VectorsLike,
    labels: Labels,
    queries: VectorsLike,
    target: Labels,
    shots: Sequence[int] = SHOTS,
    seeds: Sequence[int] = SEEDS,
    methods: Sequence[Method] = METHODS,
) -> list[Shot]:
    """The points of the curves, by method in order and by number of shots.

    "knn" is k-NN with the 20 nearest drawn images, or all where there are fewer; "class_mean" predicts the class with
    the nearest mean of unit vectors; "linear" is a `LinearProbe` of C = .1. A draw with more shots contains the images
    of the draw of the same seed with fewer.

    Args:
        gallery: (N, D) raw vectors from which training images are drawn.
        labels: (N,) their classes.
        queries: (Q, D) raw vectors of the same space.
        target: (Q,) classes of the queries.
        shots: numbers of training images per class.
        seeds: one draw each, two or more.
        methods: the classifiers.

    Raises:
        ValueError: a class of the gallery with fewer images than shots, fewer than two seeds, inconsistent shapes or
            labels, or vectors that are ragged or not numeric.

    Examples:
        >>> gallery, labels = torch.eye(2).repeat(3, 1), ["cat", "dog"] * 3
        >>> low_shot(gallery, labels, gallery[:2], labels[:2], shots=[2], methods=["class_mean"])
        [Shot(method='class_mean', shots=2, mean=1.0, deviation=0.0, draws=5)]
    """
    gallery, queries = as_vectors(gallery, "gallery"), as_vectors(queries, "queries")
    classes, numbers = class_numbers(labels)
    asked = numbers_among(classes, target)
    counts = np.bincount(numbers, minlength=len(classes))
    if not shots or min(shots) < 1 or max(shots) > counts.min():
        fewest = int(counts.argmin())
        raise ValueError(
            f"shots are {list(shots)}; expected 1 to {counts[fewest]}, the images of class {classes[fewest]!s}"
        )
    if len(set(seeds)) < 2:
        raise ValueError(f"found {len(set(seeds))} seeds; expected two or more, for a deviation")
    if len(numbers) != len(gallery) or len(asked) != len(queries):
        raise ValueError(
            f"{len(numbers)} and {len(asked)} labels for {len(gallery)} and {len(queries)} vectors; expected one each"
        )
    found: dict[tuple[Method, int], list[float]] = {}
    test = block(queries, 0, len(queries))
    for seed in seeds:
        order = _by_class(numbers, max(shots), seed)  # (C, most)
        for count in shots:
            rows = order[:, :count].flatten()
            known = _rows(gallery, rows)
            for method in methods:
                found.setdefault((method, count), []).append(_accuracy(method, known, numbers[rows], test, asked))
    points = []
    for method in methods:
        for count in shots:
            values = np.array(found[method, count])
            points.append(Shot(method, count, float(values.mean()), float(values.std(ddof=1)), len(values)))
    return points


def class_mean_accuracy(
    gallery: Numbers | VectorsLike, labels: Indices, queries: Numbers | VectorsLike, target: Indices
) -> float:
    """Accuracy of the nearest class mean by cosine, of unit vectors, 0 to 1.

    Args:
        gallery: (N, D) raw vectors.
        labels: (N,) their classes, 0 to C - 1, each with a vector.
        queries: (Q, D) raw vectors.
        target: (Q,) their classes.

    Raises:
        ValueError: vectors or classes that are ragged or not numeric.

    Examples:
        >>> class_mean_accuracy(torch.eye(2), [0, 1], [[0.9, 0.1]], [0])
        1.0
    """
    known, asked = as_tensor(gallery, "gallery").float(), as_tensor(queries, "queries").float()
    owners = indices(labels, "labels")
    means = torch.zeros(int(owners.max()) + 1, known.shape[1])
    means.index_add_(0, torch.from_numpy(owners), F.normalize(known, dim=-1))
    closest = (asked @ F.normalize(means, dim=-1).T).argmax(1)  # (Q,); the length of a query does not affect the order
    return float((closest.numpy() == indices(target, "target")).mean())


def _accuracy(
    method: Method, known: Tensor, labels: NDArray[np.int64], queries: Tensor, target: NDArray[np.int64]
) -> float:
    if method == "class_mean":
        return class_mean_accuracy(known, labels, queries, target)
    if method == "knn":
        k = min(NEIGHBOURS, len(known))
        return knn_accuracy(known, labels, queries, target, [k])[k]
    return LinearProbe(grid=[PENALTY_C]).fit(known, labels).score(queries, target)


def _by_class(numbers: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """(C, count) rows of each class, drawn without replacement."""
    chance = np.random.default_rng(seed)
    rows = [chance.permutation(np.flatnonzero(numbers == number))[:count] for number in range(int(numbers.max()) + 1)]
    return np.stack(rows)


def _rows(vectors: Vectors, rows: NDArray[np.int64]) -> Tensor:
    """(n, D) float32 on the CPU."""
    return block(vectors, 0, len(rows), rows).cpu()
