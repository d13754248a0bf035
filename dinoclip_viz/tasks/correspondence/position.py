"""Positional directions in patch tokens, and features without them.

In a frozen vision transformer, patches at the same position of two images share a component that does not depend on
content, which degrades correspondences. In an image without content, patches differ by position only (INSID3).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders import as_encoder
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures, same_space

INSID3 = (20, 768)
"""Number of directions that INSID3 removes from base models, and the dimension of these."""
_ROUNDING = 1e-6  # of the largest singular value; directions below are rounding errors


def default_directions(dimension: int) -> int:
    """Number of positional directions, in INSID3's proportion of 20 to 768 dimensions.

    Args:
        dimension: D of the patches.

    Examples:
        >>> default_directions(768), default_directions(384), default_directions(128)
        (20, 10, 3)
    """
    directions, of = INSID3
    return max(1, round(directions * dimension / of))


def position_directions(encoder: str | ImageEncoder, grid: tuple[int, int], count: int | None = None) -> Tensor:
    """(K, D) orthonormal directions of the largest variation among patches of an all-zero image, float32.

    The right singular vectors of the largest singular values of the centred patches.

    Args:
        encoder: an image encoder or its name.
        grid: rows and columns of the patches.
        count: number of directions, 1 or more, less than D and than the number of patches; None uses
            `default_directions`. K is lower for an encoder with less positional variation (0 for raw pixels).

    Raises:
        ValueError: count out of range, or a grid that the encoder does not produce.

    Examples:
        >>> from dinoclip_viz import load_encoder
        >>> position_directions(load_encoder("playground-dino"), (12, 12)).shape
        torch.Size([3, 128])
    """
    encoder = as_encoder(encoder)
    rows, columns = grid
    most = min(rows * columns, encoder.patch_dimension) - 1
    wanted = default_directions(encoder.patch_dimension) if count is None else count
    if not 1 <= wanted <= most:
        raise ValueError(
            f"count is {wanted} directions; expected 1 to {most} for {rows} x {columns} patches of "
            f"{encoder.patch_dimension} values"
        )
    empty = Image.new("RGB", (columns * encoder.patch, rows * encoder.patch))
    features = encoder.encode([empty], max(empty.size), "whole")
    if features.grid != (rows, columns):
        raise ValueError(
            f"{encoder.name} gives {features.grid[0]} x {features.grid[1]} patches; expected {rows} x {columns}: "
            f"encode the images whole, at a multiple of {encoder.patch} px"
        )
    tokens = features.patches[0].flatten(0, 1).double()  # (H * W, D)
    _, values, directions = torch.linalg.svd(tokens - tokens.mean(0), full_matrices=False)
    significant = int((values > _ROUNDING * max(values[0].item(), 1.0)).sum())
    kept: Tensor = directions[: min(wanted, significant)].float()  # (K, D)
    return kept


def without_position(encoder: str | ImageEncoder, features: ImageFeatures, count: int | None = None) -> ImageFeatures:
    """The features with positional directions projected out of their patches; all else is unchanged.

    The patches get a space of their own: comparing them with others raises.

    Args:
        encoder: the encoder of the features, or its name.
        features: of one image or several.
        count: as in `position_directions`.

    Raises:
        ValueError: as in `position_directions`.
        SpaceError: the features come from another encoder.
    """
    encoder = as_encoder(encoder)
    same_space(encoder.patch_space, features.patch_space)
    directions = position_directions(encoder, features.grid, count)  # (K, D)
    patches = features.patches - (features.patches @ directions.T) @ directions
    wanted = default_directions(encoder.patch_dimension) if count is None else count
    space = f"{features.patch_space} without {wanted} directions of position"
    return replace(features, patches=patches, patch_space=space)
