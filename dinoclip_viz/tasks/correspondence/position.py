"""Position in patch tokens: the directions that tell where a patch lies rather than what it shows, and tokens without.

A frozen vision transformer gives patches at the same place of two images something in common, whatever they show,
and correspondences suffer. What an image without content still tells patches apart by is position (INSID3).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures, same_space

INSID3 = (20, 768)
"""Directions that INSID3 takes out of base models, and their dimension."""
_NOTHING = 1e-6  # of the largest singular value: what is below is rounding


def default_directions(dimension: int) -> int:
    """INSID3's 20 of 768 dimensions, as many of another.

    Examples:
        >>> default_directions(768), default_directions(384), default_directions(128)
        (20, 10, 3)
    """
    directions, of = INSID3
    return max(1, round(directions * dimension / of))


def position_directions(encoder: ImageEncoder, grid: tuple[int, int], count: int | None = None) -> Tensor:
    """(K, D) orthonormal directions along which patches of an all-zero image differ most, float32.

    Features of an image whose pixels are all zero, centred; the right singular vectors of the largest singular values.

    Args:
        encoder: an image encoder.
        grid: rows and columns of the patches.
        count: how many, 1 or more, fewer than D and than the patches; None takes `default_directions`. An encoder that
            tells fewer apart (raw pixels: none) gives fewer.

    Raises:
        ValueError: count out of range, or a grid that the encoder does not make.

    Examples:
        >>> from dinoclip_viz import load_encoder
        >>> position_directions(load_encoder("playground-dino"), (12, 12)).shape
        torch.Size([3, 128])
    """
    rows, columns = grid
    most = min(rows * columns, encoder.patch_dimension) - 1
    wanted = default_directions(encoder.patch_dimension) if count is None else count
    if not 1 <= wanted <= most:
        raise ValueError(
            f"{wanted} directions of position; expected 1 to {most} for {rows} x {columns} patches of "
            f"{encoder.patch_dimension} values"
        )
    empty = Image.new("RGB", (columns * encoder.patch, rows * encoder.patch))
    features = encoder.encode([empty], max(empty.size), "whole")
    if features.grid != (rows, columns):
        raise ValueError(
            f"{encoder.name} makes {features.grid[0]} x {features.grid[1]} patches of an empty image where "
            f"{rows} x {columns} were expected; encode the images whole, at a multiple of {encoder.patch} px"
        )
    tokens = features.patches[0].flatten(0, 1).double()  # (H * W, D)
    _, values, directions = torch.linalg.svd(tokens - tokens.mean(0), full_matrices=False)
    told = int((values > _NOTHING * max(values[0].item(), 1.0)).sum())
    kept: Tensor = directions[: min(wanted, told)].float()  # (K, D)
    return kept


def without_position(encoder: ImageEncoder, features: ImageFeatures, count: int | None = None) -> ImageFeatures:
    """The features with directions of position projected out of their patches; all else stays.

    The patches live in a space of their own then: comparing them with others raises.

    Args:
        encoder: the one that made the features.
        features: of one image or several.
        count: as in `position_directions`.

    Raises:
        ValueError: as in `position_directions`.
        SpaceError: the features come from another encoder.
    """
    same_space(encoder.patch_space, features.patch_space)
    directions = position_directions(encoder, features.grid, count)  # (K, D)
    patches = features.patches - (features.patches @ directions.T) @ directions
    wanted = default_directions(encoder.patch_dimension) if count is None else count
    space = f"{features.patch_space} without {wanted} directions of position"
    return replace(features, patches=patches, patch_space=space)
