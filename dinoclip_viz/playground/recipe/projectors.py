"""How the projector between playground-dino and playground-clip was trained, both frozen: stores, then a recipe.

Nothing here is special to the playground but its sources: `dinoclip embed` and `dinoclip train` do the same with any
images, captions and encoders.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from dinoclip_viz.data import PlaygroundSource
from dinoclip_viz.embedding import embed
from dinoclip_viz.encoders import load_encoder, load_text_encoder
from dinoclip_viz.encoders.base import ImageEncoder, TextEncoder
from dinoclip_viz.encoders.batching import BatchedImageEncoder, BatchedTextEncoder
from dinoclip_viz.training import find_recipe, fit_projector, pick_stores

log = logging.getLogger(__name__)

DINO, CLIP = "playground-dino", "playground-clip"


@dataclass(frozen=True)
class ProjectorRecipe:
    """Settings of the training.

    Attributes:
        recipe: name of the recipe in `dinoclip_viz.training`.
        images: scenes for the first head, at 96 px, of `seed`.
        patch_images: scenes for the patch head, at `patch_size` pixels, of `patch_seed`.
    """

    recipe: str = "best"
    images: int = 36_000
    seed: int = 11
    patch_images: int = 2_500
    patch_seed: int = 12
    patch_size: int = 192


def train_projector(folder: Path, recipe: ProjectorRecipe, encoders: tuple[Path, Path] | None = None) -> Path:
    """Train the projector, or go on where an earlier call stopped; its folder, as `load_model` reads it.

    Args:
        folder: where stores, checkpoints and the finished projector are kept.
        recipe: settings.
        encoders: folders of the CLIP and the DINO that it joins, by default the embedded ones. The finished folder
            names the embedded ones all the same: it belongs beside them.
    """
    clip_name, dino_name = (str(path) for path in encoders) if encoders else (CLIP, DINO)
    images = [named(load_encoder(dino_name), DINO), named(load_encoder(clip_name), CLIP)]
    texts = called(load_text_encoder(clip_name), CLIP)
    scenes = PlaygroundSource(recipe.seed, recipe.images)
    embed(scenes, images, folder / "stores", texts)
    log.info("%d images are encoded", recipe.images)
    patched = PlaygroundSource(recipe.patch_seed, recipe.patch_images, recipe.patch_size)
    embed(patched, images, folder / "patches", texts, size=recipe.patch_size, patches="full")
    log.info("the patches of %d images are encoded", recipe.patch_images)
    pooled, patches = (pick_stores(place, place) for place in (folder / "stores", folder / "patches"))
    target = folder / "model"
    fit_projector(*pooled, recipe=find_recipe(recipe.recipe), folder=target, patches=patches)
    return target


def named(encoder: ImageEncoder, name: str) -> ImageEncoder:
    """The encoder under the name that it will have in the package."""
    if not isinstance(encoder, BatchedImageEncoder):
        return encoder
    return replace(encoder, name=name, space=name, patch_space=encoder.patch_space.replace(encoder.space, name))


def called(texts: TextEncoder, name: str) -> TextEncoder:
    """The text encoder likewise."""
    return replace(texts, name=name, space=name) if isinstance(texts, BatchedTextEncoder) else texts
