"""Crops and colour jitter of batches."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def uniform(count: int, low: float, high: float, chance: torch.Generator) -> Tensor:
    """(count,) uniform random numbers between low and high, on the generator's device."""
    return rand(chance, count) * (high - low) + low


def rand(chance: torch.Generator, *shape: int) -> Tensor:
    """Uniform random numbers between 0 and 1, on the generator's device."""
    return torch.rand(*shape, generator=chance, device=chance.device)


def below(chance: torch.Generator, limit: int, count: int) -> Tensor:
    """(count,) random whole numbers from 0 to limit - 1, on the generator's device."""
    return torch.randint(limit, (count,), generator=chance, device=chance.device)


def normalise(images: Tensor, statistics: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    """Images in [0, 1], standardised by mean and deviation."""
    mean, deviation = (torch.tensor(values, device=images.device).view(1, 3, 1, 1) for values in statistics)
    return (images - mean) / deviation


def random_boxes(count: int, least: float, most: float, stretch: float, chance: torch.Generator) -> Tensor:
    """(B, 4) random crops as (half width, half height, centre x, centre y) in [-1, 1] coordinates."""
    side = uniform(count, least, most, chance).sqrt()
    ratio = torch.exp(uniform(count, -stretch, stretch, chance))
    width, height = (side * ratio).clamp(max=1), (side / ratio).clamp(max=1)
    x = uniform(count, -1, 1, chance) * (1 - width)
    y = uniform(count, -1, 1, chance) * (1 - height)
    return torch.stack([width, height, x, y], dim=1)


def cell_centres(boxes: Tensor, side: int) -> Tensor:
    """(B, side, side, 2) centres of the cells of each box's grid, (x, y) in [-1, 1]; a negative width mirrors."""
    steps = (torch.arange(side, device=boxes.device) + 0.5) / side * 2 - 1
    x = boxes[:, 0, None] * steps + boxes[:, 2, None]  # (B, side)
    y = boxes[:, 1, None] * steps + boxes[:, 3, None]
    return torch.stack([x[:, None, :].expand(-1, side, side), y[:, :, None].expand(-1, side, side)], dim=-1)


def crop(images: Tensor, boxes: Tensor, side: int) -> Tensor:
    """(B, C, side, side) crops of the images at the boxes, from twice the resolution so that edges are smooth."""
    fine = F.grid_sample(images, cell_centres(boxes, 2 * side), padding_mode="border", align_corners=False)
    return F.avg_pool2d(fine, 2)


def jitter(images: Tensor, chance: torch.Generator, strength: float, hue: bool = False) -> Tensor:
    """Images in [0, 1] with random brightness, contrast and saturation, and with `hue` random hues.

    Args:
        images: (B, 3, H, W) in [0, 1].
        chance: random generator.
        strength: 0 changes nothing; 1 scales brightness and contrast by 0.6 to 1.4.
        hue: rotate hues by up to 108 degrees, and convert one image in seven to grey.
    """
    count, reach = len(images), 0.4 * strength

    def factor(low: float, high: float) -> Tensor:
        return uniform(count, low, high, chance).view(-1, 1, 1, 1)

    images = images * factor(1 - reach, 1 + reach)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = (images - mean) * factor(1 - reach, 1 + reach) + mean
    grey = (images * torch.tensor([0.299, 0.587, 0.114], device=images.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    saturation = factor(0.0, 1.6) if hue else factor(1 - reach / 2, 1 + reach / 2)
    if hue:
        saturation = torch.where(factor(0, 1) < 0.15, torch.zeros_like(saturation), saturation)
    images = grey + (images - grey) * saturation
    if hue:
        images = torch.einsum("bij,bjhw->bihw", _hue_rotations(count, chance), images)
    return images.clamp(0, 1)


def _hue_rotations(count: int, chance: torch.Generator) -> Tensor:
    """(B, 3, 3) rotations around the grey axis, up to 108 degrees in either direction (Rodrigues)."""
    angle = uniform(count, -0.6 * math.pi, 0.6 * math.pi, chance)
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    k = 1 / math.sqrt(3)
    cross = torch.tensor([[0, -k, k], [k, 0, -k], [-k, k, 0]], device=angle.device)
    identity, grey = torch.eye(3, device=angle.device), torch.full((3, 3), 1 / 3, device=angle.device)
    return cosine * identity + sine * cross + (1 - cosine) * grey
