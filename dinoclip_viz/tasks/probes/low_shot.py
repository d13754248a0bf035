"""Low-shot curves: how accurate a classifier on frozen features is that knows a few images of each class."""

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
from dinoclip_viz.tasks.retrieval.vectors import Vectors, block

SHOTS = (1, 2, 4, 8, 16)
SEEDS = (0, 1, 2, 3, 4)
PENALTY_C = 0.1
"""C of the linear probe: so few images leave none to choose it on."""
NEIGHBOURS = 20

Method = Literal["knn", "class_mean", "linear"]
METHODS: tuple[Method, ...] = ("knn", "class_mean", "linear")


@dataclass(frozen=True)
class Shot:
    """One point of a curve.

    Attributes:
        method: "knn", "class_mean" or "linear".
        shots: known images of each class.
        mean: accuracy, 0 to 1, over the draws.
        deviation: its standard deviation over the draws (n - 1).
        draws: how many.
    """

    method: Method
    shots: int
    mean: float
    deviation: float
    draws: int


def low_shot(
    gallery: Vectors,
    labels: Labels,
    queries: Vectors,
    truth: Labels,
    shots: Sequence[int] = SHOTS,
    seeds: Sequence[int] = SEEDS,
    methods: Sequence[Method] = METHODS,
) -> list[Shot]:
    """The points of every method's curve: methods in order, and within them the shots.

    "knn" lets the 20 nearest of all drawn images vote, or all where there are fewer; "class_mean" takes the class
    whose mean of unit vectors is closest (nearest class mean); "linear" is a `LinearProbe` of C = .1. A draw with more
    shots holds the images of the same seed's draw with fewer.

    Args:
        gallery: (N, D) raw vectors to draw known images from.
        labels: (N,) their classes.
        queries: (Q, D) raw vectors of the same space; truth: (Q,) their classes.
        shots: images of each class that are known.
        seeds: one draw each, two or more.
        methods: which classifiers.

    Raises:
        ValueError: a class of the gallery has fewer images than shots are asked for, fewer than two seeds, or shapes
            or labels that do not fit.

    Examples:
        >>> gallery, labels = torch.eye(2).repeat(3, 1), ["cat", "dog"] * 3
        >>> low_shot(gallery, labels, gallery[:2], labels[:2], shots=[2], methods=["class_mean"])
        [Shot(method='class_mean', shots=2, mean=1.0, deviation=0.0, draws=5)]
    """
    classes, numbers = class_numbers(labels)
    asked = numbers_among(classes, truth)
    counts = np.bincount(numbers, minlength=len(classes))
    if not shots or min(shots) < 1 or max(shots) > counts.min():
        fewest = int(counts.argmin())
        raise ValueError(
            f"shots are {list(shots)}; expected 1 to {counts[fewest]}, the images that class {classes[fewest]!s} has"
        )
    if len(set(seeds)) < 2:
        raise ValueError(f"{len(set(seeds))} seeds; expected two or more, for a deviation")
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


def class_mean_accuracy(gallery: Tensor, labels: NDArray[np.int64], queries: Tensor, truth: NDArray[np.int64]) -> float:
    """Share of the queries closest by cosine to the mean of their class's unit vectors, 0 to 1.

    Args:
        gallery: (N, D) raw vectors; labels: (N,) classes, 0 to C - 1, each with a vector.
        queries: (Q, D) raw vectors; truth: (Q,) their classes.

    Examples:
        >>> class_mean_accuracy(torch.eye(2), np.array([0, 1]), torch.tensor([[0.9, 0.1]]), np.array([0]))
        1.0
    """
    means = torch.zeros(int(labels.max()) + 1, gallery.shape[1])
    means.index_add_(0, torch.from_numpy(labels), F.normalize(gallery, dim=-1))
    closest = (queries @ F.normalize(means, dim=-1).T).argmax(1)  # (Q,); a query's own length changes no order
    return float((closest.numpy() == truth).mean())


def _accuracy(
    method: Method, known: Tensor, labels: NDArray[np.int64], queries: Tensor, truth: NDArray[np.int64]
) -> float:
    if method == "class_mean":
        return class_mean_accuracy(known, labels, queries, truth)
    if method == "knn":
        k = min(NEIGHBOURS, len(known))
        return knn_accuracy(known, labels, queries, truth, [k])[k]
    return LinearProbe(grid=[PENALTY_C]).fit(known, labels).score(queries, truth)


def _by_class(numbers: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """(C, count) rows of each class, drawn without replacement."""
    chance = np.random.default_rng(seed)
    rows = [chance.permutation(np.flatnonzero(numbers == number))[:count] for number in range(int(numbers.max()) + 1)]
    return np.stack(rows)


def _rows(vectors: Vectors, rows: NDArray[np.int64]) -> Tensor:
    """(n, D) float32 on the CPU."""
    return block(vectors, 0, len(rows), rows).cpu()
