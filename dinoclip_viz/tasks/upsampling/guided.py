"""Joint bilateral upsampling: patches weighted by how near they are to a pixel, and by how similar in colour."""

from __future__ import annotations

import torch
from torch import Tensor

from dinoclip_viz.tasks.upsampling.windows import mean_of_patches, offsets, weighted_patches

RADIUS = 2
"""Of the window in patches."""
DISTANCE = 1.0
"""Standard deviation of the weights of positions, in patches."""
COLOUR = 0.06
"""Standard deviation of the weights of colours whose patch has one colour; red, green and blue are 0 to 1."""
SPREAD = 1.5
"""Fraction of the variance of a patch's own colours that is added to that deviation's square."""
PURITY = 0.5
"""Exponent by which patches of many colours, mostly on the boundary of objects, count less."""


def guided(values: Tensor, guide: Tensor) -> Tensor:
    """(B, H k, W k, C) values of patches on the pixels of an image, along its edges, without training.

    Joint bilateral upsampling (Kopf et al. 2007) whose weight of colours is the likelihood of the pixel's colour under
    a normal distribution with the mean and the variance of the patch's colours. The weights are positive and sum to 1.

    Args:
        values: (B, H, W, C) values of patches.
        guide: (B, 3, H k, W k) the image that the patches cover, red, green and blue in [0, 1].
    """
    factor = guide.shape[2] // values.shape[1]
    queries = colours(guide)
    keys = colour_keys(mean_of_patches(queries, factor), COLOUR, SPREAD, PURITY)
    bias = offsets(factor, RADIUS).square().sum(-1) / (-2 * DISTANCE**2)  # (k k, N)
    return weighted_patches(queries, keys, values, bias, RADIUS)


def colours(guide: Tensor) -> Tensor:
    """(B, h, w, 5) colours around grey, their squared length and 1, of an image (B, 3, h, w) in [0, 1]."""
    pixels = guide.permute(0, 2, 3, 1) - 0.5
    return torch.cat([pixels, pixels.square().sum(-1, keepdim=True), torch.ones_like(pixels[..., :1])], dim=-1)


def colour_keys(means: Tensor, colour: float | Tensor, spread: float | Tensor, purity: float | Tensor) -> Tensor:
    """(B, H, W, 5) keys whose product with `colours` is the logarithm of a pixel's likelihood under each patch.

    -|pixel - mean|² / (2 s) - purity / 2 log s, with s = colour² + spread x variance of the patch's colours.

    Args:
        means: (B, H, W, 5) mean of `colours` over each patch.
        colour: standard deviation of a patch of one colour; spread, purity: as above.
    """
    mean = means[..., :3]
    length = mean.square().sum(-1, keepdim=True)
    variance = (means[..., 3:4] - length).clamp_min(0) / 3
    scale = colour**2 + spread * variance
    return torch.cat([mean / scale, -0.5 / scale, -0.5 * length / scale - 0.5 * purity * scale.log()], dim=-1)
