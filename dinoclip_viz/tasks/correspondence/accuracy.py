"""Accuracy of correspondences: PCK of points, and the fraction of matches on the same part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.tasks.correspondence.match import Correspondences
from dinoclip_viz.tasks.retrieval.vectors import Numbers, VectorsLike, as_tensor

ALPHAS = (0.05, 0.1, 0.15)
"""Thresholds of PCK, as fractions of the longer side of the object's box."""


def pck(
    predicted: Numbers | VectorsLike,
    target: Numbers | VectorsLike,
    threshold_px: float | Numbers,
) -> float:
    """Percentage of correct keypoints as a fraction, 0 to 1: points within the threshold of their target.

    Args:
        predicted: (N, 2) x and y in pixels, N >= 1.
        target: (N, 2) ground truth, x and y in pixels.
        threshold_px: in pixels, one number or (N,). SPair-71k's PCK@.10 is .10 times the longer side of the object's
            box in the second image.

    Raises:
        ValueError: no points, different shapes, or values that are ragged, not numeric or not finite.

    Examples:
        >>> pck([[0, 0], [10, 0]], [[3, 4], [0, 0]], threshold_px=5)
        0.5
    """
    found = as_tensor(predicted, "predicted", "(N, 2)").float()
    wanted = as_tensor(target, "target", "(N, 2)").float()
    if found.ndim != 2 or found.shape != wanted.shape or found.shape[1] != 2 or not len(found):
        raise ValueError(
            f"predicted {tuple(found.shape)} and target {tuple(wanted.shape)}; expected (N, 2) of both, N >= 1"
        )
    limits = torch.as_tensor(threshold_px, dtype=torch.float32)
    if limits.ndim > 1 or (limits.ndim == 1 and len(limits) != len(found)):
        raise ValueError(f"threshold_px has shape {tuple(limits.shape)}; expected one number, or ({len(found)},)")
    if not (found.isfinite().all() and wanted.isfinite().all() and limits.isfinite().all()):
        raise ValueError("some points or thresholds are not finite; expected pixels")
    away: Tensor = torch.linalg.vector_norm(found - wanted, dim=1)  # (N,)
    return (away <= limits).float().mean().item()


@dataclass(frozen=True)
class PartHits:
    """Counts of the matches of one pair.

    Attributes:
        matches: number of matches.
        on_object: number of matches that start on the object.
        same_part: number of matches that start and end on the same part of the object.
        chance: expected `same_part` if each match ended at a random pixel of the object in the second image.
    """

    matches: int
    on_object: int
    same_part: int
    chance: float


def part_hits(found: Correspondences, parts_a: NDArray[np.integer], parts_b: NDArray[np.integer]) -> PartHits:
    """Counts of the matches on the object and on the same part.

    Args:
        found: matches between two images.
        parts_a: (height, width) parts of the first image, 0 for the background.
        parts_b: (height, width) parts of the second image, 0 for the background.

    Examples:
        >>> found = Correspondences(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.5, 0.5]]), torch.ones(1), 1, (1, 1))
        >>> part_hits(found, np.array([[3]]), np.array([[2, 3]]))
        PartHits(matches=1, on_object=1, same_part=1, chance=0.5)
    """
    begin, end = _labels(parts_a, found.a), _labels(parts_b, found.b)
    on = begin > 0
    seen = parts_b[parts_b > 0]
    fractions = np.bincount(seen, minlength=int(begin.max(initial=0)) + 1) / max(len(seen), 1)
    hits = int((on & (begin == end)).sum())
    return PartHits(len(found), int(on.sum()), hits, float(fractions[begin[on]].sum()))


def part_accuracy(hits: Sequence[PartHits]) -> dict[str, float]:
    """Mean number of matches per pair, and the fractions of all matches on the object, on the same part and by chance.

    Args:
        hits: one per pair, at least one.

    Examples:
        >>> part_accuracy([PartHits(30, 30, 20, 5.0), PartHits(10, 8, 4, 3.0)])
        {'matches': 20.0, 'on_object': 0.95, 'same_part': 0.6, 'chance': 0.2}
    """
    matches = sum(each.matches for each in hits)
    totals = {name: sum(getattr(each, name) for each in hits) for name in ("on_object", "same_part", "chance")}
    return {"matches": matches / len(hits), **{name: value / max(matches, 1) for name, value in totals.items()}}


@dataclass(frozen=True)
class PointHits:
    """Points of one pair, transferred from one image to the other.

    Attributes:
        predicted: (N, 2) x and y in the second image's pixels.
        target: (N, 2) ground truth in the second image's pixels.
        side: the longer side of the object's box in the second image, in pixels.
    """

    predicted: Tensor
    target: Tensor
    side: float


def pck_over_pairs(pairs: Sequence[PointHits], alphas: Sequence[float] = ALPHAS) -> dict[str, dict[float, float]]:
    """PCK at fractions of the object's box, with the two averages of the literature on SPair-71k.

    "per_point" weights all points equally; "per_image" is the mean over pairs of each pair's PCK (SPair-71k's code).

    Args:
        pairs: at least one; those without points are skipped.
        alphas: fractions of the longer side of the box, above 0.

    Raises:
        ValueError: no pair has a point.

    Examples:
        >>> near = PointHits(torch.zeros(1, 2), torch.zeros(1, 2), 10.0)
        >>> far = PointHits(torch.zeros(3, 2), torch.full((3, 2), 9.0), 10.0)
        >>> pck_over_pairs([near, far], [0.1])
        {'per_point': {0.1: 0.25}, 'per_image': {0.1: 0.5}}
    """
    counted = [pair for pair in pairs if len(pair.target)]
    if not counted:
        raise ValueError("no pair has points; expected keypoints, or parts in both images")
    predicted, target = (torch.cat([getattr(pair, name) for pair in counted]) for name in ("predicted", "target"))
    sides = torch.tensor([pair.side for pair in counted]).repeat_interleave(
        torch.tensor([len(pair.target) for pair in counted])
    )
    return {
        "per_point": {alpha: pck(predicted, target, alpha * sides) for alpha in alphas},
        "per_image": {
            alpha: sum(pck(pair.predicted, pair.target, alpha * pair.side) for pair in counted) / len(counted)
            for alpha in alphas
        },
    }


def _labels(parts: NDArray[np.integer], points: Tensor) -> NDArray[np.int64]:
    """(N,) part at each point."""
    height, width = parts.shape
    columns = points[:, 0].floor().long().clamp(0, width - 1).numpy()
    rows = points[:, 1].floor().long().clamp(0, height - 1).numpy()
    labels: NDArray[np.int64] = parts[rows, columns].astype(np.int64)
    return labels
