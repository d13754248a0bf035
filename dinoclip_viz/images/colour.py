"""Colour profiles: pixels in the colours of their profile -> sRGB."""

from __future__ import annotations

import io
import struct

from PIL import Image, ImageCms

_SPACES = {"RGB": ("RGB", "RGBX"), "GRAY": ("L",), "CMYK": ("CMYK",), "Lab": ("LAB",)}
"""Colour space of a profile -> the modes of images that it can belong to."""
_MOST_ELEMENTS = 16
_MOST_SEGMENTS = 256
_MOST_TAGS = 100  # of Little CMS


def to_srgb(image: Image.Image) -> Image.Image:
    """The image in sRGB as its ICC profile asks, mode RGB; as it is without a profile, with sRGB's, or an invalid one.

    Profiles of more floating-point elements than any transform needs (ICC.1:2022, 10.14) count as invalid: each element
    is computed some 36,000 times, whatever the image.

    Args:
        image: without transparency; its profile in `info["icc_profile"]`.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not profile or _is_endless(profile):
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


def _is_endless(profile: bytes) -> bool:
    """Whether a profile has more elements, or segments of their curves, than a transform needs."""
    try:
        tags = min(struct.unpack_from(">I", profile, 128)[0], _MOST_TAGS)
        for number in range(tags):
            place = struct.unpack_from(">I", profile, 132 + 12 * number + 4)[0]
            if (
                profile[place : place + 4] == b"mpet"
                and struct.unpack_from(">I", profile, place + 12)[0] > _MOST_ELEMENTS
            ):
                return True
    except struct.error:
        return False  # broken: the caller's library refuses it
    return profile.count(b"parf") + profile.count(b"samf") > _MOST_SEGMENTS


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
