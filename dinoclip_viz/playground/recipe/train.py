"""The whole recipe of the embedded models: draw, train both encoders, then the projector; every stage is resumable."""

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
    "about 4 minutes of drawing on two cores, 85 minutes a model on one core each, 35 minutes for the projector, a few "
    "for the heads"
)


def train_all(folder: Path, threads: int = 1, install: bool = False) -> dict[str, str]:
    """Train every embedded model in `folder`, or go on where an earlier call stopped.

    Takes about 4 minutes of drawing on two cores, then 85 minutes, both encoders side by side on one core each, then 35
    minutes for the projector and a few for the heads. A file named PAUSE in the folder halts the training while it is
    there.

    Args:
        folder: where images (4.7 GB), checkpoints and finished models are kept.
        threads: of each of the two trainings.
        install: copy the finished models into the package, in place of the embedded ones.

    Returns:
        Model name -> folder of the finished model.

    Raises:
        ValueError: the folder holds images drawn with other settings.
    """
    log.info("this takes %s", DURATION)
    draw_images(folder / "pictures", SEED, LAYOUTS, workers=2)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_run, stage, folder, threads) for stage in (_clip, _dino)]
        finished = {"playground-clip": jobs[0].result(), "playground-dino": jobs[1].result()}
    if install:
        _install(finished)
    finished |= {"playground-projector": _projector(folder), "heads": _heads(folder)}
    words = _words(folder)
    if install:
        _install({name: finished[name] for name in ("playground-projector", "heads")} | words)
    return finished | {name: place for name, place in words.items() if name not in finished}


def _run(stage: Callable[[Path], str], folder: Path, threads: int) -> str:
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(threads)
    return stage(folder)


def _clip(folder: Path) -> str:
    from dinoclip_viz.playground.recipe.clip import ClipRecipe, train_clip

    return str(train_clip(Images(folder / "pictures"), folder / "clip", ClipRecipe()))


def _dino(folder: Path) -> str:
    from dinoclip_viz.playground.recipe.dino import DinoRecipe, train_dino

    return str(train_dino(Images(folder / "pictures"), folder / "dino", DinoRecipe()))


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
    left_out = shutil.ignore_patterns("*.pt", "run.json", "README.md")
    for name, source in finished.items():
        shutil.copytree(source, PLAYGROUND / name, dirs_exist_ok=True, ignore=left_out)
