"""JPEGs decoded at a reduced scale, which costs a fraction of the time for images much larger than their use."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

from PIL import Image

from dinoclip_viz.images.decoding import decode
from dinoclip_viz.images.levels import Levels, check_levels
from dinoclip_viz.images.like import ImageLike, bytes_of, load_image, name_of_image
from dinoclip_viz.images.pixels import orientation

Decode = Literal["exact", "scaled"]
"""How JPEGs are decoded: all pixels, or the smallest scale at least twice as large as the resized image."""

DECODES = ("exact", "scaled")
_TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height

Size = tuple[int, int]


def load_scaled(
    source: ImageLike, resized: Callable[[Size], Size], *, levels: Levels = None
) -> tuple[Image.Image, Size]:
    """The image, a JPEG at the smallest of libjpeg's scales at least twice the resized one, and its full size.

    libjpeg decodes at 1, 1/2, 1/4 and 1/8 by its inverse DCT. Other formats are decoded exactly.

    Args:
        source: as in `load_image`.
        resized: width and height of the upright image in pixels -> those that it will be resized to.
        levels: as in `load_image`.

    Returns:
        The RGB image, and width and height in pixels of the whole image.

    Raises:
        ImageError: as `load_image`.
        ValueError: the levels are invalid.
    """
    if not isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)):
        image = load_image(source, levels=levels)
        return image, image.size
    full: list[Size] = []

    def scale(image: Image.Image) -> None:
        turned = orientation(image) in _TURNED
        upright = image.size[::-1] if turned else image.size
        full.append(upright)
        width, height = resized(upright)
        wanted = (2 * width, 2 * height)
        image.draft(None, wanted[::-1] if turned else wanted)

    name = name_of_image(source)
    image = decode(bytes_of(source, name), name, check_levels(levels), scale=scale)
    return image, full[0] if full else image.size
