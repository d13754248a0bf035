"""SCLIP, NACLIP and ClearCLIP: self-self attention in the last block, between similar patches."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dinoclip_viz.dense.block import LastBlock, Step

SIGMA = 5.0
"""Standard deviation of NACLIP's Gaussian, in patches."""


def sclip(block: LastBlock) -> Tensor:
    """(B, H * W, D) patches in the joint space by correlative self-attention.

    softmax(q q^T / sqrt(d)) + softmax(k k^T / sqrt(d)) repositions softmax(q k^T / sqrt(d)); residual and MLP are kept.
    Wang et al., SCLIP: Rethinking Self-Attention for Dense Vision-Language Inference, ECCV 2024.

    Args:
        block: last block of the model's forward pass.
    """
    normed = block.norm1(block.tokens)
    query, key = (split_heads(part(normed), block.heads) for part in (block.query, block.key))
    weights = _scaled_products(query).softmax(-1) + _scaled_products(key).softmax(-1)  # (B, heads, N, N)
    tokens = block.tokens + _attended(block, normed, weights)
    tokens = tokens + block.mlp(block.norm2(tokens))
    return block.finish(tokens[:, block.prefix :])  # (B, H * W, D)


def naclip(block: LastBlock, grid: tuple[int, int], sigma: float = SIGMA) -> Tensor:
    """(B, H * W, D) patches in the joint space, each attending to similar patches and to its neighbourhood.

    softmax(k k^T / sqrt(d) + Gaussian of the distance between patches), without residual and MLP.
    Hajimiri et al., Pay Attention to Your Neighbours, WACV 2025.

    Args:
        block: last block of the model's forward pass.
        grid: rows H and columns W.
        sigma: standard deviation of the Gaussian in patches, above 0.
    """
    normed = block.norm1(block.tokens)
    logits = _scaled_products(split_heads(block.key(normed), block.heads))  # (B, heads, N, N)
    logits[..., block.prefix :, block.prefix :] += gaussian(grid, sigma).to(logits)
    return _reduced(block, _attended(block, normed, logits.softmax(-1)))


def clearclip(block: LastBlock) -> Tensor:
    """(B, H * W, D) patches in the joint space: softmax(q q^T / sqrt(d)), without residual and MLP.

    Lan et al., ClearCLIP: Decomposing CLIP Representations for Dense Vision-Language Inference, ECCV 2024.

    Args:
        block: last block of the model's forward pass.
    """
    normed = block.norm1(block.tokens)
    weights = _scaled_products(split_heads(block.query(normed), block.heads)).softmax(-1)
    return _reduced(block, _attended(block, normed, weights))


def gaussian(grid: tuple[int, int], sigma: float = SIGMA) -> Tensor:
    """(H * W, H * W) exp(-distance^2 / (2 sigma^2)) between patches, with distances in patches.

    Examples:
        >>> [round(value, 3) for value in gaussian((1, 3), sigma=1.0)[0].tolist()]
        [1.0, 0.607, 0.135]
    """
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    positions = torch.stack([rows.flatten(), columns.flatten()], dim=-1).float()  # (N, 2)
    squared = (positions[:, None] - positions[None]).square().sum(-1)
    return torch.exp(-squared / (2 * sigma**2))


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """(B, heads, N, width / heads) heads of (B, N, width) tokens."""
    batch, count, width = tokens.shape
    return tokens.reshape(batch, count, heads, width // heads).transpose(1, 2)


def _scaled_products(vectors: Tensor) -> Tensor:
    return vectors @ vectors.mT / math.sqrt(vectors.shape[-1])


def _attended(block: LastBlock, normed: Tensor, weights: Tensor) -> Tensor:
    """(B, N, width) output of the attention: weighted values per head, concatenated and projected."""
    mixed = weights @ split_heads(block.value(normed), block.heads)  # (B, heads, N, width / heads)
    out: Step = block.out
    return out(mixed.transpose(1, 2).flatten(2))


def _reduced(block: LastBlock, attended: Tensor) -> Tensor:
    return block.finish(attended[:, block.prefix :])
