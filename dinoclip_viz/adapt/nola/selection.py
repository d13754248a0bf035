"""Selection of the most confident images per predicted class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

GUESSES = 3
"""An image is selected for one of its first three guesses."""
LEAST_IMAGES = 16
_MARGIN = 1e-6  # above the probability of chance


@dataclass(frozen=True)
class Selection:
    """Confident images and their pseudo-labels.

    Attributes:
        rows: (S,) rows of the selected images, ascending.
        numbers: (S,) class number of each, 0 to C - 1.
    """

    rows: Tensor
    numbers: Tensor

    def __len__(self) -> int:
        return len(self.rows)


def images_per_class(count: int, classes: int, fraction: float = 0.2, least: int = 16) -> int:
    """The number of images to select per class: max(least, floor(fraction * count / classes)).

    Examples:
        >>> images_per_class(2_000, 20), images_per_class(50_000, 10)
        (20, 1000)
    """
    return max(least, int(fraction * count / classes + 1e-9))


def select_confident(probabilities: Tensor, k: int) -> Selection:
    """The k most confident images of each predicted class (NoLA, Imam et al. 2024, https://arxiv.org/abs/2411.19346).

    A class that no image is predicted as gets the k most probable images whose second guess it is, or else their third.
    An image that is selected twice keeps the class of its better guess. Among equal probabilities the lower row or
    class comes first. Ground-truth labels are not used.

    Args:
        probabilities: (N, C) of each class for each image.
        k: images per class, 1 or more.

    Raises:
        ValueError: another shape, fewer than two classes or 16 images, values that are not finite, a k below 1, or no
            image with a confident prediction.

    Examples:
        >>> confident = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]).repeat(6, 1)
        >>> chosen = select_confident(confident, k=2)
        >>> chosen.rows.tolist(), chosen.numbers.tolist()
        ([0, 2, 3, 5], [0, 1, 0, 1])
    """
    _check(probabilities, k)
    order = probabilities.sort(dim=1, descending=True, stable=True).indices[:, :GUESSES]  # (N, guesses)
    found: dict[int, int] = {}
    empty = list(range(probabilities.shape[1]))
    for guess in range(order.shape[1]):
        rows_by_class = {number: (order[:, guess] == number).nonzero()[:, 0] for number in empty}
        for number, rows in rows_by_class.items():
            best = probabilities[rows, number].sort(descending=True, stable=True).indices[:k]
            for row in rows[best].tolist():
                found.setdefault(row, number)
        empty = [number for number, rows in rows_by_class.items() if len(rows) == 0]
    chosen = sorted(found)
    return Selection(torch.tensor(chosen), torch.tensor([found[row] for row in chosen]))


def _check(probabilities: Tensor, k: int) -> None:
    if probabilities.ndim != 2:
        raise ValueError(f"probabilities have shape {tuple(probabilities.shape)}; expected (N, C)")
    count, classes = probabilities.shape
    if classes < 2:
        raise ValueError(f"found {classes} class; expected two or more class names")
    if count < LEAST_IMAGES:
        raise ValueError(f"found {count} images; expected at least {LEAST_IMAGES} to learn from")
    if k < 1:
        raise ValueError(f"k is {k}; expected 1 or more images per class")
    if not torch.isfinite(probabilities).all():
        row = int((~torch.isfinite(probabilities).all(dim=1)).nonzero()[0])
        raise ValueError(f"the probabilities of image {row} are NaN or infinite; encode it again in another dtype")
    if float(probabilities.max()) <= 1 / classes + _MARGIN:
        raise ValueError(
            f"found no confident image: no probability exceeds 1/{classes}; expected class names that the model knows"
        )
