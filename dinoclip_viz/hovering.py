"""The hover explorer of patch similarities, from images and an encoder."""

from __future__ import annotations

from collections.abc import Sequence

from dinoclip_viz.encoders import as_encoder
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.images import ImagesLike, load_images
from dinoclip_viz.viz.hover import MOST_IMAGES, HoverWidget, check_anywidget, hover_widget


def hover(
    encoder: str | ImageEncoder,
    images: ImagesLike,
    size: int | None = None,
    names: Sequence[str] | None = None,
) -> HoverWidget:
    """Widget for notebooks that shows the similarity of the hovered patch to all patches of all images.

    Args:
        encoder: image encoder or its name.
        images: one to six images, each of a kind that `load_image` accepts.
        size: longer side of the encoded images in pixels; by default as in `ImageEncoder.encode_each`.
        names: titles of the images; by default "image 1" and so on.

    Raises:
        ModuleNotFoundError: anywidget is not installed; the message names the extra.
        EncoderError: the encoder cannot be loaded.
        ImageError: there is no image, or one cannot be read.
        ValueError: there are more than six images or another number of names, or `size` is out of range.
    """
    check_anywidget()
    shown = load_images(images)
    if len(shown) > MOST_IMAGES:
        raise ValueError(f"found {len(shown)} images; expected 1 to {MOST_IMAGES}")
    features = as_encoder(encoder).encode_each(shown, size, "whole")
    patches = [each.patches[0].numpy() for each in features]
    boxes = [each.boxes[0].tolist() for each in features]
    return hover_widget(shown, patches, boxes, names)
