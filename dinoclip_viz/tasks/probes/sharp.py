"""Predictions of patch heads along the edges of images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.encoders import as_encoder
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.images import ImageLike, load_image
from dinoclip_viz.tasks.probes.confusion import NOTHING, Confusion
from dinoclip_viz.tasks.probes.depth import DepthErrors
from dinoclip_viz.tasks.probes.patch_head import PatchHead
from dinoclip_viz.tasks.upsampling import upsample_part

Pairs = Iterable[tuple[ImageLike, NDArray[np.generic]]]


def predict_sharp(head: PatchHead, features: ImageFeatures, image: ImageLike, method: str = "guided") -> Tensor:
    """(height, width) labels (int64) or metres (float32) of one image, at its size, along its edges.

    The logits of a segmentation head are upsampled before the class is taken; of a depth head, the metres are. Pixels
    outside the patches are -1, or NaN.

    Args:
        head: a fitted head.
        features: of one image, of the encoder that the head is fitted on.
        image: that image, in any form.
        method: as in `upsample`.

    Raises:
        ImageError: the image cannot be read.
        ValueError: the head is not fitted, features of several images, or as in `upsample`.
        SpaceError: features of another encoder.
    """
    if len(features) != 1:
        raise ValueError(f"the features are of {len(features)} images; expected one: pass features[i]")
    labels = head.kind == "segmentation"
    values = head.scores(features)[0] if labels else head.patch_values(features)[0][..., None]
    box = features.boxes[0].tolist()
    width, height = (round(side) for side in features.sizes[0].tolist())
    x0, y0, x1, y1 = (round(edge) for edge in box)
    fine = upsample_part(values, load_image(image), box, (y1 - y0, x1 - x0), method)
    whole = torch.full((height, width), NOTHING) if labels else torch.full((height, width), float("nan"))
    whole[y0:y1, x0:x1] = fine.argmax(-1) if labels else fine[..., 0]
    return whole


def sharp_confusion(
    head: PatchHead, encoder: str | ImageEncoder, pairs: Pairs, size: int | None, method: str
) -> Confusion:
    """The confusion table of a segmentation head whose maps are sharp; compare `segmentation_confusion`.

    Args:
        head: a fitted segmentation head.
        encoder: an image encoder or its name.
        pairs: images in any form with their labels; memory does not grow with their number.
        size: longer side in pixels at which images are encoded.
        method: as in `upsample`.

    Raises:
        ImageError, ValueError, SpaceError: as in `predict_sharp`.
    """
    table = Confusion(head.names)
    for found, target in _predicted(head, encoder, pairs, size, method):
        table.add(found, target)
    return table


def sharp_depth_errors(
    head: PatchHead, encoder: str | ImageEncoder, pairs: Pairs, size: int | None, method: str, errors: DepthErrors
) -> DepthErrors:
    """`errors` with those of a depth head added whose maps are sharp; compare `depth_errors`.

    Args:
        head: a fitted depth head.
        encoder, pairs, size, method: as in `sharp_confusion`, with metres for labels.
        errors: the measures to add to.

    Raises:
        ImageError, ValueError, SpaceError: as in `predict_sharp`.
    """
    for found, target in _predicted(head, encoder, pairs, size, method):
        errors.add(found, target)
    return errors


def _predicted(
    head: PatchHead, encoder: str | ImageEncoder, pairs: Pairs, size: int | None, method: str
) -> Iterator[tuple[Tensor, NDArray[np.generic]]]:
    """The map of each image, and its ground truth."""
    loaded = as_encoder(encoder)
    for one, target in pairs:
        image = load_image(one)
        yield predict_sharp(head, loaded.encode([image], size, "whole"), image, method), target
