"""Vision transformers of timm, by themselves or as open_clip's image towers: any grid, and access to their blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from dinoclip_viz.dense.block import LastBlock
from dinoclip_viz.encoders.errors import EncoderError
from dinoclip_viz.encoders.towers.blocks import Blocks, listen_to_timm


def any_size(trunk: Any, name: str) -> None:
    """Let a ViT of timm accept any grid, as with dynamic_img_size=True, which open_clip does not expose.

    Raises:
        EncoderError: its architecture accepts one image size.
    """
    from timm.layers import Format

    embedding = trunk.patch_embed
    if not hasattr(trunk, "dynamic_img_size") or not hasattr(embedding, "strict_img_size"):
        raise EncoderError(
            f"{name}: found a tower of type {type(trunk).__name__}, which accepts one image size; expected a ViT"
        )
    trunk.dynamic_img_size = True
    embedding.strict_img_size = False
    embedding.flatten = False
    embedding.output_fmt = Format.NHWC
    rope: Any = getattr(trunk, "rope", None)
    if hasattr(rope, "_use_cached_embed"):
        rope._use_cached_embed = False
    elif rope is not None and type(rope).__name__ != "RotaryEmbeddingDinoV3":  # computed for every grid
        raise EncoderError(
            f"{name}: found a timm whose rotary embedding has one fixed size; expected a newer one; update timm"
        )


def trunk_blocks(model: nn.Module, path: str) -> Blocks | None:
    """Blocks of a ViT of timm; None for another network, or for blocks whose attention cannot be read.

    Args:
        model: the model.
        path: of the ViT within the model; "" for the model itself.
    """
    trunk: Any = model.get_submodule(path)
    layers: Any = getattr(trunk, "blocks", ())
    readable = all(hasattr(getattr(layer, "attn", None), "fused_attn") for layer in layers)
    if not hasattr(trunk, "num_prefix_tokens") or not layers or not readable:
        return None
    cls = getattr(trunk, "cls_token", None) is not None
    return Blocks(
        model=model,
        run=lambda twin, pixels: twin.get_submodule(path).forward_features(pixels),  # type: ignore[operator]
        layers=f"{path}.blocks" if path else "blocks",
        cls=cls,
        registers=int(trunk.num_prefix_tokens) - int(cls),
        listen=listen_to_timm,
        norm=(f"{path}.norm" if path else "norm") if hasattr(trunk, "norm") else "",
    )


def block_of_trunk(layer: Any, tokens: Tensor, prefix: int, finish: Callable[[Tensor], Tensor]) -> LastBlock:
    """The last block of a ViT of timm, taken apart.

    Args:
        layer: the block.
        tokens: (B, T, D') its input.
        prefix: number of tokens before the patches.
        finish: output of the block -> features.
    """
    attention = layer.attn

    def part(index: int) -> Callable[[Tensor], Tensor]:
        return lambda normed: attention.qkv(normed).chunk(3, dim=-1)[index]

    return LastBlock(
        tokens,
        prefix,
        heads=attention.num_heads,
        norm1=layer.norm1,
        query=part(0),
        key=part(1),
        value=part(2),
        out=lambda values: layer.ls1(attention.proj(attention.norm(values))),
        norm2=layer.norm2,
        mlp=lambda last: layer.ls2(layer.mlp(last)),
        finish=finish,
    )
