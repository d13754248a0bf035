"""Labels of the nearest patches of annotated images, without training: the baseline of every trained head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.affordance.example import AffordanceExample, check_verbs, read_examples
from dinoclip_viz.affordance.views import ViewSettings
from dinoclip_viz.encoders import as_encoder
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.images import ImageLike, load_image
from dinoclip_viz.tasks.open_vocabulary.heatmap import at_image_size

NEAREST = 8
TEMPERATURE = 0.07


@dataclass(frozen=True)
class LabelTransfer:
    """Patches of annotated images with the fraction of each that answers each verb.

    Attributes:
        encoder: of the patches.
        verbs: that can be asked for.
        patches: (N, D) unit vectors.
        labels: (N, V) in [0, 1].
        size: longer side in pixels at which images are encoded.
    """

    encoder: ImageEncoder
    verbs: tuple[str, ...]
    patches: Tensor
    labels: Tensor
    size: int

    def predict(
        self, image: ImageLike, verbs: str | Sequence[str], sharp: str | None = "guided"
    ) -> NDArray[np.float32]:
        """(V, height, width) mean label of the nearest patches, weighted by similarity, at the image's size, in [0, 1].

        Args:
            image: one image.
            verbs: one verb or several of the annotated ones.
            sharp: as in `AffordanceModel.predict`.

        Raises:
            ImageError: the image cannot be read.
            ValueError: no verb, or one without an annotation.
        """
        listed, loaded = check_verbs(verbs), load_image(image)
        unknown = [verb for verb in listed if verb not in self.verbs]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not annotated; expected some of {', '.join(self.verbs)}")
        features = self.encoder.encode(loaded, self.size, "whole")
        found = F.normalize(features.patches[0].flatten(0, 1), dim=-1) @ self.patches.T  # (P, N)
        nearest = found.topk(min(NEAREST, found.shape[1]), dim=1)
        weights = (nearest.values / TEMPERATURE).softmax(1)  # (P, k)
        labels = self.labels[:, [self.verbs.index(verb) for verb in listed]][nearest.indices]  # (P, k, V)
        maps = torch.einsum("pk,pkv->vp", weights, labels).unflatten(1, features.grid)
        sized = at_image_size(maps, features.boxes[0].tolist(), *loaded.size, loaded, sharp)
        values: NDArray[np.float32] = sized.clamp(0, 1).numpy()
        return values


def transfer_labels(
    examples: Sequence[AffordanceExample], encoder: str | ImageEncoder = "playground-dino", size: int = 0
) -> LabelTransfer:
    """The patches and labels of annotated images.

    Args:
        examples: annotated images.
        encoder: loaded or by name.
        size: longer side in pixels at which images are encoded; 0 for that of `ViewSettings`.

    Raises:
        EncoderError: the encoder cannot be loaded.
        ImageError: an image cannot be read.
        ValueError: no example, no verb, or a mask of another size or range.
    """
    verbs, read = read_examples(examples)
    images = as_encoder(encoder)
    side = size or ViewSettings().side(images)
    patches, labels = list[Tensor](), list[Tensor]()
    for one in read:
        features = images.encode(one.image, side, "whole")
        patches.append(F.normalize(features.patches[0].flatten(0, 1), dim=-1))
        labels.append(F.adaptive_avg_pool2d(one.targets, features.grid).flatten(1).T)
    return LabelTransfer(images, verbs, torch.cat(patches), torch.cat(labels), side)
