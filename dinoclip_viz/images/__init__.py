"""Anything that is an image -> RGB images: what is accepted, decoding, levels, colour, addresses, sizes."""

from dinoclip_viz.images.addresses import download, is_public, resolve
from dinoclip_viz.images.errors import (
    ALL_FORMATS,
    MAXIMUM_BYTES,
    MAXIMUM_PIXELS,
    MAXIMUM_SIDE,
    ImageError,
    ImageWarning,
)
from dinoclip_viz.images.levels import Levels, check_levels
from dinoclip_viz.images.like import ImageLike, ImagesLike, is_image, items_of, load_image, load_images
from dinoclip_viz.images.sizes import default_longer, to_grid, whole_size

__all__ = [
    "ALL_FORMATS",
    "MAXIMUM_BYTES",
    "MAXIMUM_PIXELS",
    "MAXIMUM_SIDE",
    "ImageError",
    "ImageLike",
    "ImageWarning",
    "ImagesLike",
    "Levels",
    "check_levels",
    "default_longer",
    "download",
    "is_image",
    "is_public",
    "items_of",
    "load_image",
    "load_images",
    "resolve",
    "to_grid",
    "whole_size",
]
