"""Attention from pixels to a window of patches: the weighted mean that every edge-aware method computes.

Letters in shapes: B images, H x W patches, k x k pixels per patch, N = (2 radius + 1)² patches per window.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

AT_ONCE = 1 << 21
"""Weights computed at once without a gradient, which bounds the memory and fits a processor's cache."""


def weighted_patches(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor, radius: int) -> Tensor:
    """(B, H k, W k, C) mean of the values around each pixel, weighted by softmax(bias + queries · keys).

    A pixel attends to the patches of the window around its own patch; at the borders patches are replicated. The
    weights are positive and sum to 1, so that the result stays within the range of the values.

    Args:
        queries: (B, H k, W k, D) of the pixels.
        keys: (B, H, W, D) of the patches.
        values: (B, H, W, C) of the patches.
        bias: (k k, N) logit of each pixel of a patch with each patch of its window.
        radius: of the window in patches, 0 or more.

    Examples:
        >>> values = torch.tensor([[[[1.0], [3.0]]]])
        >>> flat = torch.zeros(1, 2, 4, 1), torch.zeros(1, 1, 2, 1), values, torch.zeros(4, 9)
        >>> weighted_patches(*flat, radius=1)[0, 0, :, 0]
        tensor([1.6667, 1.6667, 2.3333, 2.3333])
    """
    rows, columns = keys.shape[1:3]
    factor = queries.shape[1] // rows
    near_keys, near_values = bordered(keys, radius), bordered(values, radius)
    step = rows if torch.is_grad_enabled() else max(1, AT_ONCE // (len(keys) * columns * bias.numel()))
    strips = []
    for top in range(0, rows, step):
        bottom = min(top + step, rows)
        asked = cells(queries[:, top * factor : bottom * factor], factor).flatten(0, 2)  # (n, k k, D)
        reach = slice(top, bottom + 2 * radius)
        logits = torch.baddbmm(bias, asked, windows(near_keys[:, reach], radius).flatten(0, 2).mT)  # (n, k k, N)
        found = logits.softmax(-1) @ windows(near_values[:, reach], radius).flatten(0, 2)  # (n, k k, C)
        strips.append(joined(found.unflatten(0, (len(keys), bottom - top, columns)), factor))
    return torch.cat(strips, dim=1)


def bordered(grid: Tensor, radius: int) -> Tensor:
    """(B, H + 2 radius, W + 2 radius, D) the grid (B, H, W, D) with replicated borders."""
    padding = (radius, radius, radius, radius)
    return F.pad(grid.permute(0, 3, 1, 2), padding, mode="replicate").permute(0, 2, 3, 1)


def windows(grid: Tensor, radius: int) -> Tensor:
    """(B, H, W, N, D) the patches around each patch, row by row, of a bordered grid."""
    side = 2 * radius + 1
    found: Tensor = grid.unfold(1, side, 1).unfold(2, side, 1).flatten(4).transpose(3, 4)
    return found


def cells(pixels: Tensor, factor: int) -> Tensor:
    """(B, H, W, k k, D) the pixels (B, H k, W k, D) by patch, row by row; `factor` is k."""
    count, height, width, size = pixels.shape
    parted = pixels.view(count, height // factor, factor, width // factor, factor, size)
    found: Tensor = parted.transpose(2, 3).flatten(3, 4)
    return found


def joined(parted: Tensor, factor: int) -> Tensor:
    """(B, H k, W k, D) the pixels of `cells` as images."""
    found: Tensor = parted.unflatten(3, (factor, factor)).transpose(2, 3).flatten(3, 4).flatten(1, 2)
    return found


def offsets(factor: int, radius: int) -> Tensor:
    """(k k, N, 2) position of each pixel of a patch relative to the centre of each patch of its window.

    Down and across, in patches.

    Args:
        factor: k, pixels along the side of a patch.
        radius: of the window in patches.

    Examples:
        >>> offsets(2, 0).tolist()
        [[[-0.25, -0.25]], [[-0.25, 0.25]], [[0.25, -0.25]], [[0.25, 0.25]]]
    """
    inside = (torch.arange(factor) + 0.5) / factor - 0.5
    around = torch.arange(-radius, radius + 1)
    pixels, patches = torch.cartesian_prod(inside, inside), torch.cartesian_prod(around, around)
    return pixels[:, None] - patches


def mean_of_patches(pixels: Tensor, factor: int) -> Tensor:
    """(B, H, W, D) mean over the pixels (B, H k, W k, D) of each patch; `factor` is k."""
    return cells(pixels, factor).mean(dim=3)
