"""Conversion between patch grids and positions in images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures


def patch_centres(features: ImageFeatures) -> Tensor:
    """(B, H, W, 2) centre of each patch as (x, y) in its image's pixels, float32.

    Args:
        features: of B images.

    Examples:
        >>> features = ImageFeatures(torch.ones(1, 3), torch.ones(1, 3), torch.ones(1, 1, 2, 3),
        ...     torch.tensor([[0.0, 0.0, 40.0, 10.0]]), torch.tensor([[40, 10]]), "some")
        >>> patch_centres(features).tolist()
        [[[[10.0, 5.0], [30.0, 5.0]]]]
    """
    rows, columns = features.grid
    boxes = features.boxes.float()
    corner, extent = boxes[:, None, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None, None]
    down, across = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    fractions = torch.stack([(across + 0.5) / columns, (down + 0.5) / rows], dim=-1)  # (H, W, 2)
    return corner + fractions * extent


def patch_at(features: ImageFeatures, x: float, y: float, index: int = 0) -> tuple[int, int]:
    """Row and column of the patch at a position in an image.

    Args:
        features: of one or several images.
        x: in the image's pixels, from the left.
        y: in the image's pixels, from the top.
        index: index of the image.

    Raises:
        ValueError: the position is outside the part of the image that the grid covers.

    Examples:
        >>> features = ImageFeatures(torch.ones(1, 3), torch.ones(1, 3), torch.ones(1, 1, 2, 3),
        ...     torch.tensor([[0.0, 0.0, 40.0, 10.0]]), torch.tensor([[40, 10]]), "some")
        >>> patch_at(features, 25, 3)
        (0, 1)
    """
    left, top, right, bottom = features.boxes[index].tolist()
    rows, columns = features.grid
    if not (left <= x <= right and top <= y <= bottom):  # NaN is outside too
        raise ValueError(
            f"({x:g}, {y:g}) is outside the part of the image that the patches cover; "
            f"expected x from {left:g} to {right:g}, y from {top:g} to {bottom:g}"
        )
    row = int((y - top) / (bottom - top) * rows)
    column = int((x - left) / (right - left) * columns)
    return min(row, rows - 1), min(column, columns - 1)


def patch_labels(
    mask: NDArray[np.integer] | Tensor,
    grid: tuple[int, int],
    labels: int,
    box: Sequence[float] | Tensor | None = None,
) -> Tensor:
    """(H, W) int64 most frequent label of the pixels of each patch, the lowest among equals.

    Args:
        mask: (height, width) integer labels, 0 to labels - 1; pixels of other values, such as 255, are skipped.
        grid: rows H and columns W of patches.
        labels: number of labels.
        box: the part of the mask that the grid covers, (x0, y0, x1, y1) in its pixels; None for all of it.

    Returns:
        Labels; -1 for patches without a counted pixel.

    Raises:
        ValueError: the mask does not have two axes, or no pixel of it is in the box.

    Examples:
        >>> patch_labels(np.array([[0, 0, 1, 1], [0, 2, 1, 2]]), grid=(1, 2), labels=3).tolist()
        [[0, 1]]
    """
    values = torch.as_tensor(np.asarray(mask)).long()
    if values.ndim != 2:
        raise ValueError(f"the mask has shape {tuple(values.shape)}; expected (height, width)")
    rows, columns = grid
    height, width = values.shape
    left, top, right, bottom = (0.0, 0.0, width, height) if box is None else [float(side) for side in box]
    row = torch.floor((torch.arange(height) + 0.5 - top) / (bottom - top) * rows).long()
    column = torch.floor((torch.arange(width) + 0.5 - left) / (right - left) * columns).long()
    cell = row[:, None] * columns + column  # (height, width)
    inside = ((row >= 0) & (row < rows))[:, None] & (column >= 0) & (column < columns)
    if not inside.any():
        raise ValueError(f"the box {(left, top, right, bottom)} is outside the mask of {width} x {height} pixels")
    inside &= (values >= 0) & (values < labels)
    counts = torch.bincount(cell[inside] * labels + values[inside], minlength=rows * columns * labels)
    table = counts.view(rows, columns, labels)
    most, best = table.max(dim=-1).values, table.argmax(dim=-1)
    return torch.where(most > 0, best, -1)
