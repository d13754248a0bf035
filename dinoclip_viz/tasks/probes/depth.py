"""Depth from patches: targets per patch, the error measures of the benchmarks, and alignment of relative depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Depths = Tensor | NDArray[np.generic]
"""(height, width) metres; 0 or NaN where unknown."""

EIGEN_CROP = (41, 45, 601, 471)
"""(x0, y0, x1, y1) that Eigen et al. 2014 evaluate of NYU Depth v2's 640 x 480 images, without the sensor's border."""

NEAREST = 1e-3
"""Lower limit of predictions, in metres."""

MEASURES = ("rmse", "absrel", "log10", "delta1")


def patch_depths(
    depth: Depths, grid: tuple[int, int], box: Sequence[float] | Tensor | None = None, high: float | None = None
) -> Tensor:
    """(H, W) mean depth of the known pixels of each patch, float32; NaN where none is known.

    Args:
        depth: (height, width) metres.
        grid: rows H and columns W of patches.
        box: the part of the map that the grid covers, (x0, y0, x1, y1) in its pixels; None for all of it.
        high: upper limit of the depth in metres; None for none.

    Raises:
        ValueError: the map does not have two axes.

    Examples:
        >>> patch_depths(np.array([[1.0, 3.0, 0.0, 4.0]]), grid=(1, 2)).tolist()
        [[2.0, 4.0]]
    """
    values = torch.as_tensor(np.asarray(depth)).double()
    if values.ndim != 2:
        raise ValueError(f"the depth has shape {tuple(values.shape)}; expected (height, width)")
    height, width = values.shape
    rows, columns = grid
    left, top, right, bottom = (0.0, 0.0, width, height) if box is None else [float(side) for side in box]
    row = torch.floor((torch.arange(height) + 0.5 - top) / (bottom - top) * rows).long()
    column = torch.floor((torch.arange(width) + 0.5 - left) / (right - left) * columns).long()
    known = (values > 0) & ((row >= 0) & (row < rows))[:, None] & (column >= 0) & (column < columns)
    cell = (row[:, None] * columns + column)[known]
    metres = values[known] if high is None else values[known].clamp(max=high)
    total = torch.bincount(cell, metres, minlength=rows * columns)
    count = torch.bincount(cell, minlength=rows * columns)
    return (total / count).view(rows, columns).float()  # 0 / 0 is NaN


class DepthErrors:
    """The error measures of depth benchmarks, averaged over images.

    As in Eigen et al. 2014 and in AdaBins' protocol for NYU, which DINOv2 follows, a measure is computed over the
    counted pixels of each image and then averaged: root mean square error in metres, mean absolute relative error, mean
    absolute difference of log10, and the fraction of pixels within a factor of 1.25.

    Args:
        low: only pixels with a greater ground-truth depth count, in metres; 0 skips unknown pixels.
        high: only pixels with at most this ground-truth depth count; predictions are clipped to it.
        crop: (x0, y0, x1, y1) in pixels, the counted part of an image, such as `EIGEN_CROP`; None for all of it.

    Attributes:
        images: number of counted images.
        skipped: number of images without a counted pixel.
        each: root mean square error of each counted image, in metres.

    Raises:
        ValueError: low is not below high.

    Examples:
        >>> errors = DepthErrors(high=10).add(np.array([[2.0, 5.0]]), np.array([[1.0, 5.0]]))
        >>> errors.figures()["absrel"], errors.figures()["delta1"]
        (0.5, 0.5)
    """

    def __init__(self, low: float = 0.0, high: float = 10.0, crop: tuple[int, int, int, int] | None = None) -> None:
        if not 0 <= low < high:
            raise ValueError(f"depths from {low:g} to {high:g} m; expected 0 or more, low below high")
        self.low, self.high, self.crop = low, high, crop
        self.images, self.skipped = 0, 0
        self.each: list[float] = []
        self._sums = dict.fromkeys(MEASURES, 0.0)

    def add(self, predicted: Depths, target: Depths) -> DepthErrors:
        """Add one image; an image without a counted pixel only increments `skipped`.

        Args:
            predicted: (height, width) metres; NaN pixels are skipped.
            target: (height, width) ground truth in metres.

        Raises:
            ValueError: shapes differ.
        """
        guess, known = (torch.as_tensor(np.asarray(values)).double() for values in (predicted, target))
        if guess.shape != known.shape or known.ndim != 2:
            raise ValueError(
                f"predicted {tuple(guess.shape)} and target {tuple(known.shape)}; expected equal shapes (height, width)"
            )
        counts = self.counted(known) & ~guess.isnan()
        if not bool(counts.any()):
            self.skipped += 1
            return self
        metres, actual = guess[counts].clamp(NEAREST, self.high), known[counts]
        ratio = torch.maximum(metres / actual, actual / metres)
        found = {
            "rmse": (metres - actual).square().mean().sqrt(),
            "absrel": ((metres - actual).abs() / actual).mean(),
            "log10": (metres.log10() - actual.log10()).abs().mean(),
            "delta1": (ratio < 1.25).double().mean(),
        }
        self.images += 1
        self.each.append(float(found["rmse"]))
        for name, value in found.items():
            self._sums[name] += float(value)
        return self

    def counted(self, target: Tensor) -> Tensor:
        """(height, width) bool, True where the depth is known, within the range and within the crop."""
        counts = (target > self.low) & (target <= self.high)
        if self.crop is not None:
            x0, y0, x1, y1 = self.crop
            inside = torch.zeros_like(counts)
            inside[y0:y1, x0:x1] = True
            counts &= inside
        return counts

    def figures(self) -> dict[str, float]:
        """`rmse`, `absrel`, `log10` and `delta1`, means over the images.

        Raises:
            ValueError: no image had a counted pixel.
        """
        if not self.images:
            raise ValueError(f"found no depths above {self.low:g} and up to {self.high:g} m; check unit and range")
        return {name: value / self.images for name, value in self._sums.items()}


def aligned(inverse: Depths, target: Depths, counts: Tensor) -> Tensor:
    """(height, width) metres from relative inverse depth, with the best scale and shift.

    Models trained on mixed data predict inverse depth up to a scale and a shift. MiDaS' protocol (Ranftl et al. 2020)
    fits both by least squares to the ground-truth inverse depth of each image. Errors after alignment are
    not comparable with those of models that predict metres.

    Args:
        inverse: (height, width) inverse depth; higher is nearer.
        target: (height, width) ground truth in metres.
        counts: (height, width) bool, the pixels to fit on.

    Examples:
        >>> target = torch.tensor([[1.0, 2.0, 4.0]])
        >>> aligned(5 / target - 3, target, target > 0).tolist()
        [[1.0, 2.0, 4.0]]
    """
    values, known = (torch.as_tensor(np.asarray(given)).double() for given in (inverse, target))
    inputs = torch.stack([values[counts], torch.ones(int(counts.sum()), dtype=torch.double)], dim=1)  # (n, 2)
    best = torch.linalg.lstsq(inputs, (1 / known[counts])[:, None]).solution[:, 0]
    farthest = float(known[counts].max()) if bool(counts.any()) else 1.0
    metres: Tensor = 1 / (values * best[0] + best[1]).clamp(min=1 / (2 * farthest))
    return metres.float()
