"""Depth from patches: what a patch's depth is, the error measures of the benchmarks, and maps without a scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Depths = Tensor | NDArray[np.generic]
"""(height, width) metres; 0 or NaN where it is not known."""

EIGEN_CROP = (41, 45, 601, 471)
"""(x0, y0, x1, y1) of NYU Depth v2's 640 x 480 images that Eigen et al. 2014 count: without the sensor's border."""

NEAREST = 1e-3
"""Metres; predictions below are taken as this."""

MEASURES = ("rmse", "absrel", "log10", "delta1")


def patch_depths(
    depth: Depths, grid: tuple[int, int], box: Sequence[float] | Tensor | None = None, high: float | None = None
) -> Tensor:
    """(H, W) mean depth of the known pixels of each patch, float32; NaN where none is known.

    Args:
        depth: (height, width) metres.
        grid: rows H and columns W of patches.
        box: the part of the map that the grid covers, (x0, y0, x1, y1) in its pixels; all of it by default.
        high: farther pixels count as this far.

    Raises:
        ValueError: the map is not of two axes.

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
    return (total / count).view(rows, columns).float()  # nothing by nothing is NaN


class DepthErrors:
    """The error measures of depth benchmarks, image by image.

    As in Eigen et al. 2014 and in AdaBins' protocol for NYU, which DINOv2's figures follow, a measure is taken over the
    counted pixels of an image and then averaged over the images: root mean square error in metres, mean absolute
    error as a share of the truth, mean absolute difference of log10, and the share of pixels off by less than 1.25.

    Args:
        low: pixels whose true depth is above this count, in metres; so 0 leaves unknown pixels out.
        high: pixels whose true depth is at most this count; predictions are cut to it.
        crop: (x0, y0, x1, y1) in pixels: what of an image counts, as `EIGEN_CROP`; None for all of it.

    Raises:
        ValueError: low is not below high.

    Examples:
        >>> errors = DepthErrors(high=10).add(np.array([[2.0, 5.0]]), np.array([[1.0, 5.0]]))
        >>> errors.figures()["absrel"], errors.figures()["delta1"]
        (0.5, 0.5)
    """

    def __init__(self, low: float = 0.0, high: float = 10.0, crop: tuple[int, int, int, int] | None = None) -> None:
        if not 0 <= low < high:
            raise ValueError(f"depths from {low:g} to {high:g} m; expected 0 or more, the first below the second")
        self.low, self.high, self.crop = low, high, crop
        self.images, self.left_out = 0, 0
        self._sums = dict.fromkeys(MEASURES, 0.0)

    def add(self, predicted: Depths, truth: Depths) -> DepthErrors:
        """Count one image; one without a pixel that counts is only noted in `left_out`.

        Args:
            predicted: (height, width) metres. NaN, where nothing was predicted, takes a pixel out.
            truth: (height, width) metres.

        Raises:
            ValueError: shapes differ.
        """
        guess, known = (torch.as_tensor(np.asarray(values)).double() for values in (predicted, truth))
        if guess.shape != known.shape or known.ndim != 2:
            raise ValueError(
                f"predicted {tuple(guess.shape)} and truth {tuple(known.shape)}; expected equal shapes (height, width)"
            )
        counts = self.counted(known) & ~guess.isnan()
        if not bool(counts.any()):
            self.left_out += 1
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
        for name, value in found.items():
            self._sums[name] += float(value)
        return self

    def counted(self, truth: Tensor) -> Tensor:
        """(height, width) bool: the pixels whose depth is known, within the range and within the crop."""
        counts = (truth > self.low) & (truth <= self.high)
        if self.crop is not None:
            x0, y0, x1, y1 = self.crop
            inside = torch.zeros_like(counts)
            inside[y0:y1, x0:x1] = True
            counts &= inside
        return counts

    def figures(self) -> dict[str, float]:
        """`rmse`, `absrel`, `log10` and `delta1`, means over the images.

        Raises:
            ValueError: no image had a pixel that counts.
        """
        if not self.images:
            raise ValueError(f"no pixel has a depth above {self.low:g} and up to {self.high:g} m; check unit and range")
        return {name: value / self.images for name, value in self._sums.items()}


def aligned(inverse: Depths, truth: Depths, counts: Tensor) -> Tensor:
    """(height, width) metres of a map that only orders pixels by nearness, with the scale and shift that suit it best.

    Models trained on mixed data predict inverse depth up to a scale and a shift. MiDaS' protocol (Ranftl et al. 2020)
    finds both by least squares against the true inverse depth, image by image: the truth helps, so such figures
    stand apart from those of models that predict metres.

    Args:
        inverse: (height, width) higher is nearer.
        truth: (height, width) metres.
        counts: (height, width) bool, the pixels whose truth may be used.

    Examples:
        >>> truth = torch.tensor([[1.0, 2.0, 4.0]])
        >>> aligned(5 / truth - 3, truth, truth > 0).tolist()
        [[1.0, 2.0, 4.0]]
    """
    values, known = (torch.as_tensor(np.asarray(given)).double() for given in (inverse, truth))
    inputs = torch.stack([values[counts], torch.ones(int(counts.sum()), dtype=torch.double)], dim=1)  # (n, 2)
    best = torch.linalg.lstsq(inputs, (1 / known[counts])[:, None]).solution[:, 0]
    farthest = float(known[counts].max()) if bool(counts.any()) else 1.0
    metres: Tensor = 1 / (values * best[0] + best[1]).clamp(min=1 / (2 * farthest))
    return metres.float()
