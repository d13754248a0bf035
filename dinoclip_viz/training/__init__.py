"""Training a projector from feature stores: recipes, losses, the loop.

Names are imported on first use, so that recipes can be listed without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dinoclip_viz.training.card import save_card
    from dinoclip_viz.training.fit import fit_projector, score_pairs
    from dinoclip_viz.training.pairs import Pairs, pick_stores, same_images
    from dinoclip_viz.training.patches import fit_patch_head
    from dinoclip_viz.training.precision import training_dtype
    from dinoclip_viz.training.recipes import RECIPES, Recipe, find_recipe

_HOMES = {
    "card": ("save_card",),
    "fit": ("fit_projector", "score_pairs"),
    "pairs": ("Pairs", "pick_stores", "same_images"),
    "patches": ("fit_patch_head",),
    "precision": ("training_dtype",),
    "recipes": ("RECIPES", "Recipe", "find_recipe"),
}

__all__ = [
    "RECIPES",
    "Pairs",
    "Recipe",
    "find_recipe",
    "fit_patch_head",
    "fit_projector",
    "pick_stores",
    "same_images",
    "save_card",
    "score_pairs",
    "training_dtype",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
