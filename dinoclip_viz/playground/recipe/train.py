"""The whole recipe of the embedded models: scenes, encoders, projector and heads; every stage is resumable."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import torch

from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.playground.recipe.images import Images, draw_images

log = logging.getLogger(__name__)

SEED, LAYOUTS, LEAST_SCENES = 1, 48_000, 400
DURATION = "about 10 minutes for rendering and 10 hours for the models on two cores; 9 minutes on a GPU with 16 cores"


@dataclass(frozen=True)
class Run:
    """Where and on what the recipe runs.

    Attributes:
        folder: for images (10.6 GB), checkpoints and trained models.
        device: of the trainings.
        threads: of each training on a CPU.
        again: continue from the embedded weights instead of random ones.
        layouts: number of training layouts, drawn in two looks each.
        scale: of the number of steps, and of the scenes of the projector and the heads; below 1 for trials.
    """

    folder: Path
    device: str = "cpu"
    threads: int = 1
    again: bool = False
    layouts: int = LAYOUTS
    scale: float = 1.0

    @property
    def images(self) -> Images:
        """The training images."""
        return Images(self.folder / "images")

    def start(self, name: str) -> Path | None:
        """Folder of the weights that a model starts from, None for random ones."""
        return PLAYGROUND / name if self.again else None

    def steps(self, count: int) -> int:
        """Number of steps of a stage."""
        return max(1, round(count * self.scale))

    def scenes(self, count: int) -> int:
        """Number of scenes of a stage, of which some are held out."""
        return max(LEAST_SCENES, round(count * self.scale))


def train_all(run: Run, only: Sequence[str] = (), install: bool = False) -> dict[str, str]:
    """Train the embedded models, resuming an earlier call.

    Training is suspended while a file named PAUSE is in the folder.

    Args:
        run: where and on what.
        only: stages to run, of `STAGES`; by default all.
        install: replace the embedded models in the package by the trained ones.

    Returns:
        Model name -> folder of the trained model.

    Raises:
        ValueError: a stage is unknown, or the folder holds images of other settings.
    """
    unknown = sorted(set(only) - set(STAGES))
    if unknown:
        raise ValueError(f"stage {unknown[0]!r} is unknown; expected some of {', '.join(STAGES)}")
    log.info("the whole recipe takes %s", DURATION)
    wanted = [name for name in STAGES if not only or name in only]
    draw_images(run.folder / "images", SEED, run.layouts, workers=os.cpu_count() or 2)
    finished = _together([STAGES[name] for name in wanted if name in ENCODERS], run)
    if install:
        _install(finished)
    for name in wanted:
        if name not in ENCODERS:
            finished |= STAGES[name](run)
    if install:
        _install(finished)
    return finished


def _together(stages: Sequence[Callable[[Run], dict[str, str]]], run: Run) -> dict[str, str]:
    """The results of stages that run at the same time, in a process each; the first error ends the wait."""
    finished: dict[str, str] = {}
    if not stages:
        return finished
    with ProcessPoolExecutor(len(stages), mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(_run, stage, run) for stage in stages]
        for job in as_completed(jobs):
            finished |= job.result()
    return finished


def _run(stage: Callable[[Run], dict[str, str]], run: Run) -> dict[str, str]:
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(run.threads)
    return stage(run)


def _clip(run: Run) -> dict[str, str]:
    from dinoclip_viz.playground.recipe.clip.train import ClipRecipe, train_clip

    recipe = ClipRecipe.on(run.device, run.again)
    recipe = replace(recipe, steps=run.steps(recipe.steps))
    name = "playground-clip"
    return {name: str(train_clip(run.images, run.folder / "clip", recipe, run.device, run.start(name)))}


def _dino(run: Run) -> dict[str, str]:
    from dinoclip_viz.playground.recipe.dino.settings import DinoRecipe
    from dinoclip_viz.playground.recipe.dino.train import train_dino

    recipe = DinoRecipe.on(run.device, run.again)
    recipe = replace(recipe, steps=run.steps(recipe.steps))
    name = "playground-dino"
    return {name: str(train_dino(run.images, run.folder / "dino", recipe, run.device, run.start(name)))}


def _encoders(run: Run) -> tuple[Path, Path]:
    """Folders of the CLIP and the DINO: those trained in this run, else the embedded ones."""
    trained = [run.folder / part / "model" for part in ("clip", "dino")]
    embedded = [PLAYGROUND / f"playground-{part}" for part in ("clip", "dino")]
    clip, dino = (own if own.is_dir() else other for own, other in zip(trained, embedded, strict=True))
    return clip, dino


def _projector(run: Run) -> dict[str, str]:
    from dinoclip_viz.playground.recipe.projectors import ProjectorRecipe, train_projector

    recipe = ProjectorRecipe()
    recipe = replace(recipe, images=run.scenes(recipe.images), patch_images=run.scenes(recipe.patch_images))
    return {"playground-projector": str(train_projector(run.folder / "projector", recipe, _encoders(run)))}


def _heads(run: Run) -> dict[str, str]:
    from dinoclip_viz.playground.recipe.heads import train_heads

    train_heads(run.folder / "heads", _encoders(run)[1])
    return {"heads": str(run.folder / "heads")}


def _words(run: Run) -> dict[str, str]:
    from dinoclip_viz.playground.recipe.words import WordsRecipe, train_words

    recipe = WordsRecipe()
    recipe = replace(
        recipe,
        dinoiser=replace(recipe.dinoiser, steps=max(recipe.dinoiser.rounds, run.steps(recipe.dinoiser.steps))),
        dinoiser_scenes=run.scenes(recipe.dinoiser_scenes),
        map_scenes=run.scenes(recipe.map_scenes),
    )
    return train_words(run.folder / "words", recipe, _encoders(run))


def _siglip(run: Run) -> dict[str, str]:
    from dinoclip_viz.playground.recipe.siglip.train import SiglipRecipe, train_siglip

    recipe = SiglipRecipe.on(run.device, run.again)
    recipe = replace(recipe, steps=run.steps(recipe.steps))
    start = _encoders(run)[0] if run.again else None
    return {"playground-siglip": str(train_siglip(run.images, run.folder / "siglip", recipe, run.device, start))}


def _text(run: Run) -> dict[str, str]:
    from dinoclip_viz.playground.recipe.text.train import TextRecipe, train_text

    recipe = TextRecipe()
    recipe = replace(recipe, steps=run.steps(recipe.steps))
    return {"playground-text": str(train_text(run.images.captions, run.folder / "text", recipe, run.device))}


def _upsampler(run: Run) -> dict[str, str]:
    from dinoclip_viz.playground.recipe.upsampler import UpsamplerRecipe, train_upsampler

    recipe = UpsamplerRecipe()
    recipe = replace(recipe, steps=run.steps(recipe.steps))
    return {
        "playground-upsampler": str(train_upsampler(run.folder / "upsampler", recipe, _encoders(run)[1], run.device))
    }


def _paligemma(run: Run) -> dict[str, str]:
    from dinoclip_viz.playground.recipe.paligemma.masks import MaskRecipe, train_masks
    from dinoclip_viz.playground.recipe.paligemma.scenes import CHUNKS, draw_scenes, mask_rows
    from dinoclip_viz.playground.recipe.paligemma.train import PaligemmaRecipe, train_paligemma
    from dinoclip_viz.vlm.masks import load_mask_codec

    drawn = draw_scenes(run.folder / "paligemma-scenes", max(1, round(CHUNKS * run.scale)), os.cpu_count() or 2)
    codec = MaskRecipe.on(run.device)
    codec = replace(codec, steps=run.steps(codec.steps))
    masks = train_masks(mask_rows(drawn), run.folder / "masks", codec, run.device)
    recipe = PaligemmaRecipe.on(run.device, run.again)
    recipe = replace(recipe, steps=run.steps(recipe.steps))
    own = run.folder / "siglip" / "model"
    tower = own if own.is_dir() else PLAYGROUND / "playground-siglip"
    trained = train_paligemma(
        drawn,
        load_mask_codec(masks),
        run.folder / "paligemma",
        recipe,
        tower,
        run.device,
        run.start("playground-paligemma"),
    )
    return {"playground-masks": str(masks), "playground-paligemma": str(trained)}


def _affordance(run: Run) -> dict[str, str]:
    from dinoclip_viz.playground.recipe.affordance import DrawnAffordanceRecipe, train_affordance

    recipe = DrawnAffordanceRecipe()
    recipe = replace(recipe, fitting=replace(recipe.fitting, steps=run.steps(recipe.fitting.steps)))
    trained = train_affordance(run.folder / "affordance", recipe, _encoders(run), run.device)
    return {"playground-affordance": str(trained)}


STAGES: dict[str, Callable[[Run], dict[str, str]]] = {
    "clip": _clip,
    "dino": _dino,
    "text": _text,
    "siglip": _siglip,
    "projector": _projector,
    "heads": _heads,
    "words": _words,
    "upsampler": _upsampler,
    "paligemma": _paligemma,
    "affordance": _affordance,
}
"""Stages of the recipe in their order."""

ENCODERS = ("clip", "dino", "text")
"""Stages that run at the same time, in a process each."""


def _install(finished: dict[str, str]) -> None:
    skipped = shutil.ignore_patterns("*.pt", "run.json", "history.json", "README.md")
    for name, source in finished.items():
        shutil.copytree(source, PLAYGROUND / name, dirs_exist_ok=True, ignore=skipped)
