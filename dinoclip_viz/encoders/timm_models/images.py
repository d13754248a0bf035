"""Image encoder of a model of timm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from dinoclip_viz.dense.reader import BlockReader, third_last
from dinoclip_viz.encoders.errors import EncoderError, one_line
from dinoclip_viz.encoders.timm_models.weights import Loaded
from dinoclip_viz.encoders.towers.batching import BatchedImageEncoder, Tower, TowerOutput
from dinoclip_viz.encoders.towers.blocks import Blocks, twin
from dinoclip_viz.encoders.towers.preprocessing import Preprocessing, normalisation_table
from dinoclip_viz.encoders.towers.timm_trunks import any_size, block_of_trunk, trunk_blocks

_SIZED = ("dynamic_img_size", "strict_img_size", "flatten", "output_fmt")
_UNSUITABLE = (RuntimeError, AssertionError, ValueError, TypeError)  # of timm, for a size that a model does not accept
_FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


def image_encoder(loaded: Loaded) -> BatchedImageEncoder:
    """Build an `ImageEncoder` from a model of timm.

    `patches` and `mean` are those of timm's `forward_features`: after the final norm, unless the architecture applies
    its norm after pooling. `pooled` is `forward_head(..., pre_logits=True)`: CLS, the mean or attention pooling, as the
    architecture is published, and the mean of both class tokens of a distilled one. A convolutional or hierarchical
    network has no tokens: its patches are the cells of its last feature map.

    ViTs accept any grid. Architectures whose positions are of one size accept images of that size alone, by
    `fit="crop"`.

    Raises:
        EncoderError: the preprocessing or the shape of the features is not supported.
    """
    model = loaded.model
    preprocessing = _preprocessing(model, loaded.name)
    patch = _patch(model, loaded.name)
    fixed = _fixed(loaded, preprocessing.size, patch)
    reader = _reader(model)
    if fixed % patch:
        raise EncoderError(
            f"{loaded.name}: found an input of {fixed} pixels and a stride of {patch}; expected whole strides"
        )
    tower = _tower(model, loaded.name, patch, fixed, reader)
    side = fixed or 2 * patch
    black = torch.zeros(1, 3, side, side, device=loaded.device, dtype=loaded.dtype)
    probe = _probe(tower, black, side // patch, loaded.name)
    return BatchedImageEncoder(
        name=loaded.name,
        space=loaded.space,
        patch_space=loaded.space,
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
        blocks=_blocks(model, black, (side // patch) ** 2),
    )


def _probe(tower: Tower, pixels: Tensor, cells: int, name: str) -> TowerOutput:
    """Output for one image of cells x cells patches."""
    try:
        with torch.no_grad():
            return tower(pixels, (cells, cells), ())
    except EncoderError:
        raise
    except _UNSUITABLE as error:
        raise EncoderError(f"{name}: timm cannot encode an image with the model ({one_line(error)})") from error


def _tower(model: Any, name: str, patch: int, fixed: int, reader: BlockReader | None) -> Tower:
    last = getattr(model, "output_fmt", "NCHW")

    def tower(pixels: Tensor, grid: tuple[int, int], wanted: Sequence[str]) -> TowerOutput:
        if fixed and pixels.shape[-2:] != (fixed, fixed):
            height, width = pixels.shape[-2:]
            raise ValueError(
                f"{name} accepts inputs of {fixed} x {fixed} pixels; found {width} x {height}; use fit='crop' without "
                "a size, or a ViT that accepts any size"
            )
        with nullcontext(_nothing) if reader is None else reader.reading(wanted) as patches_by:
            found = model.forward_features(pixels)
        pooled = model.forward_head(found, pre_logits=True)
        tokens, patches = _split(found, grid, name, last)
        return TowerOutput(pooled, tokens.mean(dim=1, dtype=torch.float32), patches, patches_by(grid))

    return tower


def _nothing(_: tuple[int, int]) -> dict[str, Tensor]:
    return {}


def _split(found: Tensor, grid: tuple[int, int], name: str, layout: str) -> tuple[Tensor, Tensor]:
    """(B, T, D') all tokens, and (B, H * W, D') the patches, which come last."""
    cells = grid[0] * grid[1]
    if isinstance(found, Tensor) and found.ndim == 4:
        maps = found if layout == "NHWC" else found.permute(0, 2, 3, 1)  # (B, H, W, D')
        if maps.shape[1:3] == grid:
            tokens = maps.flatten(1, 2)
            return tokens, tokens
    elif isinstance(found, Tensor) and found.ndim == 3 and found.shape[1] >= cells:
        return found, found[:, found.shape[1] - cells :]
    shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    raise EncoderError(f"{name}: found features {shape}; expected a grid of {grid[0]} x {grid[1]}, or its tokens")


def _patch(model: Any, name: str) -> int:
    """Side of a patch, or stride of the last feature map, in pixels."""
    levels = getattr(model, "feature_info", None)
    levels = levels if isinstance(levels, list) else getattr(levels, "info", None)
    if levels:
        return int(levels[-1]["reduction"])
    sides = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if sides is None:
        raise EncoderError(f"{name}: timm does not state the size of its patches; expected a ViT or a feature pyramid")
    return int(sides if isinstance(sides, int) else sides[0])


def _fixed(loaded: Loaded, size: int, patch: int) -> int:
    """The only side in pixels that the architecture accepts; 0 if it accepts any."""
    model = loaded.model
    embedding = getattr(model, "patch_embed", None)
    parts = [part for part in (model, embedding) if part is not None]
    before = [(part, name, value) for part in parts for name, value in vars(part).items() if name in _SIZED]
    try:
        if embedding is not None:
            any_size(model, loaded.name)
        with torch.no_grad():
            model.forward_features(torch.zeros(1, 3, 2 * patch, 3 * patch, device=loaded.device, dtype=loaded.dtype))
    except _UNSUITABLE:
        for part, name, value in before:
            setattr(part, name, value)
        sides = getattr(embedding, "img_size", None) or size
        return int(sides if isinstance(sides, int) else sides[0])
    return 0


def _blocks(model: nn.Module, pixels: Tensor, cells: int) -> Blocks | None:
    """Blocks of a ViT; None if their attention is not between its tokens, such as between channels or in windows."""
    blocks = trunk_blocks(model, "")
    if blocks is None:
        return None
    shapes: list[torch.Size] = []
    watched = twin(model)
    blocks.listen(watched, blocks.of(watched), lambda weights: shapes.append(weights.shape[-2:]))
    with torch.no_grad():
        blocks.run(watched, pixels)
    tokens = blocks.prefix + cells
    return blocks if shapes == [(tokens, tokens)] * len(blocks.of(model)) else None


def _reader(model: Any) -> BlockReader | None:
    """Access to the last blocks of a plain ViT, so that it can guide heat-map methods."""
    from timm.models.vision_transformer import Block, VisionTransformer

    if not isinstance(model, VisionTransformer) or not isinstance(model.blocks[-1], Block):
        return None
    layer, prefix = model.blocks[-1], int(model.num_prefix_tokens)
    if not hasattr(layer.attn, "qkv"):
        return None
    middle = third_last(model.blocks, "norm2")
    return BlockReader(layer, middle, lambda tokens: block_of_trunk(layer, tokens, prefix, model.norm), joint=False)


def _preprocessing(model: Any, name: str) -> Preprocessing:
    """The transform of `timm.data.create_transform` for evaluation."""
    from timm.data import resolve_model_data_config

    published = resolve_model_data_config(model)
    channels, height, width = published["input_size"]
    mode, fraction = published["crop_mode"] or "center", published["crop_pct"] or 0.875
    short = math.floor(height / fraction)
    if channels != 3 or height != width or mode == "border" or (mode == "squash" and short != height):
        raise EncoderError(
            f"{name}: found an input of {channels} x {height} x {width}, crop mode {mode!r} and fraction {fraction}; "
            "expected a square of 3 channels, by mode 'center', or 'squash' without a crop"
        )
    if published["interpolation"] not in _FILTERS:
        raise EncoderError(
            f"{name}: found interpolation {published['interpolation']!r}; expected {', '.join(_FILTERS)}"
        )
    try:
        table = normalisation_table(published["mean"], published["std"])
    except (RuntimeError, TypeError) as error:
        raise EncoderError(f"{name}: mean and deviation of its channels cannot be read ({one_line(error)})") from error
    return Preprocessing(
        size=int(height),
        short_side=None if mode == "squash" else short,
        resample=_FILTERS[published["interpolation"]],
        table=table,
    )
