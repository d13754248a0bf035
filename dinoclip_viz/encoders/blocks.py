"""Where a vision transformer keeps its blocks, and how the attention inside them is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

Heard = Callable[[Tensor], None]
"""Takes a block's attention weights (B, heads, T, T), a row for each token that asks; a row sums to 1."""
Listen = Callable[[nn.Module, Sequence[nn.Module], Heard], None]
"""Model and blocks of a twin: from now on each block's weights are handed over as it runs, first block first."""


@dataclass(frozen=True)
class Blocks:
    """A vision transformer as something to look into.

    Attributes:
        model: the module with the weights; what looks inside works on a `twin` of it.
        run: sends pixels (B, 3, height, width) through a twin.
        layers: dotted name of the list of blocks inside the model.
        cls: whether token 0 is CLS.
        registers: tokens between CLS and the patches.
        listen: how the attention is read.
        batch_first: whether blocks return (B, T, D) tokens rather than (T, B, D).
    """

    model: nn.Module
    run: Callable[[nn.Module, Tensor], object]
    layers: str
    cls: bool
    registers: int
    listen: Listen
    batch_first: bool = True

    @property
    def prefix(self) -> int:
        """Tokens before the patches."""
        return int(self.cls) + self.registers

    def of(self, model: nn.Module) -> list[nn.Module]:
        """The blocks of a twin, first to last."""
        return list(model.get_submodule(self.layers).children())


TRANSFORMERS: dict[str, tuple[str, str]] = {
    "dinov2": ("encoder.layer", "attention"),
    "dinov2_with_registers": ("encoder.layer", "attention"),
    "dinov3_vit": ("model.layer", "attention"),
    "vit": ("layers", "attention"),
    "clip": ("encoder.layers", "self_attn"),
    "metaclip_2": ("encoder.layers", "self_attn"),
    "siglip": ("encoder.layers", "self_attn"),
    "tipsv2": ("encoder.layer", "attention"),
}
"""Model type of transformers -> name of its vision side's list of blocks, and of the attention inside a block."""


def twin(model: nn.Module) -> nn.Module:
    """A model over the very same weights, with settings and hooks of its own.

    So that looking inside one call disturbs no other: not its attention implementation, not its hooks, in no thread.

    Examples:
        >>> layer = nn.Linear(2, 2)
        >>> twin(layer) is layer, twin(layer).weight is layer.weight
        (False, True)
    """
    shared: dict[int, object] = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    for module in model.modules():
        # copied at one stroke: another thread may be adding a hook while the rest is copied step by step
        hooks = [
            value for name, value in vars(module).items() if name.startswith("_forward") and hasattr(value, "copy")
        ]
        shared.update((id(value), value.copy()) for value in hooks)
    return deepcopy(model, shared)


def listen_to_transformers(kind: str) -> Listen:
    """For a model type of `TRANSFORMERS`: under sdpa its attention returns no weights, so the twin computes eagerly."""
    _, name = TRANSFORMERS[kind]

    def listen(model: nn.Module, blocks: Sequence[nn.Module], heard: Heard) -> None:
        model.set_attn_implementation("eager")  # type: ignore[operator]

        def hook(_: nn.Module, __: tuple[object, ...], output: tuple[Tensor, Tensor]) -> None:
            heard(output[1])

        for block in blocks:
            block.get_submodule(name).register_forward_hook(hook)

    return listen


def listen_to_open_clip(_: nn.Module, blocks: Sequence[nn.Module], heard: Heard) -> None:
    """For open_clip's own blocks: from their input, since their attention never returns weights."""

    def hook(block: nn.Module, given: tuple[Tensor, ...]) -> None:
        attention = cast("nn.MultiheadAttention", block.get_submodule("attn"))
        normed: Tensor = block.get_submodule("ln_1")(given[0])
        heard(_weights(attention, normed if attention.batch_first else normed.transpose(0, 1)))

    for block in blocks:
        block.register_forward_pre_hook(hook)


def listen_to_timm(_: nn.Module, blocks: Sequence[nn.Module], heard: Heard) -> None:
    """For timm's blocks: unfused, their weights pass through the attention's dropout, rotary positions and all."""

    def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        heard(given[0])

    for block in blocks:
        attention = block.get_submodule("attn")
        attention.fused_attn = False  # type: ignore[assignment]
        attention.get_submodule("attn_drop").register_forward_pre_hook(hook)


def _weights(attention: nn.MultiheadAttention, tokens: Tensor) -> Tensor:
    """(B, heads, T, T) weights of torch's own multi-head attention of normed tokens (B, T, D) to themselves."""
    projected = F.linear(tokens, attention.in_proj_weight, attention.in_proj_bias)  # (B, T, 3 D)
    heads = projected.unflatten(-1, (3, attention.num_heads, attention.head_dim)).permute(2, 0, 3, 1, 4)
    query, key = heads[0], heads[1]  # (B, heads, T, d)
    weights: Tensor = (query * attention.head_dim**-0.5 @ key.transpose(-2, -1)).softmax(dim=-1)
    return weights
