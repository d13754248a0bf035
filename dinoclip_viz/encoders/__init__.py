"""Encoders: pictures or texts in, features out. The contract is in `base`, the models known by name in `catalog`."""

from dinoclip_viz.encoders.base import (
    EncoderError,
    Fit,
    ImageEncoder,
    ImageFeatures,
    SpaceError,
    TextEncoder,
    TextFeatures,
    concatenate,
    same_space,
)
from dinoclip_viz.encoders.catalog import CATALOG, CatalogEntry, find, on_disk
from dinoclip_viz.encoders.loading import load_encoder, load_pair, load_text_encoder

__all__ = [
    "CATALOG",
    "CatalogEntry",
    "EncoderError",
    "Fit",
    "ImageEncoder",
    "ImageFeatures",
    "SpaceError",
    "TextEncoder",
    "TextFeatures",
    "concatenate",
    "find",
    "load_encoder",
    "load_pair",
    "load_text_encoder",
    "on_disk",
    "same_space",
]
