"""Bilinear upsampling of patch grids, which knows nothing of the image."""

from __future__ import annotations

from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures


def bilinear(values: Tensor, shape: tuple[int, int]) -> Tensor:
    """(B, h, w, C) values of patches (B, H, W, C), interpolated bilinearly to a height and width.

    Args:
        values: (B, H, W, C) values of patches.
        shape: height and width of the result; where it is smaller, values are averaged.

    Raises:
        ValueError: the shape is empty.

    Examples:
        >>> import torch
        >>> bilinear(torch.tensor([0.0, 1.0]).view(1, 1, 2, 1), (1, 4)).flatten().tolist()
        [0.0, 0.25, 0.75, 1.0]
    """
    if min(shape) < 1:
        raise ValueError(f"grid is {shape[0]} x {shape[1]}; expected at least one row and one column")
    less = shape[0] < values.shape[1] or shape[1] < values.shape[2]
    grid = values.permute(0, 3, 1, 2)
    scaled = F.interpolate(grid, size=shape, mode="bilinear", align_corners=False, antialias=less)
    return scaled.permute(0, 2, 3, 1).contiguous()


def upsample_bilinear(features: ImageFeatures, grid: tuple[int, int]) -> ImageFeatures:
    """The features with their patches (and dense patches) interpolated bilinearly to another grid.

    Args:
        features: of B images.
        grid: rows and columns of the result, each 1 or more.

    Raises:
        ValueError: the grid is empty.
    """
    dense = {method: bilinear(patches, grid) for method, patches in features.dense.items()}
    return replace(features, patches=bilinear(features.patches, grid), dense=dense)
