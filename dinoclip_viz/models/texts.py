"""Text encoder with a projector into the space of an image encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dinoclip_viz.encoders.base import TextEncoder, TextFeatures
from dinoclip_viz.projector import Projector


class ProjectedTexts:
    """A `TextEncoder` whose vectors are projected into an image encoder's space; attributes as documented there."""

    def __init__(self, texts: TextEncoder, projector: Projector) -> None:
        self._texts, self._projector = texts, projector
        self.name, self.space = texts.name, projector.image_space
        self.dimension: int = projector.pooled_head(torch.zeros(1, texts.dimension)).shape[-1]
        self.templates, self.logit_scale = texts.templates, texts.logit_scale
        self.device, self.dtype = texts.device, texts.dtype

    def encode(self, texts: Sequence[str], batch_size: int = 256) -> TextFeatures:
        """Unnormalised vectors of texts in the space of the image encoder; see `TextEncoder.encode`."""
        return TextFeatures(self._projector.project_texts(self._texts.encode(texts, batch_size)), self.space)
