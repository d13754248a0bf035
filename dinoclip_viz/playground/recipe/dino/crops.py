"""Pairs of crops of one layout: sampling, matching positions and masks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.playground.recipe import views
from dinoclip_viz.playground.recipe.dino.edges import edge_energy
from dinoclip_viz.playground.recipe.images import Images


def image_energy(images: Images, folder: Path) -> Tensor:
    """(N, 256) edge energy shared by both looks of each layout, on a grid of 16 x 16; cached in the folder."""
    file = folder / "energy.npy"
    if not file.exists():
        parts = []
        for start in range(0, len(images), 200):
            pixels = images.pick(torch.arange(start, min(start + 200, len(images))))
            small = F.avg_pool2d(pixels.flatten(0, 1), images.pixels.shape[-1] // 64).unflatten(0, (-1, 2))
            parts.append(edge_energy(small[:, 0], small[:, 1]))
        np.save(file, torch.cat(parts).numpy())
    energy = torch.from_numpy(np.load(file)).pow(1.5)
    return energy / energy.sum(1, keepdim=True) + 0.15 / 256


def matched_positions(first: Tensor, second: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Positions of the first crop's cells in the second: (B, N, 2) in [-1, 1], and (B, N) whether they are inside."""
    centres = views.cell_centres(first, side).flatten(1, 2)
    there = (centres - second[:, None, 2:]) / second[:, None, :2]
    return there, (there.abs() < 1 - 0.5 / side).all(-1)


def matched_tokens(
    first: Tensor, second: Tensor, points: Tensor, spots: Tensor, valid: Tensor
) -> tuple[Tensor, Tensor]:
    """The first view's patch tokens at `points` and the second's at the same positions, of the valid ones: (M, D) each.

    Args:
        first, second: (B, 1 + K, D) and (B, 1 + S^2, D) tokens.
        points: (B, P) indices among the first view's patches.
        spots: (B, P, 2) their positions in the second crop, in [-1, 1].
        valid: (B, P) which to return.
    """
    here = first[:, 1:].gather(1, points[..., None].expand(-1, -1, first.shape[-1]))
    side = math.isqrt(second.shape[1] - 1)
    maps = second[:, 1:].mT.unflatten(2, (side, side))
    found = F.grid_sample(maps, spots[:, :, None], align_corners=False, padding_mode="border")[..., 0].mT
    return here[valid], found[valid]


def block_mask(count: int, side: int, chance: torch.Generator) -> Tensor:
    """(B, N) True on 15 to 50 % of the patches, in blocks, for 60 % of the images."""
    coarse = views.rand(chance, count, 1, (side + 1) // 2, (side + 1) // 2)
    noise = F.interpolate(coarse, size=(side, side), mode="nearest").flatten(1)
    noise = noise + 0.15 * views.rand(chance, count, side * side)
    fraction = views.uniform(count, 0.15, 0.5, chance) * (views.rand(chance, count) < 0.6)
    return noise.argsort(1).argsort(1) < (fraction[:, None] * side * side).long()


SCENE = 128
"""Side in pixels of the whole image at zoom 1."""
ZOOMS = (0.5, 1.75)


def crop_pair(energy: Tensor, side: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two random boxes per image, centred where both looks have edges, mirrored at random.

    A crop shows the scene as in a whole image of 64 to 224 pixels, the sides at which the encoder is used.

    Args:
        energy: (B, 256) edge energy of each image on a grid of 16 x 16.
        side: of the crops, in pixels.
        chance: random generator.
    """
    count = len(energy)
    cell = torch.multinomial(energy, 1, generator=chance)[:, 0]
    centre = torch.stack([cell % 16, cell // 16], dim=1).add(0.5).div(8).sub(1)
    zoom = torch.exp(views.uniform(count, math.log(ZOOMS[0]), math.log(ZOOMS[1]), chance))
    size = (side / SCENE / zoom).clamp(0.22, 1.0)
    other = (size * torch.exp(views.uniform(count, -0.4, 0.4, chance))).clamp(0.22, 1.0)
    return _box(centre, size, chance), _box(centre, other, chance)


def _box(centre: Tensor, size: Tensor, chance: torch.Generator) -> Tensor:
    count = len(centre)
    ratio = torch.exp(views.uniform(count, -0.12, 0.12, chance))
    half = torch.stack([(size * ratio).clamp(max=1), (size / ratio).clamp(max=1)], dim=1)
    middle = centre + (views.rand(chance, count, 2) * 2 - 1) * 0.5 * size[:, None]
    middle = torch.maximum(torch.minimum(middle, 1 - half), half - 1)
    mirror = torch.where(views.rand(chance, count) < 0.5, -1.0, 1.0)
    return torch.stack([half[:, 0] * mirror, half[:, 1], middle[:, 0], middle[:, 1]], dim=1)
