"""The encoder before training, its forward pass on tokens, and the training heads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinoclip_viz.playground.recipe import views
from dinoclip_viz.playground.recipe.dino.settings import GRID, HEADS, LAYERS, PATCH, WIDTH, DinoRecipe

if TYPE_CHECKING:
    from transformers import Dinov2Model

EDGE_VALUES, ON_VALUES, OFF_VALUES = 32 + 72, 64, 64 + 9


def new_model(patches: Tensor, recipe: DinoRecipe) -> Dinov2Model:
    """The model before training: whitened patch embedding, small sine positions, mimetic attention.

    Args:
        patches: (N, 192) pixels of sample patches, normalised.
        recipe: settings.
    """
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(recipe.seed)
    model = Dinov2Model(
        Dinov2Config(
            hidden_size=WIDTH, num_attention_heads=HEADS, num_hidden_layers=LAYERS, image_size=GRID * PATCH,
            patch_size=PATCH, mlp_ratio=4, layerscale_value=1.0, use_mask_token=True,
        )
    )  # fmt: skip
    with torch.no_grad():
        _whiten(model.embeddings.patch_embeddings.projection, patches)
        rate = 1 / (100 ** (torch.arange(WIDTH // 4) / (WIDTH // 4)))
        y, x = torch.meshgrid(torch.arange(GRID) * 1.0, torch.arange(GRID) * 1.0, indexing="ij")
        waves = [f(axis.reshape(-1, 1) * rate) for axis in (y, x) for f in (torch.sin, torch.cos)]
        model.embeddings.position_embeddings[0, 1:] = torch.cat(waves, dim=1) * recipe.position
        for layer in model.encoder.layer:
            own = layer.attention
            _mimetic([own.q_proj, own.k_proj, own.v_proj, own.o_proj])
    return model


def _whiten(projection: nn.Conv2d, patches: Tensor) -> None:
    """Set the patch embedding to the principal components of the patches, each scaled to about one."""
    _, singular, components = torch.linalg.svd(patches - patches.mean(0), full_matrices=False)
    weight = components[:WIDTH] / (singular[:WIDTH, None] / len(patches) ** 0.5 + 0.15)
    projection.weight.copy_(0.5 * weight.view_as(projection.weight))
    if projection.bias is not None:
        projection.bias.zero_()


def _mimetic(projections: Sequence[nn.Linear]) -> None:
    """Mimetic initialisation: q k^T near the identity, v o near its negative (Trockman and Kolter 2023)."""
    query, key, value, out = projections
    head = WIDTH // HEADS
    for index in range(HEADS):
        left, singular, right = torch.linalg.svd(0.7 * torch.randn(WIDTH, WIDTH) / WIDTH**0.5 + 0.7 * torch.eye(WIDTH))
        root = singular[:head].sqrt()
        rows = slice(index * head, (index + 1) * head)
        query.weight[rows] = (left[:, :head] * root).T
        key.weight[rows] = (right[:head].T * root).T
    left, singular, right = torch.linalg.svd(0.4 * torch.randn(WIDTH, WIDTH) / WIDTH**0.5 - 0.4 * torch.eye(WIDTH))
    root = singular.sqrt()
    value.weight.copy_((right.T * root).T)
    out.weight.copy_(left * root)


class Heads(nn.Module):
    """Heads and prototypes that are trained with the encoder and discarded afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.cls, self.patch = _mlp(512, 128), _mlp(512, 128)
        self.edges = _mlp(256, EDGE_VALUES)
        self.on, self.off = nn.Linear(2 * WIDTH, ON_VALUES), nn.Linear(WIDTH, OFF_VALUES)
        self.cls_prototypes = nn.Parameter(torch.randn(160, 128))
        self.patch_prototypes = nn.Parameter(torch.randn(256, 128))
        self.register_buffer("queue", F.normalize(torch.randn(960, 128), dim=-1))
        self.queue: Tensor


def _mlp(hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(WIDTH, hidden), nn.GELU(), nn.Linear(hidden, out))


@dataclass(frozen=True)
class Tokens:
    """Tokens of one view before the first block, and the coordinates of each patch's position embedding."""

    cls: Tensor  # (B, 1, D)
    patches: Tensor  # (B, N, D)
    positions: Tensor  # (B, N, 2) in [-1, 1]


def embed(model: Dinov2Model, pixels: Tensor, mask: Tensor | None, chance: torch.Generator) -> Tokens:
    """Tokens with position embeddings from a random window, so that they do not encode absolute positions."""
    count, side = len(pixels), pixels.shape[-1] // PATCH
    patches = model.embeddings.patch_embeddings(pixels)
    if mask is not None:
        patches = torch.where(mask[..., None], model.embeddings.mask_token[None], patches)
    positions = model.embeddings.position_embeddings
    extent = torch.exp(views.uniform(count, math.log(max(side / 24, 0.3)), 0.0, chance))
    if side >= GRID:
        extent = torch.where(views.rand(chance, count) < 0.5, torch.ones_like(extent), extent.clamp(min=0.5))
    shift = [views.uniform(count, -1, 1, chance) * (1 - extent) for _ in range(2)]
    centres = views.cell_centres(torch.stack([extent, extent, *shift], dim=1), side)  # (B, side, side, 2)
    table = positions[:, 1:].reshape(1, GRID, GRID, -1).permute(0, 3, 1, 2).expand(count, -1, -1, -1)
    read = F.grid_sample(table, centres, padding_mode="border", align_corners=False).flatten(2).mT  # (B, N, D)
    cls = (model.embeddings.cls_token + positions[:, :1]).expand(count, -1, -1)
    return Tokens(cls, patches + read, centres.flatten(1, 2))


def encode(model: Dinov2Model, tokens: Tensor) -> Tensor:
    """(B, 1 + N, D) through all blocks and the final norm."""
    for layer in model.encoder.layer:
        out = layer(tokens)
        tokens = out[0] if isinstance(out, tuple) else out
    normed: Tensor = model.layernorm(tokens)
    return normed
