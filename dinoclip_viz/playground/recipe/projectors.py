"""Recipe of the projector from playground-dino to playground-clip, both frozen: feature stores, then training.

Only the sources are specific to the playground: `dinoclip embed` and `dinoclip train` do the same with any images,
captions and encoders.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from dinoclip_viz.data import PlaygroundSource
from dinoclip_viz.encoders import load_encoder, load_text_encoder
from dinoclip_viz.encoders.base import ImageEncoder, TextEncoder
from dinoclip_viz.encoders.towers.batching import BatchedImageEncoder, BatchedTextEncoder
from dinoclip_viz.pipeline import embed
from dinoclip_viz.training import find_recipe, fit_projector, pick_stores

log = logging.getLogger(__name__)

DINO, CLIP = "playground-dino", "playground-clip"


@dataclass(frozen=True)
class ProjectorRecipe:
    """Settings of the training.

    Attributes:
        recipe: name of the recipe in `dinoclip_viz.training`.
        images: number of scenes for the first head, at 96 px, of `seed`.
        patch_images: number of scenes for the patch head, at `patch_size` pixels, of `patch_seed`.
    """

    recipe: str = "best"
    images: int = 36_000
    seed: int = 11
    patch_images: int = 2_500
    patch_seed: int = 12
    patch_size: int = 192


def train_projector(folder: Path, recipe: ProjectorRecipe, encoders: tuple[Path, Path] | None = None) -> Path:
    """Train the projector, resuming an earlier call, and return its folder, as `load_model` reads it.

    Args:
        folder: for stores, checkpoints and the trained projector.
        recipe: settings.
        encoders: folders of the CLIP and the DINO, by default the embedded ones. The projector names the embedded ones
            in any case.
    """
    clip_name, dino_name = (str(path) for path in encoders) if encoders else (CLIP, DINO)
    loaded = ((dino_name, DINO), (clip_name, CLIP))
    images = [named(load_encoder(folder, dtype="float32"), name) for folder, name in loaded]
    texts = called(load_text_encoder(clip_name, dtype="float32"), CLIP)
    scenes = PlaygroundSource(recipe.seed, recipe.images)
    embed(scenes, images, folder / "stores", texts)
    log.info("%d images are encoded", recipe.images)
    patched = PlaygroundSource(recipe.patch_seed, recipe.patch_images, recipe.patch_size)
    embed(patched, images, folder / "patches", texts, size=recipe.patch_size, patches="full")
    log.info("the patches of %d images are encoded", recipe.patch_images)
    pooled, patches = (pick_stores(path, path) for path in (folder / "stores", folder / "patches"))
    target = folder / "model"
    fit_projector(*pooled, recipe=find_recipe(recipe.recipe), folder=target, patches=patches)
    return target


def named(encoder: ImageEncoder, name: str) -> ImageEncoder:
    """The encoder renamed to its name in the package."""
    if not isinstance(encoder, BatchedImageEncoder):
        return encoder
    return replace(encoder, name=name, space=name, patch_space=encoder.patch_space.replace(encoder.space, name))


def called(texts: TextEncoder, name: str) -> TextEncoder:
    """The text encoder renamed to its name in the package."""
    return replace(texts, name=name, space=name) if isinstance(texts, BatchedTextEncoder) else texts
