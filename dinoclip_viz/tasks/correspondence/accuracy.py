"""How good correspondences are: PCK of points, and the share of matches that land on the same part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.tasks.correspondence.match import Correspondences

ALPHAS = (0.05, 0.1, 0.15)
"""Shares of the object's box within which a point counts as found."""


def pck(
    predicted: Tensor | Sequence[Sequence[float]],
    truth: Tensor | Sequence[Sequence[float]],
    threshold_px: float | Tensor,
) -> float:
    """Percentage of correct keypoints as a share, 0 to 1: points no farther from the truth than the threshold.

    Args:
        predicted: (N, 2) x and y in pixels, N >= 1.
        truth: (N, 2) likewise.
        threshold_px: in pixels, one for all or (N,). SPair-71k's PCK@.10 is .10 times the longer side of the object's
            box in the second image.

    Raises:
        ValueError: no points, shapes that differ, or values that are not finite.

    Examples:
        >>> pck([[0, 0], [10, 0]], [[3, 4], [0, 0]], threshold_px=5)
        0.5
    """
    found, wanted = (torch.as_tensor(points, dtype=torch.float32) for points in (predicted, truth))
    if found.ndim != 2 or found.shape != wanted.shape or found.shape[1] != 2 or not len(found):
        raise ValueError(
            f"predicted {tuple(found.shape)} and truth {tuple(wanted.shape)}; expected (N, 2) of both, N >= 1"
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
    """Where the matches of one pair landed.

    Attributes:
        matches: how many there were.
        on_object: how many begin on the object.
        same_part: how many begin on a part of the object and end on the same part.
        chance: how many would, had each ended at a random pixel of the object in the second image.
    """

    matches: int
    on_object: int
    same_part: int
    chance: float


def part_hits(found: Correspondences, parts_a: NDArray[np.integer], parts_b: NDArray[np.integer]) -> PartHits:
    """Counts of the matches on the same part; those that begin off the object are no hits.

    Args:
        found: matches between two images.
        parts_a: (height, width) the first image's parts, 0 background.
        parts_b: likewise the second's.

    Examples:
        >>> found = Correspondences(torch.tensor([[0.5, 0.5]]), torch.tensor([[1.5, 0.5]]), torch.ones(1), 1, (1, 1))
        >>> part_hits(found, np.array([[3]]), np.array([[2, 3]]))
        PartHits(matches=1, on_object=1, same_part=1, chance=0.5)
    """
    begin, end = _labels(parts_a, found.a), _labels(parts_b, found.b)
    on = begin > 0
    seen = parts_b[parts_b > 0]
    shares = np.bincount(seen, minlength=int(begin.max(initial=0)) + 1) / max(len(seen), 1)
    hits = int((on & (begin == end)).sum())
    return PartHits(len(found), int(on.sum()), hits, float(shares[begin[on]].sum()))


def part_shares(hits: Sequence[PartHits]) -> dict[str, float]:
    """Over all matches of all pairs: mean matches a pair, and shares on the object, on the same part, and by chance.

    Args:
        hits: one a pair, at least one.

    Examples:
        >>> part_shares([PartHits(30, 30, 20, 5.0), PartHits(10, 8, 4, 3.0)])
        {'matches': 20.0, 'on_object': 0.95, 'same_part': 0.6, 'chance': 0.2}
    """
    matches = sum(each.matches for each in hits)
    shares = {name: sum(getattr(each, name) for each in hits) for name in ("on_object", "same_part", "chance")}
    return {"matches": matches / len(hits), **{name: value / max(matches, 1) for name, value in shares.items()}}


@dataclass(frozen=True)
class PointHits:
    """Points of one pair that were carried from one image to the other.

    Attributes:
        predicted: (N, 2) x and y in the second image's pixels.
        truth: (N, 2) where they are.
        side: the longer side of the object's box in the second image, in pixels.
    """

    predicted: Tensor
    truth: Tensor
    side: float


def pck_over_pairs(pairs: Sequence[PointHits], alphas: Sequence[float] = ALPHAS) -> dict[str, dict[float, float]]:
    """PCK at each share of the object's box, both ways of averaging that papers on SPair-71k use.

    "per_point" counts all points alike; "per_image" is the mean over pairs of each pair's PCK (SPair-71k's own code).

    Args:
        pairs: at least one; those without points do not count.
        alphas: shares of the box's longer side, above 0.

    Raises:
        ValueError: no pair has a point.

    Examples:
        >>> near = PointHits(torch.zeros(1, 2), torch.zeros(1, 2), 10.0)
        >>> far = PointHits(torch.zeros(3, 2), torch.full((3, 2), 9.0), 10.0)
        >>> pck_over_pairs([near, far], [0.1])
        {'per_point': {0.1: 0.25}, 'per_image': {0.1: 0.5}}
    """
    counted = [pair for pair in pairs if len(pair.truth)]
    if not counted:
        raise ValueError("no pair has a point to carry over; expected keypoints, or parts that both images show")
    predicted, truth = (torch.cat([getattr(pair, name) for pair in counted]) for name in ("predicted", "truth"))
    sides = torch.tensor([pair.side for pair in counted]).repeat_interleave(
        torch.tensor([len(pair.truth) for pair in counted])
    )
    return {
        "per_point": {alpha: pck(predicted, truth, alpha * sides) for alpha in alphas},
        "per_image": {
            alpha: sum(pck(pair.predicted, pair.truth, alpha * pair.side) for pair in counted) / len(counted)
            for alpha in alphas
        },
    }


def _labels(parts: NDArray[np.integer], points: Tensor) -> NDArray[np.int64]:
    """(N,) the part at each point."""
    height, width = parts.shape
    columns = points[:, 0].floor().long().clamp(0, width - 1).numpy()
    rows = points[:, 1].floor().long().clamp(0, height - 1).numpy()
    labels: NDArray[np.int64] = parts[rows, columns].astype(np.int64)
    return labels
