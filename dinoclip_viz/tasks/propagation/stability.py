"""How far colours of the same part of an object change over the frames of a video."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ColourStability:
    """Distances between colours at points that are followed by ground truth; colours are RGB in 0..1.

    Attributes:
        flicker: mean distance between a point's colours in consecutive frames.
        drift: mean distance between a point's colour and its colour in the first frame.
        spread: mean distance between the colours of two points of one frame. A map of one colour has no flicker and no
            drift, but no spread either.
        points: number of points.
    """

    flicker: float
    drift: float
    spread: float
    points: int

    @property
    def relative_drift(self) -> float:
        """Drift divided by spread: 0 for colours that stay, about 1 for colours that are drawn anew."""
        return self.drift / self.spread if self.spread else float("nan")

    @property
    def relative_flicker(self) -> float:
        """Flicker divided by spread."""
        return self.flicker / self.spread if self.spread else float("nan")


def colour_stability(colours: Tensor, visible: Tensor) -> ColourStability:
    """Flicker, drift and spread of colours over the frames of a video.

    Args:
        colours: (T, N, 3) colour of each of N points in each of T frames, 0..1.
        visible: (T, N) bool, whether a point is visible in a frame; colours of others are not used.

    Raises:
        ValueError: fewer than two frames or two points, or shapes that do not fit.

    Examples:
        >>> colours = torch.tensor([[[0.0, 0, 0], [1, 0, 0]], [[0.5, 0, 0], [1, 0, 0]]])
        >>> colour_stability(colours, torch.ones(2, 2, dtype=torch.bool))
        ColourStability(flicker=0.25, drift=0.25, spread=0.75, points=2)
    """
    if colours.ndim != 3 or min(colours.shape[:2]) < 2 or visible.shape != colours.shape[:2]:
        raise ValueError(
            f"found colours of shape {tuple(colours.shape)} and visible {tuple(visible.shape)}; expected (T, N, 3) and "
            "(T, N) of two frames and two points or more"
        )
    steps = (colours[1:] - colours[:-1]).norm(dim=-1)[visible[1:] & visible[:-1]]
    away = (colours[1:] - colours[:1]).norm(dim=-1)[visible[1:] & visible[:1]]
    apart = torch.cat([torch.pdist(frame[seen]) for frame, seen in zip(colours, visible, strict=True)])
    flicker, drift, spread = (float(values.mean()) if len(values) else 0.0 for values in (steps, away, apart))
    return ColourStability(flicker, drift, spread, colours.shape[1])
