"""Vision towers of open_clip: its own transformer, timm's transformers and convolutional networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.dense.block import LastBlock
from dinoclip_viz.dense.reader import BlockReader, third_last
from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.towers.batching import Tower, TowerOutput
from dinoclip_viz.encoders.towers.blocks import Blocks, listen_to_open_clip
from dinoclip_viz.encoders.towers.timm_trunks import any_size, block_of_trunk, trunk_blocks


def native_tower(visual: Any, name: str) -> tuple[Tower, int, BlockReader | None]:
    """Open_clip's own transformer: forward pass, side of a patch in pixels, and access to the last blocks.

    Raises:
        EncoderError: the tower pools by attention.
    """
    from open_clip.transformer import ResidualAttentionBlock

    if visual.attn_pool is not None:
        raise EncoderError(f"{name}: found a CoCa, which pools by attention; expected a CLIP without attention pooling")
    patch = int(visual.patch_size[0])
    layer = visual.transformer.resblocks[-1]
    projected_cls = visual.pool_type == "tok" and not visual.final_ln_after_pool and visual.proj is not None
    reader = None
    if projected_cls and isinstance(layer, ResidualAttentionBlock):
        middle = third_last(visual.transformer.resblocks, "ln_2")
        first = visual.transformer.batch_first
        reader = BlockReader(layer, middle, lambda tokens: _native_block(visual, layer, tokens), True, first)

    def tower(pixels: Tensor, grid: tuple[int, int], wanted: Sequence[str]) -> TowerOutput:
        with nullcontext(nothing) if reader is None else reader.reading(wanted) as patches_by:
            tokens = visual.transformer(_native_embedding(visual, pixels))  # (B, 1 + H * W, width)
        pooled, _ = visual._pool(tokens)
        if visual.proj is not None:
            pooled = pooled @ visual.proj
        patches = visual.ln_post(tokens[:, 1:])
        return TowerOutput(pooled, tokens.mean(dim=1, dtype=torch.float32), patches, patches_by(grid))

    return tower, patch, reader


def nothing(_: tuple[int, int]) -> dict[str, Tensor]:
    """No dense patches, for a tower whose blocks cannot be read."""
    return {}


def blocks_of(visual: Any) -> Blocks | None:
    """Blocks of a tower; None for a convolutional tower or for blocks whose attention cannot be read."""
    from open_clip.transformer import ResidualAttentionBlock, VisionTransformer

    if isinstance(visual, VisionTransformer):
        transformer = visual.transformer
        if not all(isinstance(layer, ResidualAttentionBlock) for layer in transformer.resblocks):
            return None
        return Blocks(
            model=visual,
            run=lambda twin, pixels: twin.transformer(_native_embedding(twin, pixels)),  # type: ignore[operator]
            layers="transformer.resblocks",
            cls=True,
            registers=0,
            listen=listen_to_open_clip,
            batch_first=transformer.batch_first,
            norm="ln_post",
        )
    return trunk_blocks(visual, "trunk")


def _native_embedding(visual: Any, pixels: Tensor) -> Tensor:
    """Open_clip's `VisionTransformer._embeds` with position embeddings interpolated to the grid of the pixels."""
    maps = visual.conv1(pixels)  # (B, width, H, W)
    rows, columns = maps.shape[-2:]
    patches = maps.flatten(2).transpose(1, 2)  # (B, H * W, width)
    cls = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
    positions = visual.positional_embedding
    if (rows, columns) != tuple(visual.grid_size):
        on_grid = positions[1:].reshape(1, *visual.grid_size, -1).permute(0, 3, 1, 2)  # (1, width, H0, W0)
        # bicubic with antialiasing, as open_clip's own resize_pos_embed
        on_grid = F.interpolate(on_grid.float(), (rows, columns), mode="bicubic", antialias=True, align_corners=False)
        positions = torch.cat([positions[:1], on_grid.flatten(2)[0].T.to(positions.dtype)])  # (1 + H * W, width)
    tokens: Tensor = visual.ln_pre(torch.cat([cls, patches], dim=1) + positions.to(patches.dtype))
    return tokens


def _native_block(visual: Any, layer: Any, tokens: Tensor) -> LastBlock:
    def part(index: int) -> Callable[[Tensor], Tensor]:
        weight = layer.attn.in_proj_weight.chunk(3)[index]
        bias = layer.attn.in_proj_bias.chunk(3)[index]
        return lambda normed: F.linear(normed, weight, bias)

    return LastBlock(
        tokens,
        prefix=1,
        heads=layer.attn.num_heads,
        norm1=layer.ln_1,
        query=part(0),
        key=part(1),
        value=part(2),
        out=lambda values: layer.ls_1(layer.attn.out_proj(values)),
        norm2=layer.ln_2,
        mlp=lambda last: layer.ls_2(layer.mlp(last)),
        finish=lambda last: visual.ln_post(last) @ visual.proj,
    )


def timm_tower(visual: Any, size: int, name: str) -> tuple[Tower, int, BlockReader | None]:
    """A tower of timm: forward pass, side of a patch in pixels, and access to the last blocks.

    Raises:
        EncoderError: the tower accepts images of one size only.
    """
    trunk = visual.trunk
    if not hasattr(trunk, "patch_embed"):
        return convolutional_tower(visual, name)
    any_size(trunk, name)
    patch = int(trunk.feature_info[-1]["reduction"])
    prefix = int(trunk.num_prefix_tokens)
    layer = trunk.blocks[-1]
    # dense methods apply the projection of CLS to patches; SigLIP and PE pool by attention instead
    token_pooled = trunk.global_pool == "token" and hasattr(getattr(layer, "attn", None), "qkv")

    reader = None
    if token_pooled:
        middle = third_last(trunk.blocks, "norm2")
        reader = BlockReader(layer, middle, lambda tokens: _timm_block(visual, layer, tokens, prefix))

    def tower(pixels: Tensor, grid: tuple[int, int], wanted: Sequence[str]) -> TowerOutput:
        with nullcontext(nothing) if reader is None else reader.reading(wanted) as patches_by:
            tokens = trunk.forward_features(pixels)  # (B, prefix + H * W, D')
        pooled = visual.head(trunk.forward_head(tokens))
        mean = tokens.mean(dim=1, dtype=torch.float32)
        return TowerOutput(pooled, mean, tokens[:, prefix:], patches_by(grid))

    return tower, patch, reader


def _timm_block(visual: Any, layer: Any, tokens: Tensor, prefix: int) -> LastBlock:
    trunk = visual.trunk
    return block_of_trunk(layer, tokens, prefix, lambda last: visual.head(trunk.head(trunk.fc_norm(trunk.norm(last)))))


def convolutional_tower(visual: Any, name: str) -> tuple[Tower, int, BlockReader | None]:
    """A convolutional network of timm: forward pass, stride in pixels, and no access to blocks."""
    trunk = visual.trunk
    patch = int(trunk.feature_info[-1]["reduction"])

    def tower(pixels: Tensor, _: tuple[int, int], __: Sequence[str]) -> TowerOutput:
        maps = trunk.forward_features(pixels)  # (B, D', H, W)
        if maps.ndim != 4 or maps.shape[-1] * patch != pixels.shape[-1]:
            raise EncoderError(
                f"{name}: found features of shape {tuple(maps.shape)}; expected a grid with a stride of {patch} px"
            )
        patches = maps.flatten(2).transpose(1, 2)  # (B, H * W, D')
        return TowerOutput(visual.head(trunk.forward_head(maps)), patches.mean(dim=1, dtype=torch.float32), patches)

    return tower, patch, None
