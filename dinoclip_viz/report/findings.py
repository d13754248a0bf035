"""What is found among the images of a report: neighbours, pairs and their matches, PCA colours, an embedding map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.report.reading import Asked, Readable
from dinoclip_viz.report.selection import Pair
from dinoclip_viz.tasks.correspondence.match import Correspondences, match_features
from dinoclip_viz.tasks.embedding_map import method_for, project
from dinoclip_viz.tasks.embedding_map.projection import Method
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA
from dinoclip_viz.tasks.retrieval.nearest import nearest_blocks
from dinoclip_viz.tasks.zero_shot.classify import classify

NEIGHBOURS = 5
PAIRS = 4
"""Pairs of images that are matched where none were asked for."""
MATCHES = 20
LEAST_POINTS = 3
"""Images from which there is an embedding map."""
EQUAL = 0.9999
"""Cosine above which two images are taken for the same one, which is no pair."""


@dataclass(frozen=True)
class Colours:
    """PCA colours of all images, of one basis.

    Attributes:
        parts: (H, W, 3) colours in [0, 1] of the patches of each image.
        variance: fraction of the variance of each of the three components.
        mapping: the basis' mapping of components to colours.
    """

    parts: tuple[Tensor, ...]
    variance: tuple[float, ...]
    mapping: str


@dataclass(frozen=True)
class Matched:
    """Two images and their matches."""

    pair: Pair
    cosine: float
    found: Correspondences


@dataclass(frozen=True)
class Findings:
    """All that a report shows of N images, besides the images.

    Attributes:
        probabilities: (N, T) of each label; None without labels.
        colours: of the patches.
        neighbours: number and cosine of each image's nearest other images, best first; empty for one image.
        matches: of pairs of images; empty for one image.
        points: (N, 2) positions on the embedding map; None for fewer than three images.
        projection: method of the embedding map, "pca" or "umap"; "" without a map.
    """

    probabilities: NDArray[np.float64] | None
    colours: Colours
    neighbours: tuple[tuple[tuple[int, float], ...], ...]
    matches: tuple[Matched, ...]
    points: NDArray[np.float32] | None
    projection: str


def find(
    images: Readable, asked: Asked, labels: Sequence[str], pairs: Sequence[Pair], projection: Method, seed: int
) -> Findings:
    """The findings on images.

    Args:
        images: N >= 1 images.
        asked: their model.
        labels: none, or T >= 2 names.
        pairs: numbers of two images each; if there is none, the most similar images are paired.
        projection: method of the embedding map, as in `project`.
        seed: of the embedding map.
    """
    chances = None
    if images.answers is not None:
        chances = classify(asked.model, images.answers, labels).double().numpy()
    near = nearest(images.vectors)
    chosen = list(pairs) or similar_pairs(near)
    count = len(images.vectors)
    points = project(images.vectors, projection, seed) if count >= LEAST_POINTS else None
    method = "" if points is None else method_for(count, projection)
    return Findings(chances, colours_of(images.parts), near, matched(images, chosen), points, method)


def nearest(vectors: Tensor, count: int = NEIGHBOURS) -> tuple[tuple[tuple[int, float], ...], ...]:
    """Number and cosine of the `count` nearest other vectors of each, best first; empty for one vector.

    Args:
        vectors: (N, D) raw vectors.
        count: 1 or more; at most N - 1 are returned.

    Examples:
        >>> nearest(torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]]), 1)
        (((2, 1.0),), ((0, 0.0),), ((0, 1.0),))
    """
    found: list[tuple[tuple[int, float], ...]] = []
    if len(vectors) < 2:
        return ()
    most = min(count + 1, len(vectors))
    for block, cosines, rows in nearest_blocks(vectors, vectors, most):
        for number, values, others in zip(range(block.start, block.stop), cosines.tolist(), rows.tolist(), strict=True):
            near = [(other, value) for other, value in zip(others, values, strict=True) if other != number]
            found.append(tuple(near[: most - 1]))
    return tuple(found)


def similar_pairs(near: Sequence[Sequence[tuple[int, float]]], count: int = PAIRS) -> list[Pair]:
    """The most similar pairs of images, each image in one pair at most; pairs of equal images are skipped.

    Args:
        near: number and cosine of each image's nearest others.
        count: largest number of pairs.

    Examples:
        >>> similar_pairs([[(1, 0.9)], [(0, 0.9)], [(0, 0.8), (3, 0.5)], [(2, 0.5)]])
        [(0, 1), (2, 3)]
    """
    ranked = sorted(
        (-cosine, min(number, other), max(number, other))
        for number, others in enumerate(near)
        for other, cosine in others
        if cosine < EQUAL
    )
    pairs: list[Pair] = []
    used: set[int] = set()
    for _, first, second in ranked:
        if len(pairs) < count and not {first, second} & used:
            pairs.append((first, second))
            used |= {first, second}
    return pairs


def matched(images: Readable, pairs: Sequence[Pair]) -> tuple[Matched, ...]:
    """The matches of pairs of images."""
    unit = torch.nn.functional.normalize(images.vectors, dim=-1)
    return tuple(
        Matched(
            (first, second),
            float(unit[first] @ unit[second]),
            match_features(images.parts[first], images.parts[second], MATCHES),
        )
        for first, second in pairs
    )


def colours_of(parts: Sequence[ImageFeatures]) -> Colours:
    """PCA colours of patches, by one basis fitted on all of them."""
    pca = PatchPCA(3).fit(parts)
    colours = tuple(each[0] for each in pca.transform(parts))
    return Colours(colours, tuple(pca.explained_variance_.tolist()), pca.colours)
