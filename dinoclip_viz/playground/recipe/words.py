"""Recipe of the open-vocabulary heads: CLIP-DINOiser's layers, and the projector from texts to DINO's patches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dinoclip_viz.data import PlaygroundSource
from dinoclip_viz.encoders import load_encoder, load_text_encoder
from dinoclip_viz.playground.recipe.projectors import CLIP, DINO, called, named
from dinoclip_viz.playground.world import stream
from dinoclip_viz.training.dinoiser import HEAD, DinoiserRecipe, fit_dinoiser
from dinoclip_viz.training.text_map import TextMapRecipe, collect, fit_text_map

LAYERS = DinoiserRecipe(size=192, batch=8, steps=1_200, rounds=12, rate=3e-3, kept=1_200, least=0.85)
"""Settings for 20 minutes on one core; `least` is the best of five values on scenes of seeds 1601 to 1605."""
MAP = TextMapRecipe(epochs=60, rate=2e-3)


@dataclass(frozen=True)
class WordsRecipe:
    """Settings of both trainings.

    Attributes:
        seed: of the scenes, below 1000; size: their side in pixels.
        dinoiser_scenes: number of scenes for CLIP-DINOiser's layers; dinoiser: their training.
        map_scenes: number of scenes for the projector of texts; text_map: its training.
    """

    seed: int = 14
    size: int = 192
    dinoiser_scenes: int = 1_200
    dinoiser: DinoiserRecipe = LAYERS
    map_scenes: int = 4_000
    text_map: TextMapRecipe = MAP


def train_words(folder: Path, recipe: WordsRecipe, encoders: tuple[Path, Path] | None = None) -> dict[str, str]:
    """Train both heads, resuming an earlier call, and return model name -> folder, as in the package.

    Args:
        folder: for checkpoints and trained heads.
        recipe: settings.
        encoders: folders of the CLIP and the DINO, by default the embedded ones.
    """
    return {
        "playground-clip": str(train_dinoiser(folder / "dinoiser", recipe, encoders)),
        "playground-text-to-dino": str(train_text_map(folder / "text-to-dino", recipe, encoders)),
    }


def train_dinoiser(folder: Path, recipe: WordsRecipe, encoders: tuple[Path, Path] | None = None) -> Path:
    """Train CLIP-DINOiser's layers and return the folder of the float16 weights that playground-clip includes."""
    clip_name, dino_name = (str(path) for path in encoders) if encoders else (CLIP, DINO)
    clip, dino = (
        named(load_encoder(clip_name, dtype="float32"), CLIP),
        named(load_encoder(dino_name, dtype="float32"), DINO),
    )
    scenes = PlaygroundSource(recipe.seed, recipe.dinoiser_scenes, recipe.size)
    head, _ = fit_dinoiser(clip, dino, [one.load for one in scenes.samples()], recipe.dinoiser, folder)
    target = folder / "model"
    target.mkdir(exist_ok=True)
    head.half().save(target / HEAD)
    return target


def train_text_map(folder: Path, recipe: WordsRecipe, encoders: tuple[Path, Path] | None = None) -> Path:
    """Train the projector from texts to DINO's patches and return its folder."""
    clip_name, dino_name = (str(path) for path in encoders) if encoders else (CLIP, DINO)
    if not (folder / "config.json").is_file():
        dino = named(load_encoder(dino_name, dtype="float32"), DINO)
        texts = called(load_text_encoder(clip_name, dtype="float32"), CLIP)
        scenes = stream(recipe.seed, recipe.map_scenes, recipe.size)
        data = collect(dino, texts, ((scene.image, scene.captions) for scene in scenes), recipe.size)
        fit_text_map(dino, texts, data, recipe.text_map, folder)
    return folder
