"""Access to the last blocks of a vision tower during its forward pass, for all dense methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import get_ident

import torch
from torch import Tensor, nn

from dinoclip_viz.dense.block import LastBlock, recorded_input
from dinoclip_viz.dense.maskclip import maskclip
from dinoclip_viz.dense.selfsame import clearclip, naclip, sclip

BLOCK_METHODS: tuple[str, ...] = ("maskclip", "sclip", "naclip", "clearclip")
"""Heat-map methods that need only the CLIP."""
KEYS, VALUES, MIDDLE = "keys", "values", "third-last"
EXTRAS: tuple[str, ...] = (KEYS, VALUES, MIDDLE)
"""Inputs of further methods: keys and values of the last block, tokens of the third-last after its second norm."""


@dataclass(frozen=True)
class BlockReader:
    """The last blocks of a vision tower.

    Attributes:
        layer: last block.
        middle: second norm of the third-last block, or of the first block if there are fewer.
        take_apart: builds a LastBlock from the input of the last block.
        joint: whether the block's patches can be projected into a space of texts.
        batch_first: whether tokens have the shape (B, N, width) in the blocks rather than (N, B, width).
    """

    layer: nn.Module
    middle: nn.Module
    take_apart: Callable[[Tensor], LastBlock]
    joint: bool = True
    batch_first: bool = True

    @property
    def methods(self) -> tuple[str, ...]:
        """The heat-map methods that need only this model."""
        return BLOCK_METHODS if self.joint else ()

    @contextmanager
    def reading(self, methods: Sequence[str]) -> Iterator[Callable[[tuple[int, int]], dict[str, Tensor]]]:
        """Context of a forward pass; yields a function from the grid to the (B, H * W, D) patches of each method.

        Call the function after the pass.

        Args:
            methods: names from `methods` and `EXTRAS`.
        """
        with ExitStack() as stack:
            inputs = stack.enter_context(recorded_input(self.layer)) if set(methods) - {MIDDLE} else []
            outputs = stack.enter_context(_recorded_output(self.middle)) if MIDDLE in methods else []

            def dense(grid: tuple[int, int]) -> dict[str, Tensor]:
                made: dict[str, Tensor] = {}
                for method in methods:
                    if method == MIDDLE:
                        tokens = self._in_order(outputs[-1])
                        made[method] = tokens[:, tokens.shape[1] - grid[0] * grid[1] :]
                    else:
                        made[method] = _patches(self.take_apart(self._in_order(inputs[-1])), method, grid)
                return made

            yield dense

    def finish(self, values: Tensor) -> Tensor:
        """(B, H, W, D) patches in the joint space, by output projection, final norm and projection.

        Args:
            values: (B, H, W, width) averaged values of the last block.
        """
        block = self.take_apart(values)
        with torch.no_grad():
            return block.finish(block.out(values))

    def _in_order(self, tokens: Tensor) -> Tensor:
        return tokens if self.batch_first else tokens.transpose(0, 1)


def third_last(layers: Sequence[nn.Module], norm: str) -> nn.Module:
    """The named norm in the third-last block, or in the first block if there are fewer."""
    return layers[max(len(layers) - 3, 0)].get_submodule(norm)


def _patches(block: LastBlock, method: str, grid: tuple[int, int]) -> Tensor:
    if method in (KEYS, VALUES):
        part = block.key if method == KEYS else block.value
        return part(block.norm1(block.tokens))[:, block.prefix :]
    if method == "naclip":
        return naclip(block, grid)
    return {"maskclip": maskclip, "sclip": sclip, "clearclip": clearclip}[method](block)


@contextmanager
def _recorded_output(layer: nn.Module) -> Iterator[list[Tensor]]:
    """List of the output of each forward pass of a layer in this thread, while the context is open."""
    outputs: list[Tensor] = []
    thread = get_ident()  # another thread may use the same model

    def record(_: nn.Module, __: tuple[object, ...], output: Tensor) -> None:
        if get_ident() == thread:
            outputs.append(output)

    handle = layer.register_forward_hook(record)
    try:
        yield outputs
    finally:
        handle.remove()
