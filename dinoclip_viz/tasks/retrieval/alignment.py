"""How alike two encoders see the same images, before anything is trained between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.tasks.retrieval.vectors import Indices, Vectors, block, indices, lengths


@dataclass(frozen=True)
class ModalityGap:
    """How far images and texts of one space lie apart.

    Attributes:
        distance: between the centroid of the images' unit vectors and that of the texts', 0 to 2.
        paired_cosine: mean cosine of a text with its image, -1 to 1.
    """

    distance: float
    paired_cosine: float


def linear_cka(a: Vectors, b: Vectors, chunk: int = 8192) -> float:
    """Linear centred kernel alignment of two encoders' vectors of the same images, 0 to 1 (Kornblith et al. 2019).

    It stays the same when either is rotated, mirrored, moved or scaled. Computed in float64 from the D x D, E x E and
    D x E products, chunk by chunk. With fewer images than dimensions it is high even for unrelated vectors.

    Args:
        a: (N, D) raw vectors.
        b: (N, E) raw vectors of the same images in the same order.
        chunk: images at once.

    Raises:
        ValueError: the numbers of vectors differ or are below 2, all vectors of one are equal, or some are not finite.

    Examples:
        >>> round(linear_cka(torch.eye(3), 2 * torch.eye(3).flip(0) + 1), 6)
        1.0
    """
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
    for name, own, mean in (("first", own_a, means[0]), ("second", own_b, means[1])):
        if own <= 1e-12 * count * float(mean.square().sum()):
            raise ValueError(f"all {count} of the {name} vectors are equal; expected vectors that vary")
    return cross**2 / (own_a * own_b)


def mutual_neighbours(a: Vectors, b: Vectors, k: int = 10, chunk: int = 2048) -> float:
    """Share of an image's k nearest neighbours that both encoders agree on, 0 to 1 (Huh et al. 2024, section 2).

    Neighbours are by cosine, without the image itself. By chance it is k / (N - 1).

    Args:
        a: (N, D) raw vectors.
        b: (N, E) raw vectors of the same images in the same order.
        k: neighbours, 1 to N - 1.
        chunk: images at once; memory is chunk x chunk and the neighbours' numbers.

    Raises:
        ValueError: the numbers of vectors differ, k is out of its range, or some vectors are not finite.

    Examples:
        >>> points = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
        >>> mutual_neighbours(points, points.flip(1), k=1)
        1.0
    """
    count = _check_paired(a, b, 2)
    if not 1 <= k < count:
        raise ValueError(f"k is {k}; expected 1 to {count - 1}, as there are {count} images")
    for name, vectors in (("a", a), ("b", b)):
        lengths(vectors, name)
    shared = 0
    for start in range(0, count, chunk):
        stop = min(start + chunk, count)
        one, other = (_nearest(vectors, start, stop, k, chunk).cpu() for vectors in (a, b))  # (C, k)
        shared += int((one[:, :, None] == other[:, None, :]).sum())
    return shared / (count * k)


def modality_gap(images: Vectors, texts: Vectors, text_to_image: Indices | None = None) -> ModalityGap:
    """How far images and texts of one space lie apart (Liang et al. 2022, section 2).

    Args:
        images: (B, D) raw vectors.
        texts: (T, D) raw vectors of the same space.
        text_to_image: (T,) index of the image that each text describes; None pairs them one by one.

    Raises:
        ValueError: shapes that do not fit, an index out of range, nothing to compare, or vectors that are not finite.

    Examples:
        >>> gap = modality_gap(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
        >>> round(gap.distance, 4), gap.paired_cosine
        (1.4142, 0.0)
    """
    owners = np.arange(len(images)) if text_to_image is None else indices(text_to_image)
    if not len(images) or len(owners) != len(texts):
        raise ValueError(f"{len(owners)} indices, {len(texts)} texts, {len(images)} images; expected one index a text")
    if images.shape[1] != texts.shape[1] or int(owners.min()) < 0 or int(owners.max()) >= len(images):
        shapes = f"{tuple(images.shape)} and {tuple(texts.shape)}"
        raise ValueError(f"images and texts of shapes {shapes} with indices up to {int(owners.max())} do not fit")
    lengths(images, "images")
    lengths(texts, "texts")
    centroids = [_sum(vectors, 8192, F.normalize) / len(vectors) for vectors in (images, texts)]
    paired = 0.0
    for start in range(0, len(texts), 8192):
        stop = min(start + 8192, len(texts))
        seen = F.normalize(block(images, start, stop, owners).double(), dim=-1)
        said = F.normalize(block(texts, start, stop).double(), dim=-1).to(seen.device)
        paired += float((seen * said).sum())
    distance = float(torch.linalg.vector_norm(centroids[0] - centroids[1].to(centroids[0].device)))
    return ModalityGap(distance, paired / len(texts))


def _check_paired(a: Vectors, b: Vectors, least: int) -> int:
    if len(a.shape) != 2 or len(b.shape) != 2 or len(a) != len(b):
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"the shapes are {shapes}; expected (N, D) and (N, E), a row for each of the same images")
    if len(a) < least:
        raise ValueError(f"there are {len(a)} images; expected {least} or more")
    return len(a)


def _sum(vectors: Vectors, chunk: int, change: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """(D,) float64 sum of the vectors, each changed before.

    Raises:
        ValueError: some are not finite.
    """
    total = torch.zeros(vectors.shape[1], dtype=torch.float64)
    for start in range(0, len(vectors), chunk):
        part = block(vectors, start, min(start + chunk, len(vectors))).double()
        total = total.to(part.device) + (change(part) if change else part).sum(0)
    if not bool(total.isfinite().all()):
        lengths(vectors, "the vectors")
    return total


def _nearest(vectors: Vectors, start: int, stop: int, k: int, chunk: int) -> Tensor:
    """(stop - start, k) numbers of the closest other vectors."""
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
        best, places = scores.topk(min(k, scores.shape[1]), dim=1)
        found = numbers.gather(1, places)
    return found
