"""A CLIP's last transformer block taken apart, so that a dense method can put it together in another way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import get_ident

from torch import Tensor, nn

Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LastBlock:
    """The input of the last block and its parts; every step takes and returns (B, N, width) tensors.

    The block itself is y = x + out(attention(query(n), key(n), value(n))) with n = norm1(x), then y + mlp(norm2(y)).

    Attributes:
        tokens: (B, prefix + H * W, width) the block's input.
        prefix: how many tokens stand before the patches: CLS, registers.
        heads: of the attention; query, key and value are not yet split into them.
        norm1: before the attention.
        query: projection of the normed tokens.
        key: projection of the normed tokens.
        value: projection of the normed tokens.
        out: the attention's output projection, with its layer scale where there is one.
        norm2: before the MLP.
        mlp: the MLP, with its layer scale where there is one.
        finish: the model's final norm and the projection into the joint space, (B, N, width) -> (B, N, D).
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
    """A list that holds the first input of each forward pass of the layer that this thread runs inside the block.

    So a dense method shares the model's own forward pass: the trunk runs once.
    """
    inputs: list[Tensor] = []
    thread = get_ident()  # another thread may be using the same model

    def record(_: nn.Module, positional: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        if get_ident() == thread:
            inputs.append(positional[0] if positional else named["hidden_states"])

    handle = layer.register_forward_pre_hook(record, with_kwargs=True)
    try:
        yield inputs
    finally:
        handle.remove()
