"""Patches that heat-map methods compare with texts, from one pass of each encoder that they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.dense import guided_pooling
from dinoclip_viz.dense.dinoiser import DinoiserHead
from dinoclip_viz.dense.propagation import propagate
from dinoclip_viz.dense.proxy import proxy_attention
from dinoclip_viz.dense.reader import BLOCK_METHODS, EXTRAS, MIDDLE, VALUES
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures, concatenate
from dinoclip_viz.images import MAXIMUM_SIDE
from dinoclip_viz.projector import Projector

HEATMAP_METHODS: tuple[str, ...] = (
    "projector",
    "text-to-dino",
    *BLOCK_METHODS,
    "dinoiser-pooling",
    "dinoiser",
    "proxyclip",
    "lposs",
)
"""Heat-map methods. "projector" projects DINO's patches, "text-to-dino" the texts; the methods of one block change the
attention of CLIP's last block; the others average CLIP's patches by the similarities of a guide, or, for "dinoiser", by
similarities that two layers predict."""

PATCHES = "patches"
GUIDED_BY: Mapping[str, str] = {"dinoiser-pooling": VALUES, "proxyclip": PATCHES, "lposs": PATCHES}
"""Method -> the guide's vectors whose similarities it uses, as published: "patches" after the final norm, or the "keys"
or "values" of the last block."""

POOLING_LEAST = 0.2
"""CLIP-DINOiser's published threshold, for the values of a DINO ViT-B/16."""

_OF_CLIP: Mapping[str, tuple[str, ...]] = {
    **{method: (method,) for method in BLOCK_METHODS},
    "dinoiser-pooling": ("maskclip",),
    "dinoiser": ("maskclip", MIDDLE),
    "proxyclip": (VALUES,),
    "lposs": ("maskclip",),
}
"""Method -> dense outputs of the CLIP that it needs."""


class PatchModel(Protocol):
    """The attributes of an `ImageTextModel` that dense methods use."""

    @property
    def images(self) -> ImageEncoder:
        """Image encoder."""
        ...

    @property
    def projector(self) -> Projector | None:
        """Projection of its features into the space of the texts."""
        ...

    @property
    def clip(self) -> ImageEncoder | None:
        """CLIP whose blocks are read."""
        ...

    @property
    def guide(self) -> ImageEncoder | None:
        """DINO whose similarities are used."""
        ...

    @property
    def dinoiser(self) -> DinoiserHead | None:
        """CLIP-DINOiser's layers."""
        ...

    @property
    def guided_by(self) -> Mapping[str, str]:
        """Method -> the guide's vectors whose similarities are used."""
        ...

    @property
    def pooling_least(self) -> float:
        """Minimum cosine similarity of patches that are pooled."""
        ...


def needed_of_clip(methods: Sequence[str]) -> list[str]:
    """Dense outputs of the CLIP that the methods need, each once."""
    return list(dict.fromkeys(need for method in methods for need in _OF_CLIP.get(method, ())))


def needed_of_guide(model: PatchModel, methods: Sequence[str]) -> list[str]:
    """Dense outputs of the guide that the methods need in addition to its patches, each once."""
    kinds = dict.fromkeys(guided_by(model, method) for method in methods if method in GUIDED_BY)
    return [kind for kind in kinds if kind != PATCHES]


def guided_by(model: PatchModel, method: str) -> str:
    """The guide's vectors whose similarities a method uses; its patches if its blocks cannot be read."""
    kind = model.guided_by.get(method, PATCHES)
    return kind if kind in EXTRAS and model.guide is not None and model.guide.reader is not None else PATCHES


def make_patches(
    model: PatchModel,
    images: Sequence[Image.Image],
    features: ImageFeatures,
    methods: Sequence[str],
    batch_size: int,
) -> dict[str, Tensor]:
    """Method -> (B, H, W, D) patches that are comparable with the texts of that method.

    Args:
        model: image-text model that serves the methods.
        images: B images.
        features: features of the images by the model's image encoder; `dense` contains the outputs of `needed_of_clip`
            or `needed_of_guide` if that encoder is the CLIP or the guide.
        methods: heat-map methods.
        batch_size: images per forward pass of further encoders.
    """
    clip = features
    needed = needed_of_clip(methods)
    if needed and model.clip is not None and model.clip is not model.images:
        clip = encode_region(model.clip, images, features, batch_size, needed)
    guide = features
    if set(methods) & GUIDED_BY.keys() and model.guide is not None and model.guide is not model.images:
        guide = encode_region(model.guide, images, features, batch_size, needed_of_guide(model, methods))
    return {method: _patches(model, method, features, clip, guide) for method in methods}


def encode_region(
    encoder: ImageEncoder,
    images: Sequence[Image.Image],
    features: ImageFeatures,
    batch_size: int,
    extras: Sequence[str],
) -> ImageFeatures:
    """Features of another encoder, of the region that given features cover, on a grid of about the same size."""
    boxes = [tuple(round(edge) for edge in box) for box in features.boxes.tolist()]
    parts = [image if box == (0, 0, *image.size) else image.crop(box) for image, box in zip(images, boxes, strict=True)]
    longer = min(max(features.grid) * encoder.patch, MAXIMUM_SIDE)
    return concatenate(encoder.encode_each(parts, longer, "whole", list(extras), batch_size))


def _patches(model: PatchModel, method: str, own: ImageFeatures, clip: ImageFeatures, guide: ImageFeatures) -> Tensor:
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


def _guided(model: PatchModel, method: str, clip: ImageFeatures, guide: Tensor) -> Tensor:
    if method == "dinoiser-pooling":
        return guided_pooling(clip.dense["maskclip"], guide, model.pooling_least)
    if method == "proxyclip" and model.clip is not None and model.clip.reader is not None:
        mixed = proxy_attention(clip.dense[VALUES], guide)
        return model.clip.reader.finish(mixed.to(model.clip.device, model.clip.dtype)).to("cpu", torch.float32)
    return propagate(clip.dense["maskclip"], guide, model.clip.patch if model.clip else 16)
