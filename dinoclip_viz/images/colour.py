"""Colour profiles: pixels in the colours of their profile -> sRGB."""

from __future__ import annotations

import io

from PIL import Image, ImageCms

_SPACES = {"RGB": ("RGB", "RGBX"), "GRAY": ("L",), "CMYK": ("CMYK",), "Lab": ("LAB",)}
"""Colour space of a profile -> the modes of images that it can belong to."""


def to_srgb(image: Image.Image) -> Image.Image:
    """The image in sRGB as its ICC profile asks, mode RGB; as it is without a profile, with sRGB's, or a broken one.

    Args:
        image: without transparency; its profile in `info["icc_profile"]`.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not profile:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        if image.mode not in _SPACES.get(source.profile.xcolor_space.strip(), ()):
            return image
        found = ImageCms.profileToProfile(image, source, _srgb(), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # a broken profile does not spoil the pixels
        return image
    return image if found is None else found


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
