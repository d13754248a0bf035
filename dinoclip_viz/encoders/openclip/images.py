"""Image encoder of a model of open_clip."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image

from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.openclip.towers import blocks_of, native_tower, timm_tower
from dinoclip_viz.encoders.openclip.weights import Loaded
from dinoclip_viz.encoders.towers.batching import BatchedImageEncoder
from dinoclip_viz.encoders.towers.preprocessing import Preprocessing, normalisation_table


def image_encoder(loaded: Loaded) -> BatchedImageEncoder:
    """Build an `ImageEncoder` from the vision side of a model.

    `mean` is the mean of the last block's tokens: before the final norm in open_clip's own ViTs (as in transformers'
    CLIP), after it in timm's. `patches` are always after the final norm. A convolutional tower has no tokens: its
    patches are the cells of its last feature map, and `mean` is their mean.

    Raises:
        EncoderError: the type of the tower or its preprocessing is not supported.
    """
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    visual = loaded.model.visual
    preprocessing = _preprocessing(visual.preprocess_cfg, loaded.name)
    if isinstance(visual, VisionTransformer):
        tower, patch, reader = native_tower(visual, loaded.name)
    elif isinstance(visual, TimmModel):
        tower, patch, reader = timm_tower(visual, preprocessing.size, loaded.name)
    else:
        raise EncoderError(
            f"{loaded.name}: found an image tower of type {type(visual).__name__}; expected a ViT or MobileCLIP"
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
        blocks=blocks_of(visual),
    )


def _preprocessing(published: dict[str, Any], name: str) -> Preprocessing:
    size = published["size"]
    height, width = (size, size) if isinstance(size, int) else size
    if height != width or published["resize_mode"] == "longest":
        raise EncoderError(
            f"{name}: found preprocessing to {size} with resize mode {published['resize_mode']!r}; expected a square, "
            "by resize mode 'shortest' or 'squash'"
        )
    return Preprocessing(
        size=int(height),
        short_side=int(height) if published["resize_mode"] == "shortest" else None,
        resample=Image.Resampling.BILINEAR if published["interpolation"] == "bilinear" else Image.Resampling.BICUBIC,
        table=normalisation_table(published["mean"], published["std"]),
    )
