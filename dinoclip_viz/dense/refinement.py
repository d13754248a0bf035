"""PAMR: refinement of score maps by averaging pixels with neighbours of a similar colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dinoclip_viz.images import ImageLike, load_image

DILATIONS: tuple[int, ...] = (1, 2, 4, 8, 12, 24)
STEPS = 10
SHARPNESS = 0.1
"""Colour difference, in local standard deviations, at which a neighbour's weight falls to 1 / e."""
AT_ONCE = 8
"""Number of classes refined at once, which bounds the memory."""


def refine(scores: Tensor, image: ImageLike, dilations: Sequence[int] = DILATIONS, steps: int = STEPS) -> Tensor:
    """(C, h, w) refined scores: each step averages a pixel's neighbours, weighted by the similarity of their colours.

    The neighbours are the eight pixels at each dilation, with replicated borders. Their weights are
    softmax(-|colour difference| / (0.1 s)), averaged over the three channels, with s the standard deviation of the
    channel over the 3 x 3 pixels of all dilations. Each step stays within the range of the scores.
    Araslanov and Roth, Single-Stage Semantic Segmentation from Image Labels (PAMR), CVPR 2020.

    Args:
        scores: (C, h, w) scores of C classes, such as cosines.
        image: image of a kind that `load_image` accepts; it is resized to w x h pixels.
        dilations: distances of the neighbours in pixels, each 1 or more.
        steps: number of steps, 0 or more.

    Raises:
        ImageError: the image cannot be read.
        ValueError: the scores have another shape or are NaN, or `dilations` or `steps` is out of range.

    Examples:
        >>> image = Image.new("RGB", (4, 4))
        >>> refine(torch.ones(2, 4, 4), image).shape
        torch.Size([2, 4, 4])
    """
    if scores.ndim != 3 or not scores.numel():
        raise ValueError(f"found scores of shape {tuple(scores.shape)}; expected (classes, height, width)")
    if not dilations or min(dilations) < 1 or steps < 0:
        raise ValueError(
            f"found dilations {tuple(dilations)} and {steps} steps; expected 1 or more, and 0 or more steps"
        )
    if scores.isnan().any():
        raise ValueError(
            "some scores are NaN; expected finite ones; encode with fit='whole', or cut the scores to the crop"
        )
    weights = neighbour_weights(image, scores.shape[1], scores.shape[2], dilations).to(scores)  # (K, h, w)
    refined = scores.clone()
    for start in range(0, len(scores), AT_ONCE):
        part = refined[start : start + AT_ONCE]
        for _ in range(steps):
            mean = torch.zeros_like(part)
            for weight, near in zip(weights, _neighbours(part, dilations), strict=True):
                mean.addcmul_(weight, near)
            part.copy_(mean)
    return refined


def neighbour_weights(image: ImageLike, height: int, width: int, dilations: Sequence[int] = DILATIONS) -> Tensor:
    """(K, height, width) weights of each pixel's K = 8 x dilations neighbours, which sum to 1.

    Args:
        image: image of a kind that `load_image` accepts; it is resized to the height and width.
        height: height of the maps in pixels.
        width: width of the maps in pixels.
        dilations: distances of the neighbours in pixels.

    Raises:
        ImageError: the image cannot be read.
    """
    image = load_image(image)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    colours = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255  # (3, height, width)
    logits = torch.zeros(8 * len(dilations), height, width)
    count = 9 * len(dilations)  # including the pixel itself, with a difference of 0, per dilation
    for channel in colours[:, None]:  # one channel at a time, which bounds the memory to the weights and a few maps
        total, squares = torch.zeros(height, width), torch.zeros(height, width)
        for near in _neighbours(channel, dilations):
            difference = near[0] - channel[0]
            total += difference
            squares += difference.square()
        deviation = ((squares - total.square() / count).clamp_min(0) / (count - 1)).sqrt()
        scale = 3 * (SHARPNESS * deviation + 1e-8)
        for number, near in enumerate(_neighbours(channel, dilations)):
            logits[number] -= (near[0] - channel[0]).abs() / scale
    logits -= logits.amax(0)
    logits.exp_()
    logits /= logits.sum(0)
    return logits


def _neighbours(maps: Tensor, dilations: Sequence[int]) -> Iterator[Tensor]:
    """(C, h, w) views of maps shifted to each neighbour, with replicated borders."""
    height, width = maps.shape[1:]
    edge = max(dilations)
    padded = F.pad(maps[None], (edge, edge, edge, edge), mode="replicate")[0]
    for dilation in dilations:
        for down in (-dilation, 0, dilation):
            for across in (-dilation, 0, dilation):
                if down or across:
                    top, left = edge + down, edge + across
                    yield padded[:, top : top + height, left : left + width]
