"""What an image-text model is: its parts, the heat-map methods that they serve, and features ready for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from PIL import Image

from dinoclip_viz.dense.dinoiser import DinoiserHead
from dinoclip_viz.encoders.base import Fit, ImageEncoder, ImageFeatures, TextEncoder, TextFeatures
from dinoclip_viz.models.patches import (
    GUIDED_BY,
    HEATMAP_METHODS,
    POOLING_LEAST,
    make_patches,
    needed_of_clip,
    needed_of_guide,
)
from dinoclip_viz.models.texts import ProjectedTexts
from dinoclip_viz.projector import Projector


@dataclass(frozen=True)
class ImageTextModel:
    """Images and texts in one space.

    Attributes:
        name: as it was loaded.
        images: the encoder that sees the images; a CLIP's own, or a DINO whose features a projector carries over.
        texts: the text encoder.
        projector: carries `images`' features into the text encoder's space; None for a CLIP.
        clip: the CLIP whose blocks the dense methods read, where there is one; a CLIP's is `images` itself.
        guide: the DINO that tells which of CLIP's patches are alike and draws PCA maps, where there is one.
        none_cosine: cosine at which "none of these" is as probable as a label.
        best_method: the heat-map method that measured best on this model.
        dinoiser: the two layers by which the CLIP alone knows what a DINO finds alike; None without.
        text_map: carries texts to `images`' own patches, beside `projector`; None without.
        guided_by: method -> which of the guide's vectors tell what is alike.
        pooling_least: cosine of those vectors below which CLIP-DINOiser's pooling mixes no two patches.
    """

    name: str
    images: ImageEncoder
    texts: TextEncoder
    projector: Projector | None = None
    clip: ImageEncoder | None = None
    guide: ImageEncoder | None = None
    none_cosine: float = 0.2
    best_method: str = ""
    dinoiser: DinoiserHead | None = None
    text_map: Projector | None = None
    guided_by: Mapping[str, str] = field(default_factory=lambda: dict(GUIDED_BY))
    pooling_least: float = POOLING_LEAST

    @property
    def space(self) -> str:
        """The space in which images and texts are compared."""
        return self.texts.space

    @property
    def methods(self) -> tuple[str, ...]:
        """The heat-map methods that this model serves, in `HEATMAP_METHODS`' order."""
        served: set[str] = set()
        if self.projector is not None and self.projector.side == "image" and self.projector.serves_patches:
            served.add("projector")
        if self.text_map is not None or (self.projector is not None and self.projector.side == "text"):
            served.add("text-to-dino")
        if self.clip is not None and self.clip.methods:
            served |= set(self.clip.methods)
            if self.guide is not None:
                served |= GUIDED_BY.keys()
            if self.dinoiser is not None:
                served.add("dinoiser")
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

    def texts_for(self, method: str) -> TextEncoder:
        """The text encoder whose vectors a method's patches are compared with."""
        if method == "text-to-dino" and self.text_map is not None:
            return ProjectedTexts(self.texts, self.text_map)
        return self.texts

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
        """Features of images of one grid; `pooled` and `dense` live in the model's space, `patches` in the encoder's.

        Args:
            images, size, fit, batch_size: as in `ImageEncoder.encode`.
            methods: heat-map methods to prepare, by default all that the model serves; () saves their time.

        Raises:
            ValueError: as in `ImageEncoder.encode`, or a method that the model does not serve.
        """
        wanted = self._wanted(methods)
        features = self.images.encode(images, size, fit, self._extras(wanted), batch_size)
        return self._join(images, features, wanted, batch_size)

    def encode_each(
        self,
        images: Sequence[Image.Image],
        size: int | None = None,
        fit: Fit = "whole",
        methods: Sequence[str] | None = None,
        batch_size: int = 32,
    ) -> list[ImageFeatures]:
        """One ImageFeatures an image, in order; images of one grid are batched together inside."""
        wanted = self._wanted(methods)
        each = self.images.encode_each(images, size, fit, self._extras(wanted), batch_size)
        return [self._join([image], features, wanted, batch_size) for image, features in zip(images, each, strict=True)]

    def _wanted(self, methods: Sequence[str] | None) -> list[str]:
        return list(self.methods) if methods is None else [self.check_method(method) for method in methods]

    def _extras(self, wanted: Sequence[str]) -> list[str]:
        """What of the image encoder's own pass the methods need, where it is the CLIP or the guide."""
        extras = needed_of_clip(wanted) if self.clip is self.images else []
        extras += needed_of_guide(self, wanted) if self.guide is self.images else []
        return list(dict.fromkeys(extras))

    def _join(
        self, images: Sequence[Image.Image], features: ImageFeatures, wanted: Sequence[str], batch_size: int
    ) -> ImageFeatures:
        """The encoder's features, carried into the model's space, with the patches that the methods need."""
        dense = make_patches(self, images, features, wanted, batch_size)
        pooled = features.pooled
        if self.projector is not None and self.projector.side == "image":
            pooled = self.projector.project(features)
        elif self.projector is not None:
            pooled = self.projector.choose(features.pooled, features.mean)
        return replace(features, pooled=pooled, space=self.space, dense=dense)
