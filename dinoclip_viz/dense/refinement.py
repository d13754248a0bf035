"""PAMR: scores drawn to the edges of an image, by averaging each pixel with the neighbours of its own colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

DILATIONS: tuple[int, ...] = (1, 2, 4, 8, 12, 24)
STEPS = 10
SHARPNESS = 0.1
"""A colour that differs by so many local standard deviations weighs 1 / e of one that does not."""
AT_ONCE = 8
"""Classes refined together: memory grows with them, not with all classes."""


def refine(scores: Tensor, image: Image.Image, dilations: Sequence[int] = DILATIONS, steps: int = STEPS) -> Tensor:
    """(C, h, w) scores, each step the mean of the scores of a pixel's neighbours, weighted by how alike they look.

    The neighbours are the eight pixels at each dilation, those beyond the border taken from it; a neighbour weighs
    softmax(-|colour difference| / (.1 s)), the mean of the three channels, with s the standard deviation of the channel
    over the 3 x 3 pixels of every dilation. So a step never leaves the range of the scores.
    Araslanov and Roth, Single-Stage Semantic Segmentation from Image Labels (PAMR), CVPR 2020.

    Args:
        scores: of C classes; any values that can be averaged, such as cosines.
        image: the image; it is resized to w x h pixels where it has others.
        dilations: distances of the neighbours in pixels, each 1 or more.
        steps: 0 or more.

    Raises:
        ValueError: scores of another shape, scores that are NaN, no dilation or one below 1, or fewer than 0 steps.

    Examples:
        >>> image = Image.new("RGB", (4, 4))
        >>> refine(torch.ones(2, 4, 4), image).shape
        torch.Size([2, 4, 4])
    """
    if scores.ndim != 3 or not scores.numel():
        raise ValueError(f"the scores have shape {tuple(scores.shape)}; expected (classes, height, width)")
    if not dilations or min(dilations) < 1 or steps < 0:
        raise ValueError(f"dilations {tuple(dilations)}, {steps} steps; expected 1 or more, and 0 or more steps")
    if scores.isnan().any():
        raise ValueError("some scores are NaN; encode the whole image (fit='whole'), or cut the scores to the crop")
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


def neighbour_weights(image: Image.Image, height: int, width: int, dilations: Sequence[int] = DILATIONS) -> Tensor:
    """(K, height, width) weights of each pixel's K = 8 x dilations neighbours; they add up to 1.

    Args:
        image: the image, resized where it has another size.
        height, width: in pixels.
        dilations: distances of the neighbours in pixels.
    """
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    colours = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1) / 255  # (3, height, width)
    logits = torch.zeros(8 * len(dilations), height, width)
    count = 9 * len(dilations)  # the pixel itself is one of each nine, at a difference of 0
    for channel in colours[:, None]:  # one at a time: the memory is that of the weights and a few maps
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
    """(C, h, w) views of maps moved by each neighbour in turn, the border repeated."""
    height, width = maps.shape[1:]
    edge = max(dilations)
    padded = F.pad(maps[None], (edge, edge, edge, edge), mode="replicate")[0]
    for dilation in dilations:
        for down in (-dilation, 0, dilation):
            for across in (-dilation, 0, dilation):
                if down or across:
                    top, left = edge + down, edge + across
                    yield padded[:, top : top + height, left : left + width]
