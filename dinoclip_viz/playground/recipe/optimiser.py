"""Muon for hidden matrices and AdamW for the other parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def orthogonalise(gradients: Tensor, steps: int = 5) -> Tensor:
    """Approximately the nearest semi-orthogonal matrices, by a quintic Newton-Schulz iteration (Jordan 2024).

    Args:
        gradients: (N, A, B) with A <= B, any scale.
        steps: iterations; five bring every singular value to about 0.7 to 1.2.
    """
    x: Tensor = gradients / (gradients.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT  # (N, A, A)
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x


class Muon:
    """Muon in float32; matrices of one shape are orthogonalised together, which is faster on a CPU."""

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float, decay: float, momentum: float = 0.95) -> None:
        self.rate, self.decay, self.momentum = rate, decay, momentum
        groups: dict[tuple[int, ...], list[nn.Parameter]] = {}
        for parameter in parameters:
            groups.setdefault(tuple(sorted(parameter.shape)), []).append(parameter)
        self.groups = [(group, [torch.zeros_like(p) for p in group]) for group in groups.values()]

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """One update, at `factor` times the learning rate."""
        for parameters, momenta in self.groups:
            updates = []
            for parameter, momentum in zip(parameters, momenta, strict=True):
                gradient = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
                momentum.lerp_(gradient, 1 - self.momentum)
                update = gradient.lerp(momentum, self.momentum)
                updates.append(update if update.shape[0] <= update.shape[1] else update.mT)
            flat = orthogonalise(torch.stack(updates)) * (0.2 * math.sqrt(max(parameters[0].shape)))
            for parameter, update in zip(parameters, flat, strict=True):
                turned = update if parameter.shape[0] <= parameter.shape[1] else update.mT
                parameter.mul_(1 - self.rate * factor * self.decay).add_(turned, alpha=-self.rate * factor)

    def state(self) -> list[list[Tensor]]:
        """The momenta, for a checkpoint."""
        return [momenta for _, momenta in self.groups]

    def restore(self, state: list[list[Tensor]]) -> None:
        """Load momenta from a checkpoint."""
        for (_, momenta), saved in zip(self.groups, state, strict=True):
            for momentum, value in zip(momenta, saved, strict=True):
                momentum.copy_(value)


class Optimiser:
    """Muon for matrices of at least 64 x 64 outside embeddings and prototypes; AdamW for everything else."""

    def __init__(self, named: Iterable[tuple[str, nn.Parameter]], rate: float, decay: float, clip: float) -> None:
        named = list(named)
        self.rate, self.clip = rate, clip
        self.parameters = [parameter for _, parameter in named]
        hidden, plain, undecayed = [], [], []
        for name, parameter in named:
            outer = any(word in name for word in ("embed", "position", "prototype"))
            if parameter.ndim == 2 and min(parameter.shape) >= 64 and not outer:
                hidden.append(parameter)
            elif parameter.ndim >= 2 and not outer:
                plain.append(parameter)
            else:
                undecayed.append(parameter)
        groups = [{"params": plain, "weight_decay": decay}, {"params": undecayed, "weight_decay": 0.0}]
        self.adam = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), foreach=True)
        self.muon = Muon(hidden, rate, decay)

    def step(self, factor: float) -> None:
        """One update at `factor` times the learning rate; gradients are clipped first and freed afterwards."""
        nn.utils.clip_grad_norm_(self.parameters, self.clip, foreach=True)
        for group in self.adam.param_groups:
            group["lr"] = self.rate * factor
        self.adam.step()
        self.muon.step(factor)
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> dict[str, object]:
        """The state for a checkpoint."""
        return {"adam": self.adam.state_dict(), "muon": self.muon.state()}

    def restore(self, state: dict[str, object]) -> None:
        """Load the state from a checkpoint."""
        self.adam.load_state_dict(state["adam"])  # type: ignore[arg-type]
        self.muon.restore(state["muon"])  # type: ignore[arg-type]
