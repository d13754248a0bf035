"""Image-text models: an image encoder, a projector or none, and a text encoder, meeting in one space."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.dense import guided_pooling
from dinoclip_viz.encoders import load_encoder, load_pair, load_text_encoder
from dinoclip_viz.encoders.base import (
    Fit,
    ImageEncoder,
    ImageFeatures,
    TextEncoder,
    TextFeatures,
    same_space,
)
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.images import MAXIMUM_SIDE
from dinoclip_viz.projector import Projector

HEATMAP_METHODS: tuple[str, ...] = ("projector", "maskclip", "dinoiser-pooling")
"""How patches become comparable with text: DINO's through a projector, CLIP's values, and these pooled by a DINO."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageTextModel:
    """Pictures and texts in one space.

    Attributes:
        name: as it was loaded.
        images: the encoder that sees the pictures; a CLIP's own, or a DINO whose features a projector carries over.
        texts: the text encoder.
        projector: carries `images`' features into the text encoder's space; None for a CLIP.
        clip: the CLIP whose patches MaskCLIP's path reads, where there is one; a CLIP's is `images` itself.
        guide: the DINO that pools CLIP's patches and draws PCA maps, where there is one.
        none_cosine: cosine at which "none of these" is as probable as a label.
        best_method: the heat-map method that measured best on this model.
    """

    name: str
    images: ImageEncoder
    texts: TextEncoder
    projector: Projector | None = None
    clip: ImageEncoder | None = None
    guide: ImageEncoder | None = None
    none_cosine: float = 0.2
    best_method: str = ""

    @property
    def space(self) -> str:
        """The space in which pictures and texts are compared."""
        return self.texts.space

    @property
    def methods(self) -> tuple[str, ...]:
        """The heat-map methods that this model serves, in `HEATMAP_METHODS`' order."""
        served = set()
        if self.projector is not None and (self.projector.serves_patches or self.projector.side == "text"):
            served.add("projector")
        if self.clip is not None and "maskclip" in self.clip.methods:
            served.add("maskclip")
            if self.guide is not None:
                served.add("dinoiser-pooling")
        return tuple(method for method in HEATMAP_METHODS if method in served)

    @property
    def default_method(self) -> str:
        """The best measured method for this model, or the first that it serves."""
        if self.best_method in self.methods:
            return self.best_method
        if not self.methods:
            raise ValueError(f"{self.name} serves no heat-map method: its patches are not comparable with text")
        return "dinoiser-pooling" if "dinoiser-pooling" in self.methods else self.methods[0]

    def check_method(self, method: str | None) -> str:
        """The method to use: the one asked for, or the default.

        Raises:
            ValueError: the model does not serve it; the message names those that it does.
        """
        if method is None:
            return self.default_method
        if method not in self.methods:
            served = ", ".join(self.methods) or "none"
            raise ValueError(f"{self.name} does not serve the heat-map method {method!r}; it serves: {served}")
        return method

    def encode_texts(self, texts: Sequence[str]) -> TextFeatures:
        """Raw vectors of the texts, as typed."""
        return self.texts.encode(texts)

    def encode_images(
        self,
        images: Sequence[Image.Image],
        size: int | None = None,
        fit: Fit = "crop",
        methods: Sequence[str] | None = None,
        batch_size: int = 32,
    ) -> ImageFeatures:
        """Features of pictures of one grid; `pooled` and `dense` live in the model's space, `patches` in the encoder's.

        Args:
            images, size, fit, batch_size: as in `ImageEncoder.encode`.
            methods: heat-map methods to prepare, by default all that the model serves; () saves their time.

        Raises:
            ValueError: as in `ImageEncoder.encode`, or a method that the model does not serve.
        """
        wanted = self._wanted(methods)
        own = [method for method in wanted if self.clip is self.images and method != "projector"]
        features = self.images.encode(images, size, fit, ["maskclip"] if own else [], batch_size)
        return self._join(images, features, wanted, batch_size)

    def encode_each(
        self,
        images: Sequence[Image.Image],
        size: int | None = None,
        fit: Fit = "whole",
        methods: Sequence[str] | None = None,
        batch_size: int = 32,
    ) -> list[ImageFeatures]:
        """One ImageFeatures a picture, in order; pictures of one grid are batched together inside."""
        wanted = self._wanted(methods)
        own = [method for method in wanted if self.clip is self.images and method != "projector"]
        each = self.images.encode_each(images, size, fit, ["maskclip"] if own else [], batch_size)
        return [self._join([image], features, wanted, batch_size) for image, features in zip(images, each, strict=True)]

    def _wanted(self, methods: Sequence[str] | None) -> list[str]:
        return list(self.methods) if methods is None else [self.check_method(method) for method in methods]

    def _join(
        self, images: Sequence[Image.Image], features: ImageFeatures, wanted: Sequence[str], batch_size: int
    ) -> ImageFeatures:
        """The encoder's features, carried into the model's space, with the patches that the methods need."""
        dense: dict[str, Tensor] = {}
        if "projector" in wanted and self.projector is not None:
            on_images = self.projector.side == "image"
            dense["projector"] = self.projector.project_grid(features) if on_images else features.patches
        if {"maskclip", "dinoiser-pooling"} & set(wanted) and self.clip is not None:
            own = features.dense.get("maskclip")
            values = own if own is not None else self._beside(self.clip, images, features, batch_size, "maskclip")
            if "maskclip" in wanted:
                dense["maskclip"] = values
            if "dinoiser-pooling" in wanted and self.guide is not None:
                guide = (
                    features.patches
                    if self.guide is self.images
                    else self._beside(self.guide, images, features, batch_size)
                )
                dense["dinoiser-pooling"] = guided_pooling(values, guide)
        pooled = features.pooled
        if self.projector is not None and self.projector.side == "image":
            pooled = self.projector.project(features)
        elif self.projector is not None:
            pooled = self.projector.choose(features.pooled, features.mean)
        return replace(features, pooled=pooled, space=self.space, dense={m: dense[m] for m in wanted})

    @staticmethod
    def _beside(
        encoder: ImageEncoder,
        images: Sequence[Image.Image],
        features: ImageFeatures,
        batch_size: int,
        method: str | None = None,
    ) -> Tensor:
        """(B, H, W, D) another encoder's patches of the very part of the pictures that the features cover."""
        boxes = [tuple(round(edge) for edge in box) for box in features.boxes.tolist()]
        parts = [
            image if box == (0, 0, *image.size) else image.crop(box) for image, box in zip(images, boxes, strict=True)
        ]
        longer = min(max(features.grid) * encoder.patch, MAXIMUM_SIDE)
        each = encoder.encode_each(parts, longer, "whole", [method] if method else [], batch_size)
        return torch.cat([one.dense[method] if method else one.patches for one in each])


class ProjectedTexts:
    """A text encoder whose vectors are carried into an image encoder's space; see `TextEncoder` for the attributes."""

    def __init__(self, texts: TextEncoder, projector: Projector) -> None:
        self._texts, self._projector = texts, projector
        self.name, self.space = texts.name, projector.image_space
        self.dimension: int = projector.pooled_head(torch.zeros(1, texts.dimension)).shape[-1]
        self.templates, self.logit_scale = texts.templates, texts.logit_scale
        self.device, self.dtype = texts.device, texts.dtype

    def encode(self, texts: Sequence[str], batch_size: int = 256) -> TextFeatures:
        """Raw vectors of texts in the image encoder's space; see `TextEncoder.encode`."""
        return TextFeatures(self._projector.project_texts(self._texts.encode(texts, batch_size)), self.space)


def load_model(
    name: str = "playground",
    guide: str | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> ImageTextModel:
    """An image-text model by name.

    Args:
        name: "playground"; a CLIP's catalogue name, hub id or local folder; or a projector's local folder.
        guide: a DINO's name, whose patches pool CLIP's and draw PCA maps. "playground-clip" takes "playground-dino".
        device: where it computes; by default cuda, else mps, else cpu.
        dtype: how it computes; by default float32.

    Raises:
        EncoderError: a part cannot be found, fetched or read; one line says what to do.
    """
    folder = PLAYGROUND / "playground-projector" if name == "playground" else Path(name).expanduser()
    settings = _projector_settings(folder)
    if settings is None:
        return _load_clip(name, guide, device, dtype)
    projector = _load_projector(folder)
    images = load_encoder(projector.image_encoder, device, dtype)
    same_space(projector.image_space, images.patch_space)
    beside = load_encoder(guide, device, dtype) if guide else images
    clip: ImageEncoder | None = None
    texts: TextEncoder
    if name == "playground":
        clip, texts = load_pair(projector.text_encoder, device, dtype)
    else:
        texts = load_text_encoder(projector.text_encoder, device, dtype)
    same_space(projector.text_space, texts.space)
    if projector.side == "text":
        texts = ProjectedTexts(texts, projector)
    return ImageTextModel(name, images, texts, projector, clip, beside, *_measured(folder))


def _load_clip(
    name: str, guide: str | None, device: str | torch.device | None, dtype: torch.dtype | None
) -> ImageTextModel:
    images, texts = load_pair(name, device, dtype)
    if guide is None and images.space == "playground-clip":
        guide = "playground-dino"
    beside = load_encoder(guide, device, dtype) if guide else None
    return ImageTextModel(name, images, texts, None, images, beside, *_measured(PLAYGROUND / name))


def _projector_settings(folder: Path) -> dict[str, object] | None:
    """config.json of a projector's folder; None where the folder is no projector's."""
    file = folder / "config.json"
    if not file.is_file():
        return None
    try:
        settings = json.loads(file.read_text())
    except (OSError, ValueError):
        return None  # the encoders' loader says what is wrong with it
    return settings if isinstance(settings, dict) and "image_encoder" in settings else None


def _load_projector(folder: Path) -> Projector:
    return Projector.find(folder).eval().requires_grad_(False)


def _measured(folder: Path) -> tuple[float, str]:
    """`none_cosine` and `best_method` of a model, from measured.json beside its weights; defaults without one."""
    file = folder / "measured.json"
    values = json.loads(file.read_text()) if file.is_file() else {}
    return float(values.get("none_cosine", 0.2)), str(values.get("best_method", ""))
