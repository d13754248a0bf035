"""Features shared by two looks of a layout, and those that differ: edges, and the colours on and off them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

CELL = 4
"""Side in pixels of the cells of edge histograms; a patch has 2 x 2 cells."""

_ANGLES = torch.arange(4) * math.pi / 8
_COSINES, _SINES = (2 * _ANGLES).cos().view(1, 4, 1, 1), (2 * _ANGLES).sin().view(1, 4, 1, 1)
_COLOURS = torch.cartesian_prod(*[torch.tensor([0.1, 0.37, 0.63, 0.9])] * 3)
"""(64, 3) centres of the soft colour bins."""


@torch.no_grad()
def oriented_edges(images: Tensor) -> Tensor:
    """(B, 8, H, W) strength of edges in eight orientations, from the colour structure tensor.

    Args:
        images: (B, 3, H, W) in [0, 1].
    """
    gx, gy = _slopes(F.pad(images, (1, 1, 1, 1), mode="replicate"))
    xx, yy, xy = ((p * q).sum(1, keepdim=True) for p, q in ((gx, gx), (gy, gy), (gx, gy)))
    power = xx + yy + 1e-8
    size = power.sqrt()
    turn = (xx - yy) / power * _COSINES.to(xx) + 2 * xy / power * _SINES.to(xx)
    return torch.cat([turn.clamp(min=0), (-turn).clamp(min=0)], dim=1).square() * (size / (size + 0.08))


def _slopes(padded: Tensor) -> tuple[Tensor, Tensor]:
    """Sobel's two derivatives of images that are padded by one pixel, divided by 4."""
    across = (padded[..., 2:] - padded[..., :-2]) / 4
    down = (padded[..., 2:, :] - padded[..., :-2, :]) / 4
    gx = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]
    return gx, down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]


@torch.no_grad()
def _shared(first: Tensor, second: Tensor) -> Tensor:
    return F.avg_pool2d(torch.minimum(oriented_edges(first), oriented_edges(second)), CELL)


def _smooth(energy: Tensor) -> Tensor:
    return F.avg_pool2d(energy, 3, 1, 1, count_include_pad=False)


@torch.no_grad()
def common_edges(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Targets of the edge prediction per patch, and the edge energy of each patch and around it.

    Args:
        first, second: (B, 3, S, S) the same crop in two looks.

    Returns:
        (B, N, 104) fine (2 x 2 cells of 4 px) and coarse (3 x 3 of 8 px) histograms of shared edges, each scaled to
        about one, (B, N) energy, and (B, N) smoothed energy.
    """
    fine = _shared(first, second)
    coarse = F.avg_pool2d(fine, 2)
    energy = coarse.sum(1, keepdim=True)
    inner = F.unfold(fine, 2, stride=2).mT
    outer = F.unfold(F.pad(coarse, (1, 1, 1, 1), mode="replicate"), 3).mT
    return torch.cat([_scaled(inner), _scaled(outer)], dim=-1), energy.flatten(1), _smooth(energy).flatten(1)


def _scaled(values: Tensor) -> Tensor:
    return values / (values.square().mean(-1, keepdim=True).sqrt() + 0.05)


@torch.no_grad()
def edge_energy(first: Tensor, second: Tensor) -> Tensor:
    """(B, (S / 4)^2) smoothed shared edge energy of each cell of 4 px."""
    return _smooth(_shared(first, second).sum(1, keepdim=True)).flatten(1)


@torch.no_grad()
def off_edges(energy: Tensor) -> Tensor:
    """(B, N) weight of patches off the shared edges: about one without edges, 0.001 above a third of the most."""
    return (1 - 3 * energy / (energy.amax(1, keepdim=True) + 1e-6)).clamp(min=0) + 1e-3


@torch.no_grad()
def appearance(images: Tensor, energy: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 64) colours on the shared edges in soft bins, and (B, 73) colours and texture (8 and their sum) off them.

    Colours are counted in cells of 2 px, so that those at the two sides of an edge are kept apart. The counts are
    under a square root and scaled to a mean square of one: rare colours weigh as much as frequent ones.

    Args:
        images: (B, 3, S, S) in [0, 1].
        energy: (B, N) shared edge energy of each patch.
    """
    patch = 2 * CELL
    on, off = energy / (energy.amax(1, keepdim=True) + 1e-6), off_edges(energy)
    on, off = on / on.sum(1, keepdim=True), off / off.sum(1, keepdim=True)
    bins = _colour_counts(images, patch)  # (B, N, 64)
    edges = F.avg_pool2d(oriented_edges(images), patch).flatten(2).mT  # (B, N, 8)
    texture = (off[..., None] * edges).sum(1)
    counts = [((weight[..., None] * bins).sum(1) * bins.shape[-1]).sqrt() for weight in (on, off)]
    return counts[0], torch.cat([counts[1], texture * 5, texture.sum(1, keepdim=True) * 5], dim=1)


def _colour_counts(images: Tensor, patch: int) -> Tensor:
    """(B, N, 64) soft histogram of the colours of each patch."""
    cells = F.avg_pool2d(images, 2)
    side = cells.shape[-1]
    pixels = cells.flatten(2).mT  # (B, M, 3)
    distances = torch.cdist(pixels, _COLOURS.to(pixels).expand(len(pixels), -1, -1)).square()
    bins = torch.softmax(-distances / 0.02, dim=-1)
    return F.avg_pool2d(bins.mT.unflatten(2, (side, side)), patch // 2).flatten(2).mT
