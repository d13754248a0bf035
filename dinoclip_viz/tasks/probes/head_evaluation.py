"""Evaluation of patch heads on labelled images: the confusion table of a segmentation, the errors of depth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.encoders import as_encoder
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.images import ImageLike, load_image
from dinoclip_viz.tasks.probes.confusion import Confusion
from dinoclip_viz.tasks.probes.depth import DepthErrors
from dinoclip_viz.tasks.probes.patch_head import Labelled, PatchHead


def encoded(
    encoder: str | ImageEncoder,
    pairs: Iterable[tuple[ImageLike, NDArray[np.generic]]],
    size: int | None = None,
    batch: int = 16,
) -> Iterator[tuple[ImageFeatures, list[NDArray[np.generic]]]]:
    """Features of whole images with their labels, one image at a time; memory does not grow with their number.

    Args:
        encoder: an image encoder or its name.
        pairs: images in any form, each with its (height, width) labels or metres.
        size: longer side in pixels at which they are encoded, as in `ImageEncoder.encode`.
        batch: images per batch.

    Raises:
        ImageError: an image that cannot be read.
    """
    encoder = as_encoder(encoder)
    held: list[tuple[Image.Image, NDArray[np.generic]]] = []

    def ready() -> Iterator[tuple[ImageFeatures, list[NDArray[np.generic]]]]:
        each = encoder.encode_each([image for image, _ in held], size, "whole", batch_size=batch)
        yield from ((features, [target]) for features, (_, target) in zip(each, held, strict=True))
        held.clear()

    for image, target in pairs:
        held.append((load_image(image), target))
        if len(held) == batch:
            yield from ready()
    if held:
        yield from ready()


def segmentation_confusion(head: PatchHead, batches: Labelled) -> Confusion:
    """The confusion table of a segmentation head over all pixels of known class.

    Args:
        head: a fitted segmentation head.
        batches: features of images with their labels.

    Raises:
        ValueError: a depth head, or labels beyond its classes.
    """
    if head.kind != "segmentation":
        raise ValueError("found a depth head; expected a segmentation head")
    table = Confusion(head.names)
    for features, targets in batches:
        for labels, target in zip(head.predict(features), targets, strict=True):
            table.add(labels, target)
    return table


def depth_errors(head: PatchHead, batches: Labelled, errors: DepthErrors) -> DepthErrors:
    """`errors` with the errors of a depth head added.

    Args:
        head: a fitted depth head.
        batches: features of images with their metres.
        errors: the measures to add to.

    Raises:
        ValueError: a segmentation head.
    """
    if head.kind != "depth":
        raise ValueError("found a segmentation head; expected a depth head")
    for features, targets in batches:
        for metres, target in zip(head.predict(features), targets, strict=True):
            errors.add(metres, target)
    return errors
