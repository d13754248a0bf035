"""The losses on two views' tokens: InfoNCE, SwAV's swapped clusters, and the position penalty."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(left: Tensor, right: Tensor, temperature: float, bias: Tensor | float = 0.0) -> Tensor:
    """Symmetric InfoNCE with row i of one side positive for row i of the other; `bias` is added to the logits.

    It is zero without rows.
    """
    if not len(left):
        return left.sum() + right.sum()
    logits = left @ right.T / temperature + bias
    same = torch.arange(len(left), device=left.device)
    return (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2


def dense_bias(image: Tensor, cell: Tensor, side: int) -> Tensor:
    """(M, M) log weights of the negatives: 1/2 for patches of the same image, 0 for neighbours."""
    same = image[:, None] == image[None]
    near = ((cell[:, None] // side - cell[None] // side).abs() < 2) & (
        (cell[:, None] % side - cell[None] % side).abs() < 2
    )
    bias = torch.zeros(len(image), len(image), device=image.device)
    bias[same] = math.log(0.5)
    bias[same & near] = -1e4
    return bias.fill_diagonal_(0.0)


@torch.no_grad()
def sinkhorn(scores: Tensor, temperature: float = 0.05, rounds: int = 3) -> Tensor:
    """(N, K) soft assignments that use every prototype equally (SwAV)."""
    codes = torch.exp((scores - scores.max()) / temperature)
    for _ in range(rounds):
        codes = codes / (codes.sum(0, keepdim=True) + 1e-9)
        codes = codes / (codes.sum(1, keepdim=True) + 1e-9)
    return codes


def swapped_clusters(left: Tensor, right: Tensor, prototypes: Tensor, queue: Tensor | None) -> Tensor:
    """SwAV's loss: each side predicts the cluster of the other."""
    centres = F.normalize(prototypes, dim=-1)
    scores = [side @ centres.T for side in (left, right)]
    past = queue @ centres.T if queue is not None else scores[0][:0]
    codes = [sinkhorn(torch.cat([score, past]).detach())[: len(score)] for score in scores]
    losses = [-(codes[1 - i] * F.log_softmax(scores[i] / 0.1, dim=-1)).sum(-1).mean() for i in (0, 1)]
    return (losses[0] + losses[1]) / 2


def position_variance(patches: Tensor, positions: Tensor) -> Tensor:
    """Fraction of the patches' variance explained by smooth functions of their position, 0 to 1."""
    x, y = positions.flatten(0, 1).unbind(1)
    waves = [
        x,
        y,
        x * x,
        y * y,
        x * y,
        (math.pi * x).cos(),
        (math.pi * y).cos(),
        (math.pi * x).sin(),
        (math.pi * y).sin(),
    ]
    basis = torch.stack(waves, dim=1)
    basis = torch.linalg.qr(basis - basis.mean(0)).Q  # (B * N, 9)
    tokens = patches.flatten(0, 1)
    tokens = tokens - tokens.mean(0)
    fraction: Tensor = (basis.T @ tokens).square().sum() / tokens.square().sum()
    return fraction
