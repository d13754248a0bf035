"""Models of the open_clip library as encoders: its own ViTs, timm's ViTs and MobileCLIP's convolutional towers.

Whatever is odd about one of them stays here. `loading` finds or fetches the files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from dinoclip_viz.dense.block import LastBlock
from dinoclip_viz.dense.reader import BlockReader, third_last
from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.batching import BatchedImageEncoder, BatchedTextEncoder, Tower, TowerOutput
from dinoclip_viz.encoders.blocks import Blocks, listen_to_open_clip, listen_to_timm
from dinoclip_viz.encoders.preprocessing import Preprocessing

WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")
"""What a model's weights may be called in a folder, the likeliest first."""


@dataclass(frozen=True)
class Loaded:
    """A model with what an encoder of it needs to know.

    Attributes:
        model: the weights, on `device`.
        identifier: what open_clip calls it, for its tokenizer: a model name or local-dir:FOLDER.
        folder: where its files are.
        name: as the user wrote it.
        space: of its pooled vectors.
        revision: the hub's commit, where it came from the hub.
    """

    model: Any
    identifier: str
    folder: Path
    name: str
    space: str
    device: torch.device
    dtype: torch.dtype
    revision: str | None = None


def repository(model: str, pretrained: str) -> str:
    """Hub id of the weights that open_clip lists for a pair.

    Raises:
        EncoderError: the pair is unknown, has no hub repository, or mixes up QuickGELU, which would go wrong silently.
    """
    import open_clip

    configuration = open_clip.get_model_config(model)
    if configuration is None:
        raise EncoderError(f"open_clip has no model {model!r}; `dinoclip models` lists those that are known here")
    published = open_clip.get_pretrained_cfg(model, pretrained)
    if not published:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model))
        raise EncoderError(f"open_clip has no weights {pretrained!r} for {model}; it has: {tags}")
    if bool(published.get("quick_gelu", False)) != bool(configuration.get("quick_gelu", False)):
        other = model.removesuffix("-quickgelu") if model.endswith("-quickgelu") else f"{model}-quickgelu"
        raise EncoderError(
            f"{model} and weights {pretrained!r} differ in QuickGELU, so every vector would be off; use {other} instead"
        )
    hub = str(published.get("hf_hub", "")).rstrip("/")
    if not hub:
        raise EncoderError(f"open_clip's weights {pretrained!r} for {model} are not on the Hugging Face hub")
    return "/".join(hub.split("/")[:2])


def load_published(
    model: str,
    pretrained: str,
    folder: Path,
    name: str,
    space: str,
    device: torch.device,
    dtype: torch.dtype,
    revision: str | None = None,
) -> Loaded:
    """A model that open_clip knows by name, its weights lying in a folder.

    Raises:
        EncoderError: the weights are missing, a pickle, or do not fit.
    """
    import open_clip

    weights = _weights(folder, name)
    preprocessing = open_clip.get_pretrained_cfg(model, pretrained)
    made = _create(name, model, str(weights), force_preprocess_cfg=preprocessing)
    return _loaded(made, model, folder, name, space, device, dtype, revision)


def load_folder(
    folder: Path, name: str, space: str, device: torch.device, dtype: torch.dtype, revision: str | None = None
) -> Loaded:
    """The model in a folder with open_clip_config.json.

    Raises:
        EncoderError: a file is missing or broken, the weights are a pickle, or do not fit.
    """
    path = folder / "open_clip_config.json"
    try:
        if "model_cfg" not in json.loads(path.read_text(encoding="utf-8")):
            raise EncoderError(f"{name}: {path} has no 'model_cfg'")
    except OSError as error:
        raise EncoderError(f"{name}: {folder} has no open_clip_config.json") from error
    except ValueError as error:
        raise EncoderError(f"{name}: {path} is not valid JSON ({_one_line(error)})") from error
    _weights(folder, name)
    identifier = f"local-dir:{folder}"
    return _loaded(_create(name, identifier, None), identifier, folder, name, space, device, dtype, revision)


def image_encoder(loaded: Loaded) -> BatchedImageEncoder:
    """The model's vision side as an `ImageEncoder`.

    `mean` is taken over the last block's tokens: before the final norm in open_clip's own ViTs (as transformers' CLIP
    returns them), after it in timm's. `patches` are always after the final norm. A convolutional tower has no tokens:
    its patches are the cells of its last feature map, and `mean` is their mean.

    Raises:
        EncoderError: the tower is of a kind that has no patch grid here.
    """
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    visual = loaded.model.visual
    preprocessing = _preprocessing(visual.preprocess_cfg, loaded.name)
    if isinstance(visual, VisionTransformer):
        tower, patch, reader = _native_tower(visual, loaded.name)
    elif isinstance(visual, TimmModel):
        tower, patch, reader = _timm_tower(visual, preprocessing.size, loaded.name)
    else:
        raise EncoderError(
            f"{loaded.name}: image towers of type {type(visual).__name__} have no patches; use a ViT or MobileCLIP"
        )
    with torch.no_grad():
        black = torch.zeros(1, 3, 2 * patch, 2 * patch, device=loaded.device, dtype=loaded.dtype)
        probe = tower(black, (2, 2), ())
    return BatchedImageEncoder(
        name=loaded.name,
        space=loaded.space,
        patch_space=f"{loaded.space}/patches",
        dimension=probe.pooled.shape[-1],
        patch_dimension=probe.patches.shape[-1],
        patch=patch,
        methods=reader.methods if reader else (),
        device=loaded.device,
        dtype=loaded.dtype,
        preprocessing=preprocessing,
        tower=tower,
        reader=reader,
        revision=loaded.revision,
        blocks=_blocks(visual),
    )


def text_encoder(loaded: Loaded) -> BatchedTextEncoder:
    """The model's text side as a `TextEncoder`.

    Raises:
        EncoderError: its tokenizer cannot be read.
    """
    import open_clip

    from dinoclip_viz.encoders.huggingface import openai_templates, own_templates

    model, name = loaded.model, loaded.name
    try:
        tokenizer = open_clip.get_tokenizer(loaded.identifier, context_length=model.context_length)
    except (OSError, ValueError, ImportError, AttributeError, TypeError) as error:
        raise EncoderError(f"{name}: its tokenizer cannot be read ({_one_line(error)})") from error

    def tower(texts: list[str]) -> Tensor:
        vectors: Tensor = model.encode_text(tokenizer(texts).to(loaded.device))
        return vectors

    with torch.no_grad():
        dimension = tower(["a"]).shape[-1]
    return BatchedTextEncoder(
        name=name,
        space=loaded.space,
        dimension=dimension,
        templates=own_templates(loaded.folder) or openai_templates(),
        logit_scale=float(model.logit_scale.float().exp()),
        device=loaded.device,
        dtype=loaded.dtype,
        tower=tower,
        revision=loaded.revision,
    )


def _native_tower(visual: Any, name: str) -> tuple[Tower, int, BlockReader | None]:
    from open_clip.transformer import ResidualAttentionBlock

    if visual.attn_pool is not None:
        raise EncoderError(f"{name}: CoCa's attention pooling leaves no patches in CLIP's sense; use a plain CLIP")
    patch = int(visual.patch_size[0])
    layer = visual.transformer.resblocks[-1]
    projected_cls = visual.pool_type == "tok" and not visual.final_ln_after_pool and visual.proj is not None
    reader = None
    if projected_cls and isinstance(layer, ResidualAttentionBlock):
        middle = third_last(visual.transformer.resblocks, "ln_2")
        first = visual.transformer.batch_first
        reader = BlockReader(layer, middle, lambda tokens: _native_block(visual, layer, tokens), True, first)

    def tower(pixels: Tensor, grid: tuple[int, int], wanted: Sequence[str]) -> TowerOutput:
        with nullcontext(_nothing) if reader is None else reader.reading(wanted) as patches_by:
            tokens = visual.transformer(_native_embedding(visual, pixels))  # (B, 1 + H * W, width)
        pooled, _ = visual._pool(tokens)
        if visual.proj is not None:
            pooled = pooled @ visual.proj
        patches = visual.ln_post(tokens[:, 1:])
        return TowerOutput(pooled, tokens.mean(dim=1, dtype=torch.float32), patches, patches_by(grid))

    return tower, patch, reader


def _nothing(_: tuple[int, int]) -> dict[str, Tensor]:
    return {}


def _blocks(visual: Any) -> Blocks | None:
    """Where the tower's blocks are; None for a convolutional tower, or blocks whose attention cannot be read."""
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
        )
    trunk = visual.trunk
    layers = getattr(trunk, "blocks", ())
    if not hasattr(trunk, "num_prefix_tokens") or not all(
        hasattr(getattr(layer, "attn", None), "fused_attn") for layer in layers
    ):
        return None
    cls = getattr(trunk, "cls_token", None) is not None
    return Blocks(
        model=visual,
        run=lambda twin, pixels: twin.trunk.forward_features(pixels),  # type: ignore[operator, union-attr]
        layers="trunk.blocks",
        cls=cls,
        registers=int(trunk.num_prefix_tokens) - int(cls),
        listen=listen_to_timm,
    )


def _native_embedding(visual: Any, pixels: Tensor) -> Tensor:
    """open_clip's `VisionTransformer._embeds` with the position embedding interpolated to the grid of these pixels."""
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


def _timm_tower(visual: Any, size: int, name: str) -> tuple[Tower, int, BlockReader | None]:
    trunk = visual.trunk
    if not hasattr(trunk, "patch_embed"):
        return _convolutional_tower(visual, name)
    _any_size(trunk, name)
    patch = int(trunk.feature_info[-1]["reduction"])
    prefix = int(trunk.num_prefix_tokens)
    layer = trunk.blocks[-1]
    # where the vector is a projection of CLS, each patch can take the same way; SigLIP and PE pool by attention
    token_pooled = trunk.global_pool == "token" and hasattr(getattr(layer, "attn", None), "qkv")

    reader = None
    if token_pooled:
        middle = third_last(trunk.blocks, "norm2")
        reader = BlockReader(layer, middle, lambda tokens: _timm_block(visual, layer, tokens, prefix))

    def tower(pixels: Tensor, grid: tuple[int, int], wanted: Sequence[str]) -> TowerOutput:
        with nullcontext(_nothing) if reader is None else reader.reading(wanted) as patches_by:
            tokens = trunk.forward_features(pixels)  # (B, prefix + H * W, D')
        pooled = visual.head(trunk.forward_head(tokens))
        mean = tokens.mean(dim=1, dtype=torch.float32)
        return TowerOutput(pooled, mean, tokens[:, prefix:], patches_by(grid))

    return tower, patch, reader


def _timm_block(visual: Any, layer: Any, tokens: Tensor, prefix: int) -> LastBlock:
    trunk, attention = visual.trunk, layer.attn

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
        finish=lambda last: visual.head(trunk.head(trunk.fc_norm(trunk.norm(last)))),
    )


def _any_size(trunk: Any, name: str) -> None:
    """Lets a timm ViT take any grid, as if made with dynamic_img_size=True, which open_clip cannot ask for."""
    from timm.layers import Format

    embedding = trunk.patch_embed
    if not hasattr(trunk, "dynamic_img_size") or not hasattr(embedding, "strict_img_size"):
        raise EncoderError(
            f"{name}: towers of type {type(trunk).__name__} take images of one size only and are not supported"
        )
    trunk.dynamic_img_size = True
    embedding.strict_img_size = False
    embedding.flatten = False
    embedding.output_fmt = Format.NHWC
    if getattr(trunk, "rope", None) is not None:
        if not hasattr(trunk.rope, "_use_cached_embed"):
            raise EncoderError(
                f"{name}: this version of timm computes its rotary embedding for one size only; update timm"
            )
        trunk.rope._use_cached_embed = False


def _convolutional_tower(visual: Any, name: str) -> tuple[Tower, int, BlockReader | None]:
    trunk = visual.trunk
    patch = int(trunk.feature_info[-1]["reduction"])

    def tower(pixels: Tensor, _: tuple[int, int], __: Sequence[str]) -> TowerOutput:
        maps = trunk.forward_features(pixels)  # (B, D', H, W)
        if maps.ndim != 4 or maps.shape[-1] * patch != pixels.shape[-1]:
            raise EncoderError(
                f"{name}: {type(trunk).__name__} gave features of shape {tuple(maps.shape)}, no grid of {patch} px"
            )
        patches = maps.flatten(2).transpose(1, 2)  # (B, H * W, D')
        return TowerOutput(visual.head(trunk.forward_head(maps)), patches.mean(dim=1, dtype=torch.float32), patches)

    return tower, patch, None


def _preprocessing(published: dict[str, Any], name: str) -> Preprocessing:
    size = published["size"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width or published["resize_mode"] == "longest":
        raise EncoderError(
            f"{name}: preprocessing to {size} with resize mode {published['resize_mode']!r} is not supported"
        )
    # torchvision's ToTensor and Normalize, on each of the 256 values a channel can have
    values = torch.arange(256, dtype=torch.uint8).float().div(255).expand(3, 256)
    mean, std = (torch.tensor(published[key], dtype=torch.float32).expand(3)[:, None] for key in ("mean", "std"))
    table: np.ndarray[tuple[int, int], np.dtype[np.float32]] = ((values - mean) / std).numpy()
    return Preprocessing(
        size=int(height),
        short_side=int(height) if published["resize_mode"] == "shortest" else None,
        resample=Image.Resampling.BILINEAR if published["interpolation"] == "bilinear" else Image.Resampling.BICUBIC,
        table=table,
    )


def _weights(folder: Path, name: str) -> Path:
    for weights in WEIGHTS:
        if (folder / weights).is_file():
            return folder / weights
    others = sorted(folder.glob("*.safetensors"))
    if others:
        return others[0]
    pickles = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
    if pickles:
        raise EncoderError(
            f"{name}: {folder} holds {pickles[0]}, a pickle that could run code, and no {WEIGHTS[0]}; it is not loaded"
        )
    raise EncoderError(f"{name}: {folder} has no {WEIGHTS[0]}")


def _create(name: str, identifier: str, weights: str | None, **extra: Any) -> Any:
    import open_clip
    from safetensors import SafetensorError

    try:
        return open_clip.create_model(identifier, pretrained=weights, require_pretrained=True, **extra)
    except (SafetensorError, OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"{name}: open_clip cannot read the model ({_one_line(error)})") from error


def _loaded(
    model: nn.Module,
    identifier: str,
    folder: Path,
    name: str,
    space: str,
    device: torch.device,
    dtype: torch.dtype,
    revision: str | None,
) -> Loaded:
    model.eval().requires_grad_(False).to(device, dtype)
    return Loaded(model, identifier, folder, name, space, device, dtype, revision)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
