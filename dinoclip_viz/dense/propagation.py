"""LPOSS: label propagation over a graph of patches that are similar in a vision model."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NEIGHBOURS, POWER, DISTANCE, ALPHA, STEPS = 400, 3.0, 0.01, 0.95, 10


def propagate(
    patches: Tensor,
    guide: Tensor,
    patch: int = 16,
    neighbours: int = NEIGHBOURS,
    alpha: float = ALPHA,
    steps: int = STEPS,
) -> Tensor:
    """(B, H, W, D) patches after label propagation, to be compared with texts.

    W = max(cos, 0)^3 exp(-.01 d) over the 400 nearest patches by cosine, with d the distance in pixels, made
    symmetric and divided by the square roots of both degrees; X solves (I - .95 W) X = Y by 10 steps of conjugate
    gradients. Scores are linear in the patches, so that patches are propagated once for all prompts.
    Stojnić et al., LPOSS: Label Propagation Over Patches and Pixels, CVPR 2025.

    Args:
        patches: (B, H, W, D) a CLIP's patches in the joint space.
        guide: (B, H', W', D') patches of the vision model, of the same region of the images; another grid is resized.
        patch: side of a patch in pixels.
        neighbours: maximum number of neighbours that each patch selects.
        alpha: weight of the neighbours, 0 to below 1.
        steps: number of steps of conjugate gradients, 1 or more.

    Raises:
        ValueError: `alpha` or `steps` is out of range.
    """
    if not 0 <= alpha < 1 or steps < 1:
        raise ValueError(f"alpha={alpha}, steps={steps}; expected alpha from 0 to below 1 and at least one step")
    grid = (patches.shape[1], patches.shape[2])
    if guide.shape[1:3] != patches.shape[1:3]:
        channels = guide.permute(0, 3, 1, 2)
        guide = F.interpolate(channels, grid, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    known = F.normalize(patches.flatten(1, 2), dim=-1)  # (B, N, D)
    graphs = patch_graph(guide, patch, neighbours)  # (B, N, N)
    return torch.stack([_solved(graph, each, alpha, steps) for graph, each in zip(graphs, known, strict=True)]).reshape(
        len(patches), *grid, -1
    )


def patch_graph(guide: Tensor, patch: int = 16, neighbours: int = NEIGHBOURS) -> Tensor:
    """(B, N, N) symmetric normalised weights between patches, with eigenvalues in -1..1.

    Args:
        guide: (B, H, W, D) patches of the vision model.
        patch: side of a patch in pixels.
        neighbours: maximum number of nearest patches by cosine, without itself, that each patch selects; an edge needs
            the selection of either patch.
    """
    rows, columns = guide.shape[1:3]
    unit = F.normalize(guide.flatten(1, 2), dim=-1)
    similarity = unit @ unit.mT  # (B, N, N)
    count = similarity.shape[-1]
    itself = torch.eye(count, dtype=torch.bool, device=similarity.device)
    nearest = similarity.masked_fill(itself, -2).topk(min(neighbours, count - 1), dim=-1).indices if count > 1 else None
    near = torch.zeros_like(similarity, dtype=torch.bool)
    if nearest is not None:
        near.scatter_(-1, nearest, True)
    down, across = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    positions = patch * torch.stack([down.flatten(), across.flatten()], dim=-1).to(similarity)  # (N, 2) pixels
    weights = similarity.clamp_min(0) ** POWER * torch.exp(-DISTANCE * torch.cdist(positions, positions))
    weights = weights.where(near, weights.new_zeros(()))
    weights = (weights + weights.mT) / 2
    degrees = weights.sum(-1).clamp_min(1e-12).rsqrt()
    return degrees[:, :, None] * weights * degrees[:, None]


def _solved(graph: Tensor, known: Tensor, alpha: float, steps: int) -> Tensor:
    """(N, D) solution X of (I - alpha W) X = Y by conjugate gradients per column, from X = 0."""
    found = torch.zeros_like(known)
    left = known.clone()
    towards = left.clone()
    size = left.square().sum(0)  # (D,)
    for _ in range(steps):
        moved = towards - alpha * (graph @ towards)
        length = size / (towards * moved).sum(0).clamp_min(1e-20)
        found += length * towards
        left -= length * moved
        smaller = left.square().sum(0)
        towards = left + smaller / size.clamp_min(1e-20) * towards
        size = smaller
    return found
