"""Measures of affordance maps: AGD20K's KLD, SIM and NSS, average precision of pixels, and IoU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

EPSILON = 1e-12
"""Added to sums and logarithms, as in AGD20K's evaluation."""
FIXATED = 0.1
"""Values of the min-max-normalised target above it count as fixated, in NSS."""
HALF = 0.5

Map = NDArray[np.float64]


def normalised(values: ArrayLike) -> Map:
    """(h, w) map scaled to its own lowest and highest value, 0 to 1; a flat map becomes 0.

    Examples:
        >>> normalised([[2.0, 4.0]]).round(6).tolist()
        [[0.0, 1.0]]
    """
    given = np.asarray(values, np.float64)
    if given.ndim != 2 or not np.isfinite(given).all():
        raise ValueError(f"found a map of shape {given.shape}; expected finite values (height, width)")
    low, high = given.min(), given.max()
    scaled: Map = (given - low) / (high - low + EPSILON)
    return scaled


def kld(predicted: ArrayLike, target: ArrayLike) -> float:
    """Kullback-Leibler divergence of the predicted from the true distribution over pixels; lower is better.

    Args:
        predicted: (h, w) values of 0 or more.
        target: (h, w) values of 0 or more, not all 0.

    Examples:
        >>> round(kld([[1.0, 1.0]], [[1.0, 0.0]]), 4)  # log 2
        0.6931
    """
    found, true = _distribution(predicted), _distribution(target)
    return float((true * np.log(true / (found + EPSILON) + EPSILON)).sum())


def sim(predicted: ArrayLike, target: ArrayLike) -> float:
    """Histogram intersection of both distributions over pixels, 0 to 1; higher is better.

    Args:
        predicted, target: as in `kld`.

    Examples:
        >>> round(sim([[1.0, 1.0]], [[1.0, 0.0]]), 4)
        0.5
    """
    return float(np.minimum(_distribution(predicted), _distribution(target)).sum())


def nss(predicted: ArrayLike, target: ArrayLike) -> float:
    """Normalised scanpath saliency: mean standardised prediction where the target is above a tenth; higher is better.

    Args:
        predicted: (h, w) values of any range.
        target: (h, w), not flat.

    Examples:
        >>> round(nss([[1.0, -1.0]], [[1.0, 0.0]]), 4)
        1.0
    """
    values = np.asarray(predicted, np.float64)
    fixated = normalised(target) > FIXATED
    standard = (values - values.mean()) / (values.std() + EPSILON)
    return float(standard[fixated].mean())


def average_precision(predicted: ArrayLike, target: ArrayLike) -> float:
    """Area under precision over recall of the pixels, 0 to 1, equal values taken together, as in scikit-learn.

    Args:
        predicted: (h, w) values of any range.
        target: (h, w) bool with at least one True.

    Examples:
        >>> average_precision([[3.0, 2.0, 1.0]], [[True, False, True]])
        0.8333333333333333
    """
    scores, true = np.asarray(predicted, np.float64).ravel(), np.asarray(target).astype(bool).ravel()
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], true[order].cumsum()
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of each run of equal values
    found = hits[last]
    precision, gained = found / (last + 1), np.diff(found, prepend=0) / found[-1]
    return float((precision * gained).sum())


def iou_counts(predicted: ArrayLike, target: ArrayLike) -> tuple[int, int]:
    """Pixels in the intersection and in the union of the target and the min-max-normalised map above one half."""
    found, true = normalised(predicted) > HALF, np.asarray(target).astype(bool)
    return int((found & true).sum()), int((found | true).sum())


@dataclass(frozen=True)
class MapScores:
    """Scores of one map.

    Attributes:
        verb: that was asked for.
        kld, sim, nss: of AGD20K.
        ap: average precision of the pixels; None for a target that is no hard mask.
        overlap: intersection and union in pixels; None likewise.
    """

    verb: str
    kld: float
    sim: float
    nss: float
    ap: float | None = None
    overlap: tuple[int, int] | None = None


def score_map(verb: str, predicted: ArrayLike, target: ArrayLike, hard: bool) -> MapScores:
    """The scores of one map for a verb that the image answers, by AGD20K's protocol.

    The map is scaled to 0 to 1 by its own lowest and highest value.

    Args:
        verb: that was asked for.
        predicted: (h, w) values of any range.
        target: (h, w) in [0, 1], not flat.
        hard: whether the target is a mask rather than a blurred heat map.

    Raises:
        ValueError: shapes differ, or the target is flat.
    """
    found, true = normalised(predicted), np.asarray(target, np.float64)
    if found.shape != true.shape:
        raise ValueError(f"a map of {found.shape} for a target of {true.shape}; expected equal shapes")
    if true.min() < 0 or true.min() == true.max():
        raise ValueError(f"{verb}: a target from {true.min():g} to {true.max():g}; expected a region in it")
    plain = kld(found, true), sim(found, true), nss(found, true)
    if not hard:
        return MapScores(verb, *plain)
    mask = true > HALF
    return MapScores(verb, *plain, average_precision(found, mask), iou_counts(found, mask))


@dataclass
class Summary:
    """Scores of many maps; means are over the maps, mIoU over the verbs.

    Attributes:
        scores: of each map.
    """

    scores: list[MapScores] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """`kld`, `sim`, `nss`, and with hard masks `ap` and `miou`, by name, with the number of `maps`.

        mIoU is the mean over the verbs of the intersection over the union of all of a verb's pixels.

        Raises:
            ValueError: there are no scores.
        """
        if not self.scores:
            raise ValueError("found no maps to score; expected at least one image that answers a verb")
        found = {name: _mean([getattr(one, name) for one in self.scores]) for name in ("kld", "sim", "nss")}
        if all(one.ap is not None for one in self.scores):
            found["ap"] = _mean([one.ap for one in self.scores if one.ap is not None])
            found["miou"] = _mean(list(self._iou().values()))
        return {**found, "maps": float(len(self.scores))}

    def by_verb(self) -> dict[str, dict[str, float]]:
        """The figures of each verb."""
        verbs = dict.fromkeys(one.verb for one in self.scores)
        return {verb: Summary([one for one in self.scores if one.verb == verb]).figures() for verb in verbs}

    def _iou(self) -> dict[str, float]:
        sums: dict[str, tuple[int, int]] = {}
        for one in self.scores:
            inside, union = sums.get(one.verb, (0, 0))
            more = one.overlap or (0, 0)
            sums[one.verb] = inside + more[0], union + more[1]
        return {verb: inside / union for verb, (inside, union) in sums.items() if union}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _distribution(values: ArrayLike) -> Map:
    given = np.asarray(values, np.float64)
    shares: Map = given / (given.sum() + EPSILON)
    return shares
