"""The patches that each heat-map method compares with texts, made from one pass of each encoder that it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.dense import guided_pooling
from dinoclip_viz.dense.propagation import propagate
from dinoclip_viz.dense.proxy import proxy_attention
from dinoclip_viz.dense.reader import BLOCK_METHODS, EXTRAS, MIDDLE, VALUES
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures, concatenate
from dinoclip_viz.images import MAXIMUM_SIDE

if TYPE_CHECKING:
    from dinoclip_viz.models.model import ImageTextModel

HEATMAP_METHODS: tuple[str, ...] = (
    "projector",
    "text-to-dino",
    *BLOCK_METHODS,
    "dinoiser-pooling",
    "dinoiser",
    "proxyclip",
    "lposs",
)
"""How patches become comparable with text: DINO's through a projector; texts carried to DINO's own patches; CLIP's last
block put together anew; its values pooled, attended to or propagated by what a DINO finds alike, or by what two layers
learnt that it does."""

PATCHES = "patches"
GUIDED_BY: Mapping[str, str] = {"dinoiser-pooling": VALUES, "proxyclip": PATCHES, "lposs": PATCHES}
"""Method -> which of the guide's vectors tell what is alike: "patches" after its final norm, or the last block's "keys"
or "values", as each method was published."""

POOLING_LEAST = 0.2
"""CLIP-DINOiser's, for the values of a DINO ViT-B/16."""

_OF_CLIP: Mapping[str, tuple[str, ...]] = {
    **{method: (method,) for method in BLOCK_METHODS},
    "dinoiser-pooling": ("maskclip",),
    "dinoiser": ("maskclip", MIDDLE),
    "proxyclip": (VALUES,),
    "lposs": ("maskclip",),
}
"""Method -> what it needs of the CLIP's pass."""


def needed_of_clip(methods: Sequence[str]) -> list[str]:
    """What the methods need of the CLIP's pass, each once."""
    return list(dict.fromkeys(need for method in methods for need in _OF_CLIP.get(method, ())))


def needed_of_guide(model: ImageTextModel, methods: Sequence[str]) -> list[str]:
    """What the methods need of the guide's pass beside its patches, each once."""
    kinds = dict.fromkeys(guided_by(model, method) for method in methods if method in GUIDED_BY)
    return [kind for kind in kinds if kind != PATCHES]


def guided_by(model: ImageTextModel, method: str) -> str:
    """Which of the guide's vectors tell a method what is alike; the patches of a guide whose blocks cannot be read."""
    kind = model.guided_by.get(method, PATCHES)
    return kind if kind in EXTRAS and model.guide is not None and model.guide.reader is not None else PATCHES


def make_patches(
    model: ImageTextModel,
    images: Sequence[Image.Image],
    features: ImageFeatures,
    methods: Sequence[str],
    batch_size: int,
) -> dict[str, Tensor]:
    """Method -> (B, H, W, D) patches that are comparable with the texts of that method.

    Args:
        model: serves the methods.
        images: the images; features: of them, by the model's image encoder, with what `needed_of_clip` or
            `needed_of_guide` names where that encoder is the CLIP or the guide.
        methods: to make.
        batch_size: images a pass of further encoders.
    """
    clip = features
    needed = needed_of_clip(methods)
    if needed and model.clip is not None and model.clip is not model.images:
        clip = beside(model.clip, images, features, batch_size, needed)
    guide = features
    if set(methods) & GUIDED_BY.keys() and model.guide is not None and model.guide is not model.images:
        guide = beside(model.guide, images, features, batch_size, needed_of_guide(model, methods))
    return {method: _patches(model, method, features, clip, guide) for method in methods}


def beside(
    encoder: ImageEncoder,
    images: Sequence[Image.Image],
    features: ImageFeatures,
    batch_size: int,
    extras: Sequence[str],
) -> ImageFeatures:
    """Another encoder's features of the very part of the images that the features cover, on a grid like theirs."""
    boxes = [tuple(round(edge) for edge in box) for box in features.boxes.tolist()]
    parts = [image if box == (0, 0, *image.size) else image.crop(box) for image, box in zip(images, boxes, strict=True)]
    longer = min(max(features.grid) * encoder.patch, MAXIMUM_SIDE)
    return concatenate(encoder.encode_each(parts, longer, "whole", list(extras), batch_size))


def _patches(
    model: ImageTextModel, method: str, own: ImageFeatures, clip: ImageFeatures, guide: ImageFeatures
) -> Tensor:
    if method == "projector" and model.projector is not None:
        return model.projector.project_grid(own)
    if method == "text-to-dino":
        return own.patches
    if method in GUIDED_BY:
        kind = guided_by(model, method)
        return _guided(model, method, clip, guide.patches if kind == PATCHES else guide.dense[kind])
    if method == "dinoiser" and model.dinoiser is not None:
        with torch.no_grad():
            pooled: Tensor = model.dinoiser(clip.dense["maskclip"], clip.dense[MIDDLE])
        return pooled
    return clip.dense[method]


def _guided(model: ImageTextModel, method: str, clip: ImageFeatures, alike: Tensor) -> Tensor:
    if method == "dinoiser-pooling":
        return guided_pooling(clip.dense["maskclip"], alike, model.pooling_least)
    if method == "proxyclip" and model.clip is not None and model.clip.reader is not None:
        mixed = proxy_attention(clip.dense[VALUES], alike)
        return model.clip.reader.finish(mixed.to(model.clip.device, model.clip.dtype)).to("cpu", torch.float32)
    return propagate(clip.dense["maskclip"], alike, model.clip.patch if model.clip else 16)
