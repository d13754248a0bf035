"""Images through an encoder into the hover explorer, in one call from a notebook."""

from __future__ import annotations

from collections.abc import Sequence

from dinoclip_viz.encoders import load_encoder
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.images import ImageSource, load_image
from dinoclip_viz.viz.hover import MOST_IMAGES, HoverWidget, check_anywidget, hover_widget


def hover(
    encoder: str | ImageEncoder,
    images: ImageSource | list[ImageSource] | tuple[ImageSource, ...],
    size: int | None = None,
    names: Sequence[str] | None = None,
) -> HoverWidget:
    """Images to hover over: a patch's similarity to every patch of all of them, at once.

    Args:
        encoder: what sees the images, or its name.
        images: one image, or a list of up to six: paths, addresses, bytes, PIL images or arrays.
        size: longer side in pixels at which they are encoded; None leaves it to the encoder.
        names: what the images are called; by default "image 1" and so on.

    Raises:
        ModuleNotFoundError: anywidget is not installed; the message names the extra.
        EncoderError: the encoder cannot be loaded.
        ImageError: one is no image that can be used.
        ValueError: no image or more than six, another number of names, or a size that does not suit the encoder.
    """
    check_anywidget()
    given: list[ImageSource] = list(images) if isinstance(images, list | tuple) else [images]
    if not 1 <= len(given) <= MOST_IMAGES:
        raise ValueError(f"{len(given)} images; expected 1 to {MOST_IMAGES} that are compared at once")
    loaded = load_encoder(encoder) if isinstance(encoder, str) else encoder
    loaded_images = [load_image(image) for image in given]
    features = loaded.encode_each(loaded_images, size, "whole")
    patches = [each.patches[0].numpy() for each in features]
    boxes = [each.boxes[0].tolist() for each in features]
    return hover_widget(loaded_images, patches, boxes, names)
