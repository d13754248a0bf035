"""The affordance model: where in an image each verb is answered, as probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dinoclip_viz.affordance.example import check_verbs
from dinoclip_viz.affordance.files import write_model
from dinoclip_viz.affordance.film import FilmHead
from dinoclip_viz.affordance.ooal import OoalHead
from dinoclip_viz.affordance.settings import AffordanceSettings
from dinoclip_viz.affordance.words import VerbTexts
from dinoclip_viz.encoders.base import ImageEncoder, same_space
from dinoclip_viz.encoders.layers import LayerFeatures, encode_layers
from dinoclip_viz.images import ImageLike, load_image
from dinoclip_viz.tasks.open_vocabulary.heatmap import at_image_size
from dinoclip_viz.tasks.upsampling.maps import check_method


@dataclass(eq=False)
class AffordanceModel:
    """A frozen DINO, a frozen text encoder and the head between them.

    Attributes:
        encoder: of images.
        words: verbs to vectors.
        head: from patches and verbs to logits.
        settings: as saved.
    """

    encoder: ImageEncoder = field(repr=False)
    words: VerbTexts = field(repr=False)
    head: nn.Module = field(repr=False)
    settings: AffordanceSettings

    @property
    def verbs(self) -> tuple[str, ...]:
        """The verbs of the training; others can be asked for as well."""
        return self.settings.verbs

    def predict(
        self, image: ImageLike, verbs: str | Sequence[str], size: int | None = None, sharp: str | None = "guided"
    ) -> NDArray[np.float32]:
        """(V, height, width) probability that each pixel answers each verb, at the image's size, in [0, 1].

        Args:
            image: one image.
            verbs: one verb or V >= 1 verbs, of the training or any others.
            size: longer side in pixels at which the image is encoded; None for that of the training.
            sharp: method of `upsample` that draws the maps along the image's edges; None interpolates bilinearly.

        Raises:
            ImageError: the image cannot be read.
            ValueError: no verb, an empty one, a size out of range, or an unknown method.
        """
        listed, loaded = check_verbs(verbs), load_image(image)
        if sharp is not None:
            check_method(sharp)
        return self.pixel_maps(self.encode(loaded, size), loaded, listed, sharp)

    def pixel_maps(
        self, features: LayerFeatures, image: ImageLike, verbs: str | Sequence[str], sharp: str | None = "guided"
    ) -> NDArray[np.float32]:
        """(V, height, width) probabilities as of `predict`, from features that were encoded before.

        Args:
            features: of `encode`, of one image.
            image: the image.
            verbs: as in `predict`.
            sharp: as in `predict`.

        Raises:
            ImageError: the image cannot be read.
            SpaceError: the features come from another encoder.
            ValueError: as in `predict`, or the features are of several images.
        """
        loaded, maps = load_image(image), self.patch_maps(features, verbs)
        if len(maps) != 1:
            raise ValueError(f"found features of {len(maps)} images; expected one")
        sized = at_image_size(maps[0], features.boxes[0].tolist(), *loaded.size, loaded, sharp)
        found: NDArray[np.float32] = sized.clamp(0, 1).numpy()
        return found

    def encode(self, image: ImageLike, size: int | None = None) -> LayerFeatures:
        """Features of the layers that the head reads.

        Args:
            image: one image.
            size: as in `predict`.

        Raises:
            ImageError: the image cannot be read.
            ValueError: the size is out of range.
        """
        return encode_layers(self.encoder, load_image(image), self.settings.layers, size or self.settings.size)

    def patch_maps(self, features: LayerFeatures, verbs: str | Sequence[str]) -> Tensor:
        """(B, V, H, W) probability that each patch answers each verb, in [0, 1], on the CPU.

        Args:
            features: of `encode`.
            verbs: one verb or V >= 1 verbs.

        Raises:
            SpaceError: the features come from another encoder.
            ValueError: no verb, or an empty one.
        """
        listed = check_verbs(verbs)
        same_space(self.settings.space, features.space)
        device = self.words.centre.device
        with torch.no_grad():
            texts = self.words(listed)
            logits: Tensor = self.head(features.patches.to(device), features.cls.to(device), texts)
        return (self.settings.sharpness * logits).sigmoid().float().cpu()

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write model.safetensors in float16, config.json and, where there is none, README.md, to a folder.

        No vector of a verb or of a text is saved. The encoders are not copied: config.json names them.
        """
        tensors = {f"head.{name}": value for name, value in self.head.state_dict().items()}
        tensors |= {f"words.{name}": value for name, value in self.words.state_dict().items()}
        return write_model(folder, self.settings, tensors)


def make_head(settings: AffordanceSettings) -> nn.Module:
    """A head with random weights."""
    kind = OoalHead if settings.head == "ooal" else FilmHead
    return kind(settings.width, settings.text_width, settings.layers)
