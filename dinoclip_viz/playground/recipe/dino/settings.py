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
        edge_weight, look_weight, cluster_weight, position_weight: weights of the losses relative to the dense InfoNCE.
        plain_weight: weight of InfoNCE between CLS tokens without an MLP, which keeps the nearest neighbours of CLS
            those of one class.
        calm_weight: weight of the distance between the tokens of both looks off the edges.
        same_look: fraction of the pairs whose two crops have one look.
        cluster_from: fraction of the run after which the cluster losses apply.
    """

    steps: int = 4400
    batch: int = 96
    rate: float = 2e-3
    decay: float = 0.04
    clip: float = 3.0
    seed: int = 2
    phases: tuple[tuple[float, int, float], ...] = ((0.0, 48, 0.62), (0.3, 64, 0.55), (0.6, 96, 0.4), (0.9, 128, 0.3))
    temperature: float = 0.15
    points: int = 16
    position: float = 0.05
    edge_weight: float = 5.0
    look_weight: float = 1.5
    cluster_weight: float = 0.5
    position_weight: float = 1.0
    plain_weight: float = 1.0
    calm_weight: float = 1.0
    same_look: float = 0.1
    cluster_from: float = 0.12

    @classmethod
    def on(cls, device: str, again: bool = False) -> DinoRecipe:
        """The recipe of a device: on a GPU, fewer steps of larger batches; `again` continues from trained weights."""
        if device != "cpu":
            return cls(steps=1500, batch=1024, rate=4e-3)
        if again:
            phases = ((0.0, 64, 0.55), (0.45, 96, 0.4), (0.9, 128, 0.3))
            return cls(steps=360, rate=1e-3, seed=43, phases=phases, look_weight=0.8, same_look=0.0, cluster_from=0.0)
        return cls()
