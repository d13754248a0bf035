"""Features of images and features, mixed: items that are already encoded are passed through."""

from __future__ import annotations

from collections.abc import Iterable

from dinoclip_viz.encoders.base import Fit, ImageEncoder, ImageFeatures
from dinoclip_viz.encoders.loading import as_encoder
from dinoclip_viz.images import ImageError, ImageLike, is_image, items_of, load_image

FeaturesLike = ImageFeatures | ImageLike | Iterable[ImageFeatures | ImageLike]
"""Features or images, one or several, in any mixture."""


def as_features(
    encoder: str | ImageEncoder, items: FeaturesLike, size: int | None = None, fit: Fit = "whole"
) -> list[ImageFeatures]:
    """One ImageFeatures per item, in order: features are passed through, images are encoded.

    Args:
        encoder: image encoder or its name; it is loaded only if there is an image.
        items: features or images.
        size: as in `ImageEncoder.encode_each`.
        fit: as in `ImageEncoder.encode_each`.

    Raises:
        ImageError: there is no item, or one is neither features nor a readable image.
        EncoderError: the encoder cannot be loaded.
    """
    if isinstance(items, ImageFeatures):
        return [items]
    if is_image(items):
        return as_encoder(encoder).encode_each(items, size, fit)
    given = items_of(items)
    images = []
    for number, item in enumerate(given):
        if not isinstance(item, ImageFeatures):
            try:
                images.append(load_image(item))  # type: ignore[arg-type]
            except ImageError as error:
                raise ImageError(f"images[{number}]: {error}") from error
    fresh = iter(as_encoder(encoder).encode_each(images, size, fit) if images else [])
    return [item if isinstance(item, ImageFeatures) else next(fresh) for item in given]


def is_single(items: object) -> bool:
    """Whether the value is one item, features or an image, rather than a sequence."""
    return isinstance(items, ImageFeatures) or is_image(items)
