"""Top-k accuracy of a classification, overall and per class."""

from __future__ import annotations

import torch
from torch import Tensor

from dinoclip_viz.tasks.retrieval.vectors import Indices, Numbers, VectorsLike, as_tensor, indices


def top_k_accuracy(scores: Numbers | VectorsLike, target: Indices, k: int = 1) -> float:
    """Fraction of images whose class is among the k highest scores, 0 to 1.

    Among equal scores, the class with the lower number ranks first, as in argmax.

    Args:
        scores: (B, C) score of each class, a tensor, an array or a nested list; higher is better.
        target: (B,) number of the class of each image, 0 to C - 1.
        k: number of highest scores, 1 to C.

    Raises:
        ValueError: inconsistent shapes, values that are not numbers, no image, or a class number or k out of range.

    Examples:
        >>> top_k_accuracy([[0.9, 0.1], [0.8, 0.2]], [0, 1])
        0.5
    """
    return _hits(*_checked(scores, target), k).double().mean().item()


def top_k_accuracy_by_class(scores: Numbers | VectorsLike, target: Indices, k: int = 1) -> Tensor:
    """(C,) float64 top-k accuracy of the images of each class; NaN for a class without images.

    Args:
        scores, target, k: as in `top_k_accuracy`.

    Raises:
        ValueError: as in `top_k_accuracy`.

    Examples:
        >>> top_k_accuracy_by_class([[0.9, 0.1], [0.8, 0.2]], [0, 0]).tolist()
        [1.0, nan]
    """
    table, owners = _checked(scores, target)
    hits = _hits(table, owners, k).double()
    classes = table.shape[1]
    return torch.bincount(owners, hits, minlength=classes) / torch.bincount(owners, minlength=classes)


def _checked(scores: Numbers | VectorsLike, target: Indices) -> tuple[Tensor, Tensor]:
    table = as_tensor(scores, "scores", "(B, C)")
    return table, torch.from_numpy(indices(target, "target")).to(table.device)


def _hits(scores: Tensor, target: Tensor, k: int) -> Tensor:
    if scores.ndim != 2 or target.shape != scores.shape[:1] or not len(target):
        shapes = f"{tuple(scores.shape)} and {tuple(target.shape)}"
        raise ValueError(f"scores and target have the shapes {shapes}; expected (B, C) and (B,), B 1 or more")
    classes = scores.shape[1]
    if int(target.min()) < 0 or int(target.max()) >= classes:
        raise ValueError(f"target contains {int(target.min())} to {int(target.max())}; expected 0 to {classes - 1}")
    if not 1 <= k <= classes:
        raise ValueError(f"k is {k}; expected 1 to {classes}, the number of classes")
    own = scores.gather(1, target[:, None])  # (B, 1)
    earlier = torch.arange(classes, device=scores.device) < target[:, None]  # (B, C)
    return ((scores > own) | ((scores == own) & earlier)).sum(1) < k
