"""Similarity of two encoders' features of the same images, and the gap between images and texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.tasks.retrieval.vectors import Indices, Vectors, VectorsLike, as_vectors, block, indices, lengths


@dataclass(frozen=True)
class ModalityGap:
    """The distance between images and texts in one space.

    Attributes:
        distance: between the centroids of the unit vectors of images and of texts, 0 to 2.
        paired_cosine: mean cosine of a text with its image, -1 to 1.
    """

    distance: float
    paired_cosine: float


def linear_cka(a: VectorsLike, b: VectorsLike, chunk: int = 8192) -> float:
    """Linear centred kernel alignment of two encoders' vectors of the same images, 0 to 1 (Kornblith et al. 2019).

    Invariant to rotation, reflection, translation and scale of either. Computed in float64 from the D x D, E x E and
    D x E products, in chunks. With fewer images than dimensions it is high even for unrelated vectors.

    Args:
        a: (N, D) raw vectors: a tensor, an array, a nested list or rows of a store.
        b: (N, E) raw vectors of the same images in the same order.
        chunk: images per block.

    Raises:
        ValueError: the numbers of vectors differ or are below 2, all vectors of one are equal, or vectors are ragged,
            not numeric or not finite.

    Examples:
        >>> round(linear_cka(torch.eye(3), 2 * torch.eye(3).flip(0) + 1), 6)
        1.0
    """
    a, b = as_vectors(a, "a"), as_vectors(b, "b")
    count = _check_paired(a, b, 2)
    means = [_sum(vectors, chunk) / count for vectors in (a, b)]
    squares = [
        torch.zeros(x.shape[1], y.shape[1], dtype=torch.float64, device=means[0].device)
        for x, y in ((a, b), (a, a), (b, b))
    ]
    for start in range(0, count, chunk):
        stop = min(start + chunk, count)
        one, other = (
            block(vectors, start, stop).double().to(squares[0].device) - mean.to(squares[0].device)
            for vectors, mean in zip((a, b), means, strict=True)
        )
        for total, (x, y) in zip(squares, ((one, other), (one, one), (other, other)), strict=True):
            total.addmm_(x.T, y)  # (D, E), (D, D), (E, E)
    cross, own_a, own_b = (float(torch.linalg.matrix_norm(total)) for total in squares)
    for name, own, mean in (("a", own_a, means[0]), ("b", own_b, means[1])):
        if own <= 1e-12 * count * float(mean.square().sum()):
            raise ValueError(f"all {count} vectors of {name} are equal; expected vectors that vary")
    return cross**2 / (own_a * own_b)


def mutual_neighbours(a: VectorsLike, b: VectorsLike, k: int = 10, chunk: int = 2048) -> float:
    """Mean fraction of k nearest neighbours that both encoders share, 0 to 1 (Huh et al. 2024, section 2).

    Neighbours are by cosine, without the image itself. The chance level is k / (N - 1).

    Args:
        a: (N, D) raw vectors: a tensor, an array, a nested list or rows of a store.
        b: (N, E) raw vectors of the same images in the same order.
        k: number of neighbours, 1 to N - 1.
        chunk: images per block; memory is chunk x chunk and the indices of the neighbours.

    Raises:
        ValueError: the numbers of vectors differ, k is out of range, or vectors are ragged, not numeric or not finite.

    Examples:
        >>> points = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
        >>> mutual_neighbours(points, points.flip(1), k=1)
        1.0
    """
    a, b = as_vectors(a, "a"), as_vectors(b, "b")
    count = _check_paired(a, b, 2)
    if not 1 <= k < count:
        raise ValueError(f"k is {k}; expected 1 to {count - 1}, for {count} images")
    for name, vectors in (("a", a), ("b", b)):
        lengths(vectors, name)
    shared = 0
    for start in range(0, count, chunk):
        stop = min(start + chunk, count)
        one, other = (_nearest(vectors, start, stop, k, chunk).cpu() for vectors in (a, b))  # (C, k)
        shared += int((one[:, :, None] == other[:, None, :]).sum())
    return shared / (count * k)


def modality_gap(images: VectorsLike, texts: VectorsLike, text_to_image: Indices | None = None) -> ModalityGap:
    """The distance between images and texts in one space (Liang et al. 2022, section 2).

    Args:
        images: (B, D) raw vectors.
        texts: (T, D) raw vectors of the same space.
        text_to_image: (T,) index of the image that each text describes; None pairs them in order.

    Raises:
        ValueError: inconsistent shapes, an index out of range, no images, or vectors that are ragged, not numeric or
            not finite.

    Examples:
        >>> gap = modality_gap(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
        >>> round(gap.distance, 4), gap.paired_cosine
        (1.4142, 0.0)
    """
    images, texts = as_vectors(images, "images"), as_vectors(texts, "texts")
    owners = np.arange(len(images)) if text_to_image is None else indices(text_to_image)
    if not len(images) or len(owners) != len(texts):
        raise ValueError(
            f"{len(owners)} indices for {len(texts)} texts of {len(images)} images; expected one index per text"
        )
    if images.shape[1] != texts.shape[1] or int(owners.min()) < 0 or int(owners.max()) >= len(images):
        shapes = f"{tuple(images.shape)} and {tuple(texts.shape)}"
        raise ValueError(f"images and texts have shapes {shapes}; expected (B, D) and (T, D), indices 0 to B - 1")
    lengths(images, "images")
    lengths(texts, "texts")
    centroids = [_sum(vectors, 8192, F.normalize) / len(vectors) for vectors in (images, texts)]
    paired = 0.0
    for start in range(0, len(texts), 8192):
        stop = min(start + 8192, len(texts))
        image = F.normalize(block(images, start, stop, owners).double(), dim=-1)
        text = F.normalize(block(texts, start, stop).double(), dim=-1).to(image.device)
        paired += float((image * text).sum())
    distance = float(torch.linalg.vector_norm(centroids[0] - centroids[1].to(centroids[0].device)))
    return ModalityGap(distance, paired / len(texts))


def _check_paired(a: Vectors, b: Vectors, least: int) -> int:
    if len(a) != len(b):
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"a and b have the shapes {shapes}; expected (N, D) and (N, E), one row per image")
    if len(a) < least:
        raise ValueError(f"found {len(a)} images; expected {least} or more")
    return len(a)


def _sum(vectors: Vectors, chunk: int, change: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """(D,) float64 sum of the vectors, each transformed by `change` first.

    Raises:
        ValueError: some are not finite.
    """
    total = torch.zeros(vectors.shape[1], dtype=torch.float64)
    for start in range(0, len(vectors), chunk):
        part = block(vectors, start, min(start + chunk, len(vectors))).double()
        total = total.to(part.device) + (change(part) if change else part).sum(0)
    if not bool(total.isfinite().all()):
        lengths(vectors, "vectors")
    return total


def _nearest(vectors: Vectors, start: int, stop: int, k: int, chunk: int) -> Tensor:
    """(stop - start, k) row numbers of the nearest other vectors."""
    asked = F.normalize(block(vectors, start, stop), dim=-1)
    best = torch.empty(len(asked), 0, device=asked.device)
    found = torch.empty(len(asked), 0, dtype=torch.int64, device=asked.device)
    for first in range(0, len(vectors), chunk):
        last = min(first + chunk, len(vectors))
        scores = asked @ F.normalize(block(vectors, first, last), dim=-1).T  # (C, chunk)
        if first == start:
            scores.fill_diagonal_(-torch.inf)
        numbers = torch.arange(first, last, device=asked.device).expand_as(scores)
        scores, numbers = torch.cat([best, scores], 1), torch.cat([found, numbers], 1)
        best, columns = scores.topk(min(k, scores.shape[1]), dim=1)
        found = numbers.gather(1, columns)
    return found
