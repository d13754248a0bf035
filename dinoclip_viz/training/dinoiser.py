"""Training of CLIP-DINOiser's two convolutions: a DINO's patch similarities and objectness, distilled into a CLIP."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dinoclip_viz.dense.background import found_background
from dinoclip_viz.dense.dinoiser import CORRELATION, DinoiserHead
from dinoclip_viz.dense.pooling import guided_pooling
from dinoclip_viz.dense.reader import MIDDLE, VALUES
from dinoclip_viz.disk import write_json
from dinoclip_viz.encoders import as_encoder
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.encoders.devices import dtypes_of
from dinoclip_viz.images import ImageLike, load_images
from dinoclip_viz.training.claim import claim, one_run
from dinoclip_viz.training.loop import Loop
from dinoclip_viz.training.processes import Processes

LEVELS = (0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
"""Thresholds tried for `DinoiserHead.least`; the learnt similarity behaves like a probability, not like a cosine."""
HEAD, CHECKPOINT = "dinoiser.safetensors", "checkpoint.pt"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DinoiserRecipe:
    """Settings of the training; the defaults are the paper's.

    Attributes:
        size: side in pixels of the square that images are stretched to.
        batch: images per step.
        steps: number of optimiser steps.
        rounds: number of equal parts of the run; each ends with a record and a checkpoint.
        rate: highest learning rate of the correlation layer; background_rate: of the background layer.
        decay: weight decay of both.
        alike: cosine of the guide's values above which two patches count as similar.
        background: FOUND's threshold on the cosine of the guide's patches; patches from it on are background.
        channels: of the correlation layer.
        least: similarity below which two patches are not pooled together at inference; None selects from `LEVELS` the
            one whose pooling agrees best with the guide's on the held-out images.
        held: number of held-out images, on which rounds are compared.
        kept: number of images whose features are cached in memory as float16.
        seed: of the initial weights and the order of the images.
    """

    size: int = 448
    batch: int = 16
    steps: int = 6250
    rounds: int = 25
    rate: float = 5e-5
    background_rate: float = 1e-2
    decay: float = 0.01
    alike: float = 0.2
    background: float = 0.3
    channels: int = CORRELATION
    least: float | None = None
    held: int = 64
    kept: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("size", "batch", "steps", "rounds", "rate", "background_rate", "channels", "held"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a value above 0")
        if self.rounds > self.steps:
            raise ValueError(f"{self.rounds} rounds of {self.steps} steps; expected at least one step per round")


Images: TypeAlias = Sequence[ImageLike | Callable[[], ImageLike]]
"""The images to train on, or functions without arguments that load them."""


def fit_dinoiser(
    clip: str | ImageEncoder,
    guide: str | ImageEncoder,
    images: Images,
    recipe: DinoiserRecipe | None = None,
    folder: Path | None = None,
    watch: Callable[[dict[str, float]], None] | None = None,
) -> tuple[DinoiserHead, list[dict[str, float]]]:
    """The layers of the round with the lowest held-out loss, and one record per round.

    Loss = BCE(the layers' correlations, clamped to at least 0; whether the cosine of the guide's values exceeds
    `alike`) + BCE(background layer; FOUND's objects in the guide's patches). Wysoczańska et al., CLIP-DINOiser, ECCV
    2024, section 3.3. Both encoders stay frozen. A run with a folder resumes from its checkpoint.

    Args:
        clip: a CLIP with readable blocks, or its name.
        guide: the teacher, a DINO, or its name.
        images: images or functions that load them; more than `recipe.held`.
        recipe: the paper's by default.
        folder: for checkpoint, history and layers; None saves nothing.
        watch: called with the record of each round.

    Returns:
        The layers, and a record per round: epoch, loss, rate, held_loss.

    Raises:
        ValueError: too few images, an encoder without readable blocks, or a folder with a run of other settings.
        ImageError: an image cannot be loaded.
    """
    recipe = recipe or DinoiserRecipe()
    clip, guide = as_encoder(clip), as_encoder(guide)
    _check(clip, guide, images, recipe)
    with one_run(folder):
        if folder is not None:
            settings = {
                "clip": clip.space,
                "guide": guide.space,
                "images": len(images),
                "dtype": dtypes_of(clip, guide),
            }
            claim(folder, {**settings, **asdict(recipe)})
        torch.manual_seed(recipe.seed)
        head = DinoiserHead(clip.patch_dimension, recipe.channels, clip.patch_space, recipe.alike)
        loop = Loop(
            head, recipe.rounds, max(1, recipe.steps // recipe.rounds), recipe.rate, recipe.decay, "none", 1,
            folder / CHECKPOINT if folder else None, Processes(), {"bkg_decoder": recipe.background_rate},
        )  # fmt: skip
        order = np.random.default_rng([recipe.seed, 0]).permutation(len(images))
        held, train = order[: recipe.held], order[recipe.held :]
        features = Features(clip, guide, images, recipe)
        judged = [features.at(part) for part in _parts(held, recipe.batch)]
        while not loop.stopped:
            for step in loop.run():
                chance = np.random.default_rng([recipe.seed, 1, loop.epoch, step])
                rows = chance.choice(train, size=recipe.batch, replace=len(train) < recipe.batch)
                loop.update(_loss(head, features.at(rows)))
            with torch.no_grad():
                losses = [_loss(head, batch).item() * len(batch.middle) for batch in judged]
            score = sum(losses) / len(held)
            loop.end_epoch({"rate": loop.rate, "held_loss": score}, -score, 0)
            log.info("round %s", loop.history[-1])
            if watch:
                watch(loop.history[-1])
        head.load_state_dict(loop.best)
        head.eval().requires_grad_(False)
        head.least = recipe.least if recipe.least is not None else _best_threshold(head, features, held)
        if folder is not None:
            head.save(folder / HEAD)
            write_json(folder / "history.json", loop.history)
        return head, loop.history


@dataclass(frozen=True)
class Batch:
    """Inputs and targets of the loss.

    Attributes:
        middle: (B, H, W, width) tokens of the CLIP's third-last block.
        similar: (B, N, N) bool, which pairs of patches are similar by the guide.
        objects: (B, H, W) bool, which patches are foreground by the guide.
    """

    middle: Tensor
    similar: Tensor
    objects: Tensor


class Features:
    """Features of both encoders for the images, some of them cached.

    Args:
        clip, guide, images, recipe: as in `fit_dinoiser`.
    """

    def __init__(self, clip: ImageEncoder, guide: ImageEncoder, images: Images, recipe: DinoiserRecipe) -> None:
        self.clip, self.guide, self.images, self.recipe = clip, guide, images, recipe
        self._kept: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def at(self, rows: NDArray[np.int64]) -> Batch:
        """The batch of the images with these indices."""
        new = [int(row) for row in dict.fromkeys(rows.tolist()) if row not in self._kept]
        found = dict(self._kept)
        if new:
            found |= zip(new, self._encoded(new), strict=True)
        self._kept |= {row: found[row] for row in new[: max(0, self.recipe.kept - len(self._kept))]}
        middle, values, objects = (torch.stack(part) for part in zip(*(found[int(row)] for row in rows), strict=True))
        unit = F.normalize(values.float().flatten(1, 2), dim=-1)
        return Batch(middle.float(), unit @ unit.mT > self.recipe.alike, objects)

    def square(self, row: int) -> Image.Image:
        """One image, stretched to the square that is trained on."""
        image = self.images[row]
        found = load_images(image() if callable(image) else image)[0]
        return found.resize((self.recipe.size, self.recipe.size), Image.Resampling.BICUBIC)

    def _encoded(self, rows: Sequence[int]) -> list[tuple[Tensor, Tensor, Tensor]]:
        side, square = self.recipe.size, [self.square(row) for row in rows]
        middle = self.clip.encode(square, side, "whole", [MIDDLE]).dense[MIDDLE]
        teacher = self.guide.encode(square, side, "whole", [VALUES])
        grid = (middle.shape[1], middle.shape[2])
        objects = ~found_background(_on_grid(teacher.patches, grid), threshold=self.recipe.background)
        return list(zip(middle.half(), _on_grid(teacher.dense[VALUES], grid).half(), objects, strict=True))


def _best_threshold(head: DinoiserHead, features: Features, held: NDArray[np.int64]) -> float:
    """The threshold of `LEVELS` at which the layers' pooling is nearest to the guide's, by mean patch cosine."""
    distance = dict.fromkeys(LEVELS, 0.0)
    side = features.recipe.size
    for row in held.tolist():
        square = [features.square(row)]
        seen = features.clip.encode(square, side, "whole", ["maskclip", MIDDLE])
        teacher = features.guide.encode(square, side, "whole", [VALUES]).dense[VALUES]
        wanted = guided_pooling(seen.dense["maskclip"], teacher, features.recipe.alike)
        alike = head.correlation(seen.dense[MIDDLE])
        for level in LEVELS:
            pooled = guided_pooling(seen.dense["maskclip"], alike, level)
            distance[level] += (1 - F.cosine_similarity(pooled, wanted, dim=-1)).mean().item()
    return min(LEVELS, key=distance.__getitem__)


def _loss(head: DinoiserHead, batch: Batch) -> Tensor:
    unit = head.correlation(batch.middle).flatten(1, 2)  # (B, N, channels)
    own = (unit @ unit.mT).clamp(0, 1)
    correlation = F.binary_cross_entropy(own, batch.similar.float())
    background = F.binary_cross_entropy_with_logits(head.objects(batch.middle), batch.objects.float())
    return correlation + background


def _on_grid(patches: Tensor, grid: tuple[int, int]) -> Tensor:
    if patches.shape[1:3] == grid:
        return patches
    channels = patches.permute(0, 3, 1, 2)
    return F.interpolate(channels, size=grid, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)


def _parts(rows: NDArray[np.int64], length: int) -> list[NDArray[np.int64]]:
    return [rows[start : start + length] for start in range(0, len(rows), length)]


def _check(clip: ImageEncoder, guide: ImageEncoder, images: Images, recipe: DinoiserRecipe) -> None:
    if "maskclip" not in clip.methods:
        raise ValueError(
            f"{clip.name} is not a CLIP with readable blocks; its heat-map methods are {clip.methods}; expected "
            "'maskclip' among them"
        )
    if len(images) <= recipe.held:
        raise ValueError(
            f"found {len(images)} images, of which {recipe.held} are held out; expected more than are held out"
        )
    for encoder in (clip, guide):
        if recipe.size < encoder.patch:
            raise ValueError(
                f"size is {recipe.size} pixels, less than one patch of {encoder.name}; expected {encoder.patch} or more"
            )
