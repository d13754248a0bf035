"""Training of a linear layer on patch tokens: AdamW on batches drawn from a table of patches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dinoclip_viz.tasks.probes.patch_table import IN_MEMORY, PatchTable

LEAST_STEPS = 300
"""Smallest number of steps, for fits on few patches, which the epochs alone leave undertrained."""


@dataclass(frozen=True)
class HeadRecipe:
    """Settings of a fit; the defaults reach the optimum of a linear layer on standardised patches.

    Attributes:
        epochs: mean number of draws of each patch.
        batch: patches per step, drawn with replacement.
        learning_rate: of AdamW, with linear decay to a hundredth.
        weight_decay: of AdamW.
        memory: bytes of patches in memory; beyond, they are stored in a temporary file.
        seed: of the draws.
    """

    epochs: int = 25
    batch: int = 4096
    learning_rate: float = 2e-2
    weight_decay: float = 1e-3
    memory: int = IN_MEMORY
    seed: int = 0


def fit_layer(
    table: PatchTable,
    pooled: Tensor,
    layer: torch.nn.Linear,
    loss: Callable[[Tensor, Tensor], Tensor],
    recipe: HeadRecipe,
) -> tuple[Tensor, Tensor]:
    """(K, D) weights and (K,) biases for raw patches, fitted on standardised ones.

    Args:
        table: patches with their targets.
        pooled: (B, E) vectors of the images, appended to their patches; E may be 0.
        layer: with D + E inputs and its initial weights; it is trained in place.
        loss: (batch, K) outputs and (batch,) targets -> scalar.
        recipe: settings of the fit.
    """
    mean, deviation = table.moments()
    spread = pooled.std(0) if len(pooled) > 1 and pooled.shape[1] else torch.zeros(pooled.shape[1])
    mean, deviation = torch.cat([mean, pooled.mean(0)]), torch.cat([deviation, spread]) + 1e-5
    optimiser = torch.optim.AdamW(layer.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    batch = min(recipe.batch, len(table))
    steps = max(recipe.epochs * len(table) // batch, LEAST_STEPS)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, steps)
    for rows, targets, owners in table.draws(batch, steps, recipe.seed):
        inputs = torch.cat([rows, pooled[owners]], dim=1)
        value = loss(layer((inputs - mean) / deviation), targets)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
    weight = layer.weight.detach() / deviation
    return weight, layer.bias.detach() - weight @ mean
