"""Settings of playground-dino's training, and the sizes of the encoder."""

from __future__ import annotations

from dataclasses import dataclass

PATCH, GRID, WIDTH, LAYERS, HEADS = 8, 12, 128, 6, 4


@dataclass(frozen=True)
class DinoRecipe:
    """Settings of the training.

    Attributes:
        steps: optimiser steps; batch: pairs per step.
        rate: learning rate of Muon and AdamW; decay: weight decay; clip: largest gradient norm.
        seed: of weights, order and views.
        phases: (starting fraction of the run, side of the crops in pixels, fraction of the first view's tokens kept).
        temperature: of both InfoNCE losses.
        points: patches per image in the dense loss.
        position: initial amplitude of the position embedding.
        edge_weight, look_weight, cluster_weight, position_weight: weights of the losses relative to InfoNCE.
        cluster_from: fraction of the run after which the cluster losses apply.
    """

    steps: int = 2200
    batch: int = 96
    rate: float = 2e-3
    decay: float = 0.04
    clip: float = 3.0
    seed: int = 2
    phases: tuple[tuple[float, int, float], ...] = ((0.0, 48, 0.62), (0.45, 64, 0.55), (0.85, 96, 0.4))
    temperature: float = 0.15
    points: int = 8
    position: float = 0.05
    edge_weight: float = 5.0
    look_weight: float = 1.0
    cluster_weight: float = 0.5
    position_weight: float = 1.0
    cluster_from: float = 0.12
