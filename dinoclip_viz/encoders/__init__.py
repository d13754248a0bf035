"""Encoders: images or texts in, features out. The contract is in `base`, the models known by name in `catalog`.

Names are looked up when they are used, so that the catalogue can be read without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dinoclip_viz.encoders.base import (
        Fit,
        ImageEncoder,
        ImageFeatures,
        TextEncoder,
        TextFeatures,
        concatenate,
        same_space,
    )
    from dinoclip_viz.encoders.catalog import CATALOG, CatalogEntry, find, on_disk
    from dinoclip_viz.encoders.checks import ContractError, check_image_encoder, check_text_encoder
    from dinoclip_viz.encoders.errors import EncoderError, SpaceError
    from dinoclip_viz.encoders.loading import as_encoder, load_encoder, load_pair, load_text_encoder

_HOMES = {
    "base": ("Fit", "ImageEncoder", "ImageFeatures", "TextEncoder", "TextFeatures", "concatenate", "same_space"),
    "catalog": ("CATALOG", "CatalogEntry", "find", "on_disk"),
    "checks": ("ContractError", "check_image_encoder", "check_text_encoder"),
    "errors": ("EncoderError", "SpaceError"),
    "loading": ("as_encoder", "load_encoder", "load_pair", "load_text_encoder"),
}

__all__ = [
    "CATALOG",
    "CatalogEntry",
    "ContractError",
    "EncoderError",
    "Fit",
    "ImageEncoder",
    "ImageFeatures",
    "SpaceError",
    "TextEncoder",
    "TextFeatures",
    "as_encoder",
    "check_image_encoder",
    "check_text_encoder",
    "concatenate",
    "find",
    "load_encoder",
    "load_pair",
    "load_text_encoder",
    "on_disk",
    "same_space",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
