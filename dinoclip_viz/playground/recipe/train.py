"""The whole recipe of the embedded models: scenes, both encoders, projector and heads; every stage is resumable."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.playground.recipe.images import Images, draw_images

log = logging.getLogger(__name__)

SEED, LAYOUTS = 1, 48_000
DURATION = (
    "about 4 minutes for rendering on two cores, 85 minutes per model on one core each, 35 minutes for the "
    "projector, a few for the heads"
)


def train_all(folder: Path, threads: int = 1, install: bool = False) -> dict[str, str]:
    """Train every embedded model in `folder`, resuming an earlier call.

    Duration: about 4 minutes for rendering on two cores, 85 minutes for both encoders in parallel on one core each, 35
    minutes for the projector and a few for the heads. Training is suspended while a file named PAUSE is in the folder.

    Args:
        folder: for images (4.7 GB), checkpoints and trained models.
        threads: of each of the two trainings.
        install: replace the embedded models in the package by the trained ones.

    Returns:
        Model name -> folder of the trained model.

    Raises:
        ValueError: the folder holds images of other settings.
    """
    log.info("this takes %s", DURATION)
    draw_images(folder / "images", SEED, LAYOUTS, workers=2)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_run, stage, folder, threads) for stage in (_clip, _dino)]
        finished = {"playground-clip": jobs[0].result(), "playground-dino": jobs[1].result()}
    if install:
        _install(finished)
    finished |= {"playground-projector": _projector(folder), "heads": _heads(folder)}
    words = _words(folder)
    if install:
        _install({name: finished[name] for name in ("playground-projector", "heads")} | words)
    return finished | {name: path for name, path in words.items() if name not in finished}


def _run(stage: Callable[[Path], str], folder: Path, threads: int) -> str:
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(threads)
    return stage(folder)


def _clip(folder: Path) -> str:
    from dinoclip_viz.playground.recipe.clip.train import ClipRecipe, train_clip

    return str(train_clip(Images(folder / "images"), folder / "clip", ClipRecipe()))


def _dino(folder: Path) -> str:
    from dinoclip_viz.playground.recipe.dino.settings import DinoRecipe
    from dinoclip_viz.playground.recipe.dino.train import train_dino

    return str(train_dino(Images(folder / "images"), folder / "dino", DinoRecipe()))


def _projector(folder: Path) -> str:
    from dinoclip_viz.playground.recipe.projectors import ProjectorRecipe, train_projector

    encoders = folder / "clip" / "model", folder / "dino" / "model"
    return str(train_projector(folder / "projector", ProjectorRecipe(), encoders))


def _heads(folder: Path) -> str:
    from dinoclip_viz.playground.recipe.heads import train_heads

    train_heads(folder / "heads", folder / "dino" / "model")
    return str(folder / "heads")


def _words(folder: Path) -> dict[str, str]:
    from dinoclip_viz.playground.recipe.words import WordsRecipe, train_words

    return train_words(folder / "words", WordsRecipe(), (folder / "clip" / "model", folder / "dino" / "model"))


def _install(finished: dict[str, str]) -> None:
    skipped = shutil.ignore_patterns("*.pt", "run.json", "README.md")
    for name, source in finished.items():
        shutil.copytree(source, PLAYGROUND / name, dirs_exist_ok=True, ignore=skipped)
