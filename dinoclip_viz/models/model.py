"""Image-text models: their encoders, the heat-map methods that they serve, and features for these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.dense.dinoiser import DinoiserHead
from dinoclip_viz.encoders.base import Fit, ImageEncoder, ImageFeatures, TextEncoder, TextFeatures
from dinoclip_viz.images import ImagesLike, load_images
from dinoclip_viz.models.classifier import Classifier
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
    """A model that encodes images and texts into one space.

    Attributes:
        name: name that it was loaded by.
        images: image encoder; the CLIP's own, or a DINO with a projector.
        texts: text encoder.
        projector: projection of the features of `images` into the space of `texts`, of texts into that of `images`, or
            of both into a space of their own; None for a CLIP.
        clip: CLIP whose blocks the dense methods read, or None; for a CLIP it is `images`.
        guide: DINO whose similarities guide dense methods and whose patches PCA maps show, or None.
        none_cosine: cosine similarity at which "none of these" is as probable as a label.
        best_method: heat-map method with the best measured result on this model.
        dinoiser: CLIP-DINOiser's layers, which predict the similarities of a DINO from the CLIP, or None.
        text_map: projection of texts into the space of the patches of `images`, in addition to `projector`, or None.
        guided_by: heat-map method -> the guide's vectors whose similarities it uses.
        pooling_least: cosine similarity of these vectors below which CLIP-DINOiser does not pool two patches.
        classifier: what `classify` uses instead of texts, for a model that is adapted to some classes, or None.
        classifier_images: image encoder of the `pooled` vectors that it classifies; None if they are the model's own.
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
    classifier: Classifier | None = None
    classifier_images: ImageEncoder | None = None

    @property
    def space(self) -> str:
        """The space in which images and texts are compared."""
        return self.texts.space

    @property
    def encoders(self) -> dict[str, ImageEncoder | TextEncoder]:
        """Role -> encoder: "images", "texts", and "CLIP", "guide" and "classifier" where these are others."""
        others = {"CLIP": self.clip, "guide": self.guide, "classifier": self.classifier_images}
        further = {role: one for role, one in others.items() if one is not None and one is not self.images}
        return {"images": self.images, "texts": self.texts, **further}

    @property
    def methods(self) -> tuple[str, ...]:
        """The heat-map methods that this model serves, in the order of `HEATMAP_METHODS`."""
        served: set[str] = set()
        if self.projector is not None and self.projector.serves_patches:
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
    def reads_patches(self) -> bool:
        """Whether the vector of an image is computed from its patches too."""
        return self.projector is not None and self.projector.reads_patches

    @property
    def default_method(self) -> str:
        """The heat-map method with the best measured result, or the first that the model serves."""
        if self.best_method in self.methods:
            return self.best_method
        if not self.methods:
            raise ValueError(f"{self.name} serves no heat-map method, since its patches are not comparable with texts")
        return "dinoiser-pooling" if "dinoiser-pooling" in self.methods else self.methods[0]

    def check_method(self, method: str | None) -> str:
        """Return the requested heat-map method, or the default one for None.

        Raises:
            ValueError: the model does not serve the method.
        """
        if method is None:
            return self.default_method
        if method not in self.methods:
            served = ", ".join(self.methods) or "none"
            raise ValueError(f"{self.name} does not serve the heat-map method {method!r}; expected one of: {served}")
        return method

    def texts_for(self, method: str) -> TextEncoder:
        """Text encoder whose vectors are compared with the patches of a heat-map method."""
        if method == "text-to-dino" and self.text_map is not None:
            return ProjectedTexts(self.texts, self.text_map)
        return self.texts

    def encode_texts(self, texts: str | Sequence[str]) -> TextFeatures:
        """Unnormalised vectors of one or several texts, without templates.

        Raises:
            ValueError: there is no text, or a text is empty.
        """
        return self.texts.encode([texts] if isinstance(texts, str) else texts)

    def encode_images(
        self,
        images: ImagesLike,
        size: int | None = None,
        fit: Fit = "crop",
        methods: Sequence[str] | None = None,
        batch_size: int = 32,
    ) -> ImageFeatures:
        """Features of images with a common patch grid; `pooled` and `dense` are in the model's space.

        Args:
            images: as in `ImageEncoder.encode`.
            size: as in `ImageEncoder.encode`.
            fit: as in `ImageEncoder.encode`.
            methods: heat-map methods to fill `dense` for; by default all that the model serves, () for none.
            batch_size: as in `ImageEncoder.encode`.

        Raises:
            ImageError: as in `ImageEncoder.encode`.
            ValueError: as in `ImageEncoder.encode`, or the model does not serve a method.
        """
        images, wanted = load_images(images), self._wanted(methods)
        features = self.images.encode(images, size, fit, self._extras(wanted), batch_size)
        return self._join(images, features, wanted, batch_size)

    def encode_to_classify(self, images: ImagesLike, batch_size: int = 32) -> ImageFeatures:
        """Features of images for `classify`: of `classifier_images` if there is one, else of `encode_images`.

        Args:
            images: as in `ImageEncoder.encode`.
            batch_size: as in `ImageEncoder.encode`.

        Raises:
            ImageError: as in `ImageEncoder.encode`.
        """
        if self.classifier_images is None:
            return self.encode_images(images, methods=(), batch_size=batch_size)
        return self.classifier_images.encode(images, batch_size=batch_size)

    def encode_each(
        self,
        images: ImagesLike,
        size: int | None = None,
        fit: Fit = "whole",
        methods: Sequence[str] | None = None,
        batch_size: int = 32,
    ) -> list[ImageFeatures]:
        """One ImageFeatures (B = 1) per image, in order; arguments and errors as in `encode_images`."""
        images, wanted = load_images(images), self._wanted(methods)
        each = self.images.encode_each(images, size, fit, self._extras(wanted), batch_size)
        return [self._join([image], features, wanted, batch_size) for image, features in zip(images, each, strict=True)]

    def _wanted(self, methods: Sequence[str] | None) -> list[str]:
        return list(self.methods) if methods is None else [self.check_method(method) for method in methods]

    def _extras(self, wanted: Sequence[str]) -> list[str]:
        """Dense outputs of the image encoder that the methods need, if it is the CLIP or the guide."""
        extras = needed_of_clip(wanted) if self.clip is self.images else []
        extras += needed_of_guide(self, wanted) if self.guide is self.images else []
        return list(dict.fromkeys(extras))

    def _join(
        self, images: Sequence[Image.Image], features: ImageFeatures, wanted: Sequence[str], batch_size: int
    ) -> ImageFeatures:
        """The encoder's features, projected into the model's space, with the patches of the methods."""
        dense = make_patches(self, images, features, wanted, batch_size)
        pooled = self.pooled_in_space(features.pooled, features.mean, features.patches)
        return replace(features, pooled=pooled, space=self.space, dense=dense)

    @torch.no_grad()
    def pooled_in_space(self, pooled: Tensor, mean: Tensor, patches: Tensor | None = None) -> Tensor:
        """(B, D) vectors in the model's space from its image encoder's features.

        Args:
            pooled, mean: (B, D') as its image encoder returns them.
            patches: (B, H, W, D') likewise, where `reads_patches`.

        Raises:
            ValueError: patches are needed and missing.
        """
        return pooled if self.projector is None else self.projector.image_vectors(pooled, mean, patches)
