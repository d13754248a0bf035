"""Files of more than 8 bits per value, where Pillow alone would keep the upper 8."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.images.errors import ImageWarning, image_error
from dinoclip_viz.images.levels import Levels, byte_of, eight_bits, outside
from dinoclip_viz.images.ppm import header_of


def deep_png(data: bytes, image: Image.Image, name: str, levels: Levels) -> Image.Image:
    """A PNG of 16 bits with several channels as 8 bits, rounded and by its levels; its notes stay with it.

    Args:
        data: the file.
        image: what Pillow read of it.
        name: for messages.
        levels: for the colours; the alpha channel always has its whole range.
    """
    import torch
    from torchvision.io import ImageReadMode, decode_image

    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    values: NDArray[np.uint16] = decode_image(encoded, ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy()
    colours = values.shape[2] - (1 if values.shape[2] in (2, 4) else 0)
    shades = eight_bits(values[:, :, :colours], name, levels)
    if colours < values.shape[2]:
        shades = np.concatenate([shades, byte_of(values[:, :, colours:])], axis=2)
    found = Image.fromarray(shades, image.mode)
    found.info = dict(image.info)
    return found


def deep_pgm(data: bytes, image: Image.Image) -> Image.Image:
    """A PGM with the values that stand in the file, which Pillow spreads over 16 bits."""
    header = header_of(data)
    values = np.asarray(image).astype(np.float64) * ((header.most if header else 65535) / 65535)
    return Image.fromarray(np.rint(values).astype(np.int32))


def warn_of_lost_bits(data: bytes, image: Image.Image, name: str, levels: Levels) -> None:
    """Warns of colours of 16 bits, of which the upper 8 are read, where these are nearly empty.

    Raises:
        ImageError: levels are given for them: what they would spread has been lost.
    """
    depths = getattr(image, "tag_v2", {}).get(258, ()) or ()
    header = header_of(data)
    if max(depths, default=8) <= 8 and (header is None or header.most < 256 or header.kind not in (3, 6)):
        return
    if levels is not None:
        expected = "grey values, a PNG of 16 bits, or an array, where levels are given"
        raise image_error(name, "colours of 16 bits in a TIFF or PPM, read as 8", expected)
    if np.asarray(image).max() < 16:
        warnings.warn(
            f"{name}: colours of 16 bits that use less than a sixteenth of their range; "
            "give them as an array, or as a PNG of 16 bits, with levels=(low, high)",
            ImageWarning,
            stacklevel=outside(),
        )
