"""How the light heads for words were trained: CLIP-DINOiser's layers, and the map from texts to DINO's patches."""

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
"""Steps and rate as 20 minutes on one core allow; `least` is the best of five on scenes of seeds 1601 to 1605."""
MAP = TextMapRecipe(epochs=60, rate=2e-3)


@dataclass(frozen=True)
class WordsRecipe:
    """Settings of both trainings.

    Attributes:
        seed: of the scenes, below 1000; size: their side in pixels.
        dinoiser_scenes: for the two convolutions; dinoiser: their training.
        map_scenes: for the map of texts; text_map: its training.
    """

    seed: int = 14
    size: int = 192
    dinoiser_scenes: int = 1_200
    dinoiser: DinoiserRecipe = LAYERS
    map_scenes: int = 4_000
    text_map: TextMapRecipe = MAP


def train_words(folder: Path, recipe: WordsRecipe, encoders: tuple[Path, Path] | None = None) -> dict[str, str]:
    """Train both, or go on where an earlier call stopped; name -> folder, as the package holds them.

    Args:
        folder: where checkpoints and the finished heads are kept.
        recipe: settings.
        encoders: folders of the CLIP and the DINO, by default the embedded ones.
    """
    return {
        "playground-clip": str(train_dinoiser(folder / "dinoiser", recipe, encoders)),
        "playground-text-to-dino": str(train_text_map(folder / "text-to-dino", recipe, encoders)),
    }


def train_dinoiser(folder: Path, recipe: WordsRecipe, encoders: tuple[Path, Path] | None = None) -> Path:
    """Train CLIP-DINOiser's layers; the folder with what goes into playground-clip's, as float16."""
    clip_name, dino_name = (str(path) for path in encoders) if encoders else (CLIP, DINO)
    clip, dino = named(load_encoder(clip_name), CLIP), named(load_encoder(dino_name), DINO)
    scenes = PlaygroundSource(recipe.seed, recipe.dinoiser_scenes, recipe.size)
    head, _ = fit_dinoiser(clip, dino, [one.load for one in scenes.samples()], recipe.dinoiser, folder)
    beside = folder / "model"
    beside.mkdir(exist_ok=True)
    head.half().save(beside / HEAD)
    return beside


def train_text_map(folder: Path, recipe: WordsRecipe, encoders: tuple[Path, Path] | None = None) -> Path:
    """Train the map from texts to DINO's patches; its folder."""
    clip_name, dino_name = (str(path) for path in encoders) if encoders else (CLIP, DINO)
    if not (folder / "config.json").is_file():
        dino, texts = named(load_encoder(dino_name), DINO), called(load_text_encoder(clip_name), CLIP)
        drawn = stream(recipe.seed, recipe.map_scenes, recipe.size)
        data = collect(dino, texts, ((scene.image, scene.captions) for scene in drawn), recipe.size)
        fit_text_map(dino, texts, data, recipe.text_map, folder)
    return folder
