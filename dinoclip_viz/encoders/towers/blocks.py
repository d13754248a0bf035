"""Access to the blocks of a vision transformer and to their attention weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

Receive = Callable[[Tensor], None]
"""Receives the attention weights (B, heads, T, T) of one block; each row, one per query, sums to 1."""
Listen = Callable[[nn.Module, Sequence[nn.Module], Receive], None]
"""Registers hooks on the model and blocks of a twin that pass on the weights of each block as it runs."""


@dataclass(frozen=True)
class Blocks:
    """Blocks of a vision transformer.

    Attributes:
        model: module with the weights; hooks are registered on a `twin` of it.
        run: forward pass of pixels (B, 3, height, width) through a twin.
        layers: dotted name of the list of blocks inside the model.
        cls: whether token 0 is CLS.
        registers: number of tokens between CLS and the patches.
        listen: registers the hooks that read the attention.
        batch_first: whether blocks return (B, T, D) tokens rather than (T, B, D).
        norm: dotted name of the norm after the last block; "" if there is none.
    """

    model: nn.Module
    run: Callable[[nn.Module, Tensor], object]
    layers: str
    cls: bool
    registers: int
    listen: Listen
    batch_first: bool = True
    norm: str = ""

    @property
    def prefix(self) -> int:
        """Number of tokens before the patches."""
        return int(self.cls) + self.registers

    def of(self, model: nn.Module) -> list[nn.Module]:
        """The blocks of a twin, first to last."""
        return list(model.get_submodule(self.layers).children())


TRANSFORMERS: dict[str, tuple[str, str]] = {
    "dinov2": ("encoder.layer", "attention"),
    "dinov2_with_registers": ("encoder.layer", "attention"),
    "dinov3_vit": ("model.layer", "attention"),
    "vit": ("layers", "attention"),
    "ijepa": ("layers", "attention"),
    "pixio": ("layers", "attention"),
    "clip": ("encoder.layers", "self_attn"),
    "metaclip_2": ("encoder.layers", "self_attn"),
    "siglip": ("encoder.layers", "self_attn"),
    "tipsv2": ("encoder.layer", "attention"),
}
"""Model type of transformers -> dotted names of its list of vision blocks, and of the attention inside a block."""

FINAL_NORMS = ("layernorm", "norm", "post_layernorm")
"""Names of the norm after the last block, of which a vision model of transformers has one."""


def twin(model: nn.Module) -> nn.Module:
    """A model with the same weight tensors and its own settings and hooks.

    Changing the attention implementation or the hooks of the twin does not affect the model in any thread.

    Examples:
        >>> layer = nn.Linear(2, 2)
        >>> twin(layer) is layer, twin(layer).weight is layer.weight
        (False, True)
    """
    shared: dict[int, object] = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    for module in model.modules():
        # copied atomically, since another thread may add a hook while the rest is copied
        hooks = [
            value for name, value in vars(module).items() if name.startswith("_forward") and hasattr(value, "copy")
        ]
        shared.update((id(value), value.copy()) for value in hooks)
    return deepcopy(model, shared)


def listen_to_transformers(kind: str) -> Listen:
    """`Listen` for a model type of `TRANSFORMERS`; the twin uses eager attention, since sdpa returns no weights."""
    _, name = TRANSFORMERS[kind]

    def listen(model: nn.Module, blocks: Sequence[nn.Module], receive: Receive) -> None:
        model.set_attn_implementation("eager")  # type: ignore[operator]

        def hook(_: nn.Module, __: tuple[object, ...], output: tuple[Tensor, Tensor]) -> None:
            receive(output[1])

        for block in blocks:
            block.get_submodule(name).register_forward_hook(hook)

    return listen


def listen_to_open_clip(_: nn.Module, blocks: Sequence[nn.Module], receive: Receive) -> None:
    """`Listen` for open_clip's own blocks; the weights are computed from the block's input."""

    def hook(block: nn.Module, given: tuple[Tensor, ...]) -> None:
        attention = cast("nn.MultiheadAttention", block.get_submodule("attn"))
        normed: Tensor = block.get_submodule("ln_1")(given[0])
        receive(_weights(attention, normed if attention.batch_first else normed.transpose(0, 1)))

    for block in blocks:
        block.register_forward_pre_hook(hook)


def listen_to_timm(_: nn.Module, blocks: Sequence[nn.Module], receive: Receive) -> None:
    """`Listen` for timm's blocks; unfused, their weights are the input of the attention's dropout."""

    def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        receive(given[0])

    for block in blocks:
        attention = block.get_submodule("attn")
        attention.fused_attn = False  # type: ignore[assignment]
        attention.get_submodule("attn_drop").register_forward_pre_hook(hook)


def _weights(attention: nn.MultiheadAttention, tokens: Tensor) -> Tensor:
    """(B, heads, T, T) self-attention weights of normed tokens (B, T, D) in torch's multi-head attention."""
    projected = F.linear(tokens, attention.in_proj_weight, attention.in_proj_bias)  # (B, T, 3 D)
    heads = projected.unflatten(-1, (3, attention.num_heads, attention.head_dim)).permute(2, 0, 3, 1, 4)
    query, key = heads[0], heads[1]  # (B, heads, T, d)
    weights: Tensor = (query * attention.head_dim**-0.5 @ key.transpose(-2, -1)).softmax(dim=-1)
    return weights
