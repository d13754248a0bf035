"""The parts of a CLIP's last transformer block, from which dense methods compute modified blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import get_ident

from torch import Tensor, nn

Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LastBlock:
    """Input and parts of the last block; each step maps (B, N, width) to (B, N, width) tensors.

    The unmodified block is y = x + out(attention(query(n), key(n), value(n))), n = norm1(x), then y + mlp(norm2(y)).

    Attributes:
        tokens: (B, prefix + H * W, width) input of the block.
        prefix: number of tokens before the patches: CLS and registers.
        heads: number of attention heads; query, key and value are not split into heads.
        norm1: norm before the attention.
        query: query projection of the normed tokens.
        key: key projection of the normed tokens.
        value: value projection of the normed tokens.
        out: output projection of the attention, with its layer scale if there is one.
        norm2: norm before the MLP.
        mlp: MLP, with its layer scale if there is one.
        finish: final norm of the model and projection into the joint space, (B, N, width) -> (B, N, D).
    """

    tokens: Tensor
    prefix: int
    heads: int
    norm1: Step
    query: Step
    key: Step
    value: Step
    out: Step
    norm2: Step
    mlp: Step
    finish: Step


@contextmanager
def recorded_input(layer: nn.Module) -> Iterator[list[Tensor]]:
    """List of the first input of each forward pass of a layer in this thread, while the context is open.

    A dense method thereby uses the model's own forward pass, and the trunk runs once.
    """
    inputs: list[Tensor] = []
    thread = get_ident()  # another thread may use the same model

    def record(_: nn.Module, positional: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        if get_ident() == thread:
            inputs.append(positional[0] if positional else named["hidden_states"])

    handle = layer.register_forward_pre_hook(record, with_kwargs=True)
    try:
        yield inputs
    finally:
        handle.remove()
