"""The unlabelled criterion by which an epoch is chosen: agreement of neighbours, and an alarm of collapse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dinoclip_viz.tasks.retrieval.nearest import nearest_blocks


@dataclass(frozen=True)
class EpochRecord:
    """Figures of one epoch of the tuning; none of them is of ground-truth labels.

    Attributes:
        epoch: number of the epoch, from 1.
        loss: mean training loss.
        agreement: fraction of (image, neighbour) pairs with equal predictions, 0 to 1.
        entropy: entropy of the predicted classes in nats, 0 to log C.
        kept: fraction of the pseudo-labels that the tuned model predicts.
    """

    epoch: int
    loss: float
    agreement: float
    entropy: float
    kept: float


def neighbour_rows(features: Tensor, k: int) -> Tensor:
    """(N, k) rows of the nearest images of each image by cosine, itself excluded; k is at most N - 1.

    Args:
        features: (N, D) raw vectors of a frozen encoder, N >= 2.
        k: number of neighbours, 1 or more.

    Raises:
        ValueError: fewer than two images, a k below 1, or vectors that are not finite.

    Examples:
        >>> neighbour_rows(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), k=1).tolist()
        [[1], [0], [1]]
    """
    if len(features) < 2 or k < 1:
        raise ValueError(f"found {len(features)} images and k {k}; expected two images or more and k of 1 or more")
    k = min(k, len(features) - 1)
    found = torch.empty(len(features), k, dtype=torch.long)
    for rows, _, nearest in nearest_blocks(features, features, k + 1):
        itself = torch.arange(rows.start, rows.start + len(nearest))[:, None]
        others = nearest != itself  # (n, k + 1)
        others[others.all(dim=1), -1] = False  # more equal images than neighbours
        found[rows] = nearest[others].view(-1, k)
    return found


def agreement(predictions: Tensor, neighbours: Tensor) -> float:
    """Fraction of (image, neighbour) pairs with equal predictions.

    Args:
        predictions: (N,) class numbers.
        neighbours: (N, k) rows, from `neighbour_rows`.

    Examples:
        >>> agreement(torch.tensor([0, 0, 1]), torch.tensor([[1], [0], [1]]))
        0.6666666865348816
    """
    return (predictions[neighbours] == predictions[:, None]).float().mean().item()


def class_entropy(predictions: Tensor) -> float:
    """Entropy of the histogram of (N,) class numbers in nats, 0 if all are equal.

    Examples:
        >>> round(class_entropy(torch.tensor([0, 1, 0, 1])), 4), class_entropy(torch.tensor([2, 2]))
        (0.6931, 0.0)
    """
    fractions = predictions.bincount().double() / len(predictions)
    fractions = fractions[fractions > 0]
    return abs(-(fractions * fractions.log()).sum().item())


def choose_epoch(history: Sequence[EpochRecord], least_entropy: float) -> EpochRecord:
    """The epoch with the highest agreement among those that did not collapse, the last of equals.

    If all collapsed, it is the epoch with the highest entropy.

    Args:
        history: one record or more.
        least_entropy: entropy in nats below which an epoch counts as collapsed.
    """
    sound = [record for record in history if record.entropy >= least_entropy]
    if sound:
        return max(sound, key=lambda record: (record.agreement, record.epoch))
    return max(history, key=lambda record: (record.entropy, record.epoch))
