"""Two labellings of the same images compared: agreement, confidence, and the images whose label changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 10


@dataclass(frozen=True, eq=False)
class Changes:
    """The images whose label changed, the most confident first.

    Attributes:
        rows: (K,) their rows.
        before, after: (K,) class numbers.
        confidence_before: (K,) probability of the class before the change, by the first labelling.
        confidence: (K,) probability of the class after the change.
    """

    rows: Tensor
    before: Tensor
    after: Tensor
    confidence_before: Tensor
    confidence: Tensor

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Change:
    """An image whose label changed.

    Attributes:
        row: of the image.
        before, after: class names.
        confidence_before, confidence: probabilities of the former class before, and of the present one after.
    """

    row: int
    before: str
    after: str
    confidence_before: float
    confidence: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Diagnostics of two labellings of N images.

    Attributes:
        class_names: C names.
        agreement: fraction of the images with equal labels, 0 to 1.
        edges: boundaries of the bins of the histograms, from 0 to 1.
        confidence_before, confidence_after: images per bin of the probability of their label.
        count_before, count_after: images per class.
        changes: the images whose label changed.
    """

    class_names: tuple[str, ...]
    agreement: float
    edges: tuple[float, ...]
    confidence_before: tuple[int, ...]
    confidence_after: tuple[int, ...]
    count_before: tuple[int, ...]
    count_after: tuple[int, ...]
    changes: Changes

    def listed(self) -> list[Change]:
        """The images whose label changed, the most confident first."""
        changes = self.changes
        columns = (changes.rows, changes.before, changes.after, changes.confidence_before, changes.confidence)
        return [
            Change(row, self.class_names[old], self.class_names[new], was, now)
            for row, old, new, was, now in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def json(self, keys: Sequence[str]) -> dict[str, object]:
        """The comparison as JSON values.

        Args:
            keys: N names of the images.
        """
        changed = [
            {
                "image": keys[one.row], "row": one.row, "before": one.before, "after": one.after,
                "probability": round(one.confidence, 4),
            }
            for one in self.listed()
        ]  # fmt: skip
        counts = zip(self.class_names, self.count_before, self.count_after, strict=True)
        return {
            "images": len(keys),
            "agreement": self.agreement,
            "confidence": {
                "edges": list(self.edges),
                "before": list(self.confidence_before),
                "after": list(self.confidence_after),
            },
            "classes": [{"class": name, "before": old, "after": new} for name, old, new in counts],
            "changed": changed,
        }


def agreement(one: Tensor, other: Tensor) -> float:
    """Fraction of the images that have the same label in both labellings, 0 to 1.

    Args:
        one, other: (N,) class numbers.

    Raises:
        ValueError: different numbers of images, or none.

    Examples:
        >>> agreement(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]))
        0.6666666666666666
    """
    if one.shape != other.shape or one.ndim != 1 or not len(one):
        raise ValueError(f"labels have shapes {tuple(one.shape)} and {tuple(other.shape)}; expected (N,) twice, N >= 1")
    return (one == other).double().mean().item()


def confidence_histogram(probabilities: Tensor, bins: int = BINS) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Boundaries of the bins from 0 to 1, and the number of images per bin of the probability of their label.

    Args:
        probabilities: (N, C).
        bins: number of bins, 1 or more; the upper boundary belongs to the next bin, 1 to the last.

    Raises:
        ValueError: another shape, or bins below 1.

    Examples:
        >>> confidence_histogram(torch.tensor([[0.9, 0.1], [0.4, 0.6]]), bins=2)
        ((0.0, 0.5, 1.0), (0, 2))
    """
    if probabilities.ndim != 2 or bins < 1:
        found = f"probabilities have shape {tuple(probabilities.shape)}, bins={bins}"
        raise ValueError(f"{found}; expected (N, C), and 1 bin or more")
    highest = probabilities.double().amax(dim=1)
    numbers = (highest * bins).long().clamp(0, bins - 1)
    edges = tuple(number / bins for number in range(bins + 1))
    return edges, tuple(torch.bincount(numbers, minlength=bins).tolist())


def changed_images(before: Tensor, after: Tensor) -> Changes:
    """The images whose most probable class differs, the most confident after the change first.

    Args:
        before, after: (N, C) probabilities of the same images and classes.

    Raises:
        ValueError: different shapes.

    Examples:
        >>> changes = changed_images(torch.tensor([[0.9, 0.1], [0.6, 0.4]]), torch.tensor([[0.8, 0.2], [0.3, 0.7]]))
        >>> changes.rows.tolist(), changes.before.tolist(), changes.after.tolist()
        ([1], [0], [1])
    """
    if before.shape != after.shape or before.ndim != 2:
        raise ValueError(f"probabilities have shapes {tuple(before.shape)} and {tuple(after.shape)}; expected (N, C)")
    old, new = before.argmax(dim=1), after.argmax(dim=1)
    rows = (old != new).nonzero()[:, 0]
    confidence = after[rows, new[rows]]
    order = confidence.sort(descending=True, stable=True).indices
    rows = rows[order]
    return Changes(rows, old[rows], new[rows], before[rows, old[rows]], confidence[order])


def compare(before: Tensor, after: Tensor, class_names: Sequence[str], bins: int = BINS) -> Comparison:
    """All diagnostics of two labellings.

    Args:
        before, after: (N, C) probabilities of the same images.
        class_names: C names.
        bins: of the histograms.

    Raises:
        ValueError: inconsistent shapes, or no image.
    """
    if before.ndim != 2 or before.shape[1] != len(class_names):
        raise ValueError(f"probabilities have shape {tuple(before.shape)}; expected (N, {len(class_names)})")
    changes = changed_images(before, after)
    edges, first = confidence_histogram(before, bins)
    _, second = confidence_histogram(after, bins)
    labels = before.argmax(dim=1), after.argmax(dim=1)
    counts = [tuple(torch.bincount(each, minlength=len(class_names)).tolist()) for each in labels]
    return Comparison(tuple(class_names), agreement(*labels), edges, first, second, counts[0], counts[1], changes)
