"""Masks as PaliGemma's segmentation tokens, and back: the codec, its files, and crops of masks by boxes.

Names are looked up when they are used, so that answers can be parsed without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dinoclip_viz.vlm.masks.codec import SIDE, MaskCodec
    from dinoclip_viz.vlm.masks.crops import crop_mask, paste_mask
    from dinoclip_viz.vlm.masks.files import load_mask_codec, save_mask_codec
    from dinoclip_viz.vlm.masks.tokens import CODES, TOKENS, mask_tokens

_HOMES = {
    "codec": ("SIDE", "MaskCodec"),
    "crops": ("crop_mask", "paste_mask"),
    "files": ("load_mask_codec", "save_mask_codec"),
    "tokens": ("CODES", "TOKENS", "mask_tokens"),
}

__all__ = [
    "CODES",
    "SIDE",
    "TOKENS",
    "MaskCodec",
    "crop_mask",
    "load_mask_codec",
    "mask_tokens",
    "paste_mask",
    "save_mask_codec",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
