"""Points as labels of patches, and the positions of labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 2
"""Distance in patches around the strongest patch of a point's label whose patches give its position."""


def point_labels(points: Tensor, grid: tuple[int, int], box: Sequence[float]) -> Tensor:
    """(H, W, N) labels of N points: each is divided among the four patches around it by bilinear weights.

    Args:
        points: (N, 2) x and y in the image's pixels, inside the box.
        grid: rows H and columns W of the patches.
        box: (x0, y0, x1, y1) part of the image that they cover.

    Examples:
        >>> point_labels(torch.tensor([[10.0, 5.0]]), (1, 2), (0, 0, 20, 10)).flatten().tolist()
        [0.5, 0.5]
    """
    rows, columns = grid
    across, down = _in_patches(points, grid, box).unbind(1)
    weights_x = (1 - (across[:, None] - torch.arange(columns)).abs()).clamp(min=0)  # (N, W)
    weights_y = (1 - (down[:, None] - torch.arange(rows)).abs()).clamp(min=0)  # (N, H)
    return torch.einsum("nh,nw->hwn", weights_y, weights_x)


def label_positions(labels: Tensor, box: Sequence[float], reach: int = REACH) -> Tensor:
    """(N, 2) position of each label, x and y in pixels: the weighted mean around its strongest patch.

    Args:
        labels: (H, W, N) values of 0 or more.
        box: (x0, y0, x1, y1) part of the image that the patches cover.
        reach: in patches along rows and columns.

    Examples:
        >>> label_positions(torch.tensor([[[0.5], [0.5]]]), (0, 0, 20, 10)).tolist()
        [[10.0, 5.0]]
    """
    rows, columns = labels.shape[:2]
    best = labels.flatten(0, 1).argmax(0)  # (N,)
    row, column = best // columns, best % columns
    near_y = (torch.arange(rows)[:, None] - row).abs() <= reach  # (H, N)
    near_x = (torch.arange(columns)[:, None] - column).abs() <= reach  # (W, N)
    weights = labels * near_y[:, None] * near_x[None]  # (H, W, N)
    weights = weights / weights.sum((0, 1)).clamp(min=torch.finfo(weights.dtype).tiny)
    x = torch.einsum("hwn,w->n", weights, torch.arange(columns).float())
    y = torch.einsum("hwn,h->n", weights, torch.arange(rows).float())
    left, top, right, bottom = box
    scale = torch.tensor([(right - left) / columns, (bottom - top) / rows])
    return (torch.stack([x, y], 1) + 0.5) * scale + torch.tensor([left, top])


def values_at(values: Tensor, points: Tensor, box: Sequence[float]) -> Tensor:
    """(N, C) values of patches at points, interpolated bilinearly; those of the nearest patch beyond the outer centres.

    Args:
        values: (H, W, C) values of patches.
        points: (N, 2) x and y in the image's pixels.
        box: (x0, y0, x1, y1) part of the image that the patches cover.

    Examples:
        >>> values_at(torch.tensor([[[0.0], [1.0]]]), torch.tensor([[5.0, 5.0], [10.0, 5.0]]), (0, 0, 20, 10)).tolist()
        [[0.0], [0.5]]
    """
    corner = torch.tensor(list(box[:2]))
    extent = torch.tensor(list(box[2:])) - corner
    positions = (points.float() - corner) / extent * 2 - 1  # (N, 2)
    grid = values.float().permute(2, 0, 1)[None]  # (1, C, H, W)
    found = F.grid_sample(grid, positions[None, None], mode="bilinear", padding_mode="border", align_corners=False)
    return found[0, :, 0].T


def _in_patches(points: Tensor, grid: tuple[int, int], box: Sequence[float]) -> Tensor:
    """(N, 2) column and row of each point, fractional, within the centres of the outer patches."""
    rows, columns = grid
    left, top, right, bottom = box
    scale = torch.tensor([columns / (right - left), rows / (bottom - top)])
    positions = (points.float() - torch.tensor([left, top])) * scale - 0.5
    return positions.clamp(min=0).minimum(torch.tensor([columns - 1.0, rows - 1.0]))
