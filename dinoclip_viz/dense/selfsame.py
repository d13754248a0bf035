"""SCLIP, NACLIP and ClearCLIP: the last block's attention put together anew, so that patches look at their like."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dinoclip_viz.dense.block import LastBlock, Step

SIGMA = 5.0
"""Deviation of NACLIP's Gaussian in patches."""


def sclip(block: LastBlock) -> Tensor:
    """(B, H * W, D) patches in the joint space by correlative self-attention.

    softmax(q q^T) + softmax(k k^T) in place of softmax(q k^T), scaled alike; the residual and the MLP stay.
    Wang et al., SCLIP: Rethinking Self-Attention for Dense Vision-Language Inference, ECCV 2024.

    Args:
        block: the last block of the model's own forward pass.
    """
    normed = block.norm1(block.tokens)
    query, key = (split_heads(part(normed), block.heads) for part in (block.query, block.key))
    weights = _alike(query).softmax(-1) + _alike(key).softmax(-1)  # (B, heads, N, N)
    tokens = block.tokens + _attended(block, normed, weights)
    tokens = tokens + block.mlp(block.norm2(tokens))
    return block.finish(tokens[:, block.prefix :])  # (B, H * W, D)


def naclip(block: LastBlock, grid: tuple[int, int], sigma: float = SIGMA) -> Tensor:
    """(B, H * W, D) patches in the joint space, each attending to its like and to its neighbourhood.

    softmax(k k^T / sqrt(d) + Gaussian of the distance between patches); neither residual nor MLP.
    Hajimiri et al., Pay Attention to Your Neighbours, WACV 2025.

    Args:
        block: the last block of the model's own forward pass.
        grid: H and W.
        sigma: of the Gaussian, in patches, above 0.
    """
    normed = block.norm1(block.tokens)
    logits = _alike(split_heads(block.key(normed), block.heads))  # (B, heads, N, N)
    logits[..., block.prefix :, block.prefix :] += gaussian(grid, sigma).to(logits)
    return _reduced(block, _attended(block, normed, logits.softmax(-1)))


def clearclip(block: LastBlock) -> Tensor:
    """(B, H * W, D) patches in the joint space: softmax(q q^T / sqrt(d)), neither residual nor MLP.

    Lan et al., ClearCLIP: Decomposing CLIP Representations for Dense Vision-Language Inference, ECCV 2024.

    Args:
        block: the last block of the model's own forward pass.
    """
    normed = block.norm1(block.tokens)
    weights = _alike(split_heads(block.query(normed), block.heads)).softmax(-1)
    return _reduced(block, _attended(block, normed, weights))


def gaussian(grid: tuple[int, int], sigma: float = SIGMA) -> Tensor:
    """(H * W, H * W) exp(-distance^2 / (2 sigma^2)) between patches, distances in patches.

    Examples:
        >>> [round(value, 3) for value in gaussian((1, 3), sigma=1.0)[0].tolist()]
        [1.0, 0.607, 0.135]
    """
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], dim=-1).float()  # (N, 2)
    squared = (places[:, None] - places[None]).square().sum(-1)
    return torch.exp(-squared / (2 * sigma**2))


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """(B, heads, N, width / heads) of (B, N, width)."""
    batch, count, width = tokens.shape
    return tokens.reshape(batch, count, heads, width // heads).transpose(1, 2)


def _alike(vectors: Tensor) -> Tensor:
    return vectors @ vectors.mT / math.sqrt(vectors.shape[-1])


def _attended(block: LastBlock, normed: Tensor, weights: Tensor) -> Tensor:
    """(B, N, width) values mixed by the weights of each head, heads joined, projected."""
    mixed = weights @ split_heads(block.value(normed), block.heads)  # (B, heads, N, width / heads)
    out: Step = block.out
    return out(mixed.transpose(1, 2).flatten(2))


def _reduced(block: LastBlock, attended: Tensor) -> Tensor:
    return block.finish(attended[:, block.prefix :])
