"""MaskCLIP: the values of a CLIP's last block, without its attention, as patches comparable with texts."""

from __future__ import annotations

from torch import Tensor

from dinoclip_viz.dense.block import LastBlock


def maskclip(block: LastBlock) -> Tensor:
    """(B, H * W, D) patches in the joint space.

    Each token attends only to itself: v = out(value(norm1(x))), v + x, v + mlp(norm2(v)), final norm, projection.
    Zhou et al., Extract Free Dense Labels from CLIP, ECCV 2022; residual and MLP are kept, as in CLIP-DINOiser
    (Wysoczańska et al., ECCV 2024).

    Args:
        block: last block of the model's forward pass.
    """
    patches = block.tokens[:, block.prefix :]  # tokens are independent, so CLS and registers are not needed
    tokens = patches + block.out(block.value(block.norm1(patches)))  # (B, H * W, width)
    tokens = tokens + block.mlp(block.norm2(tokens))
    return block.finish(tokens)  # (B, H * W, D)
