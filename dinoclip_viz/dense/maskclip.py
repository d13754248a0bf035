"""MaskCLIP: a CLIP's own values, without attention in the last block, are comparable with text patch by patch."""

from __future__ import annotations

from torch import Tensor

from dinoclip_viz.dense.block import LastBlock


def maskclip(block: LastBlock) -> Tensor:
    """(B, H * W, D) patches in the joint space.

    Each token attends to itself alone: v = out(value(norm1(x))), v + x, v + mlp(norm2(v)), final norm, projection.
    Zhou et al., Extract Free Dense Labels from CLIP, ECCV 2022; with the residual and the MLP kept as CLIP-DINOiser
    does (Wysoczańska et al., ECCV 2024).

    Args:
        block: the last block of the model's own forward pass.
    """
    patches = block.tokens[:, block.prefix :]  # no token looks at another: CLS and registers need not take part
    tokens = patches + block.out(block.value(block.norm1(patches)))  # (B, H * W, width)
    tokens = tokens + block.mlp(block.norm2(tokens))
    return block.finish(tokens)  # (B, H * W, D)
