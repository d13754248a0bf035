"""Accuracy of a classification, overall and class by class."""

from __future__ import annotations

import torch
from torch import Tensor


def top_k_accuracy(scores: Tensor, truth: Tensor, k: int = 1) -> float:
    """Share of images whose class is among the k best, 0 to 1.

    Of classes with the same score the one listed first counts as the better, as argmax has it.

    Args:
        scores: (B, C) a score for each class; higher is closer.
        truth: (B,) number of the class that each image is of.
        k: how many classes to look at, 1 to C.

    Raises:
        ValueError: shapes that do not fit, no image, a class number or a k out of range.

    Examples:
        >>> top_k_accuracy(torch.tensor([[0.9, 0.1], [0.8, 0.2]]), torch.tensor([0, 1]))
        0.5
    """
    return _hits(scores, truth, k).double().mean().item()


def top_k_accuracy_by_class(scores: Tensor, truth: Tensor, k: int = 1) -> Tensor:
    """(C,) float64 share of each class's images whose class is among the k best; NaN for a class without images.

    Args:
        scores, truth, k: as in `top_k_accuracy`.

    Raises:
        ValueError: as in `top_k_accuracy`.

    Examples:
        >>> top_k_accuracy_by_class(torch.tensor([[0.9, 0.1], [0.8, 0.2]]), torch.tensor([0, 0])).tolist()
        [1.0, nan]
    """
    hits = _hits(scores, truth, k).double()
    classes = scores.shape[1]
    return torch.bincount(truth, hits, minlength=classes) / torch.bincount(truth, minlength=classes)


def _hits(scores: Tensor, truth: Tensor, k: int) -> Tensor:
    if scores.ndim != 2 or truth.shape != scores.shape[:1] or not len(truth):
        shapes = f"{tuple(scores.shape)} and {tuple(truth.shape)}"
        raise ValueError(f"scores and truth have the shapes {shapes}; expected (B, C) and (B,), B 1 or more")
    classes = scores.shape[1]
    if int(truth.min()) < 0 or int(truth.max()) >= classes:
        raise ValueError(f"truth holds {int(truth.min())} to {int(truth.max())}; expected 0 to {classes - 1}")
    if not 1 <= k <= classes:
        raise ValueError(f"k is {k}, but there are {classes} classes; expected 1 to {classes}")
    own = scores.gather(1, truth[:, None])  # (B, 1)
    earlier = torch.arange(classes, device=scores.device) < truth[:, None]  # (B, C)
    return ((scores > own) | ((scores == own) & earlier)).sum(1) < k
