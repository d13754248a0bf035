"""Vision-language models: images that answer questions, with boxes and masks.

Names are looked up when they are used, so that answers can be parsed without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dinoclip_viz.vlm.loading import load_vlm
    from dinoclip_viz.vlm.locations import BINS, box_of, location_tokens
    from dinoclip_viz.vlm.model import Detection, Generation, VisionLanguageModel
    from dinoclip_viz.vlm.parsing import Found, Parsed, parse

_HOMES = {
    "loading": ("load_vlm",),
    "locations": ("BINS", "box_of", "location_tokens"),
    "model": ("Detection", "Generation", "VisionLanguageModel"),
    "parsing": ("Found", "Parsed", "parse"),
}

__all__ = [
    "BINS",
    "Detection",
    "Found",
    "Generation",
    "Parsed",
    "VisionLanguageModel",
    "box_of",
    "load_vlm",
    "location_tokens",
    "parse",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
