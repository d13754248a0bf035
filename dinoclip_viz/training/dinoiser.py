"""Training CLIP-DINOiser's two convolutions: what a DINO finds alike, and where it finds things, learnt by a CLIP."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

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
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.training.claim import claim
from dinoclip_viz.training.loop import Loop
from dinoclip_viz.training.processes import Processes

LEVELS = (0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
"""Similarities that a trained head is tried with: what it learns is nearer to a probability than to a cosine."""
HEAD, CHECKPOINT = "dinoiser.safetensors", "checkpoint.pt"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DinoiserRecipe:
    """How the convolutions are trained; the defaults are the paper's.

    Attributes:
        size: side in pixels of the square that images are stretched to.
        batch: images a step.
        steps: in all.
        rounds: parts that the steps fall into; each ends with a record and a checkpoint.
        rate: highest learning rate of the correlation layer; background_rate: of the background layer.
        decay: weight decay of both.
        alike: cosine of the guide's values above which two patches are alike.
        background: cosine of the guide's patches from which a patch is background (FOUND).
        channels: of the correlation layer.
        least: similarity below which two patches do not mix when the layers are used; None takes, of `LEVELS`, the one
            by which their pooling agrees best with the guide's on the held-out images.
        held: images kept out of training, by which rounds are judged.
        kept: images whose features stay in memory, as float16, so that a second look costs no pass.
        seed: of weights and order.
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
                raise ValueError(f"{name} is {getattr(self, name)}; expected more than 0")
        if self.rounds > self.steps:
            raise ValueError(f"{self.rounds} rounds of {self.steps} steps; expected at least one step a round")


Images = Sequence[Callable[[], Image.Image]]
"""The images to train on, each opened when it is called."""


def fit_dinoiser(
    clip: ImageEncoder,
    guide: ImageEncoder,
    images: Images,
    recipe: DinoiserRecipe | None = None,
    folder: Path | None = None,
    watch: Callable[[dict[str, float]], None] | None = None,
) -> tuple[DinoiserHead, list[dict[str, float]]]:
    """The trained layers, those of the best round on held-out images, and a record a round.

    Loss = BCE(the layers' own correlations, at least 0; the guide's values alike by a cosine above `alike`) +
    BCE(background layer; FOUND's objects in the guide's patches). Wysoczańska et al., CLIP-DINOiser, ECCV 2024, section
    3.3. Both encoders stay frozen; a run in a folder goes on where it was stopped.

    Args:
        clip: a CLIP whose blocks can be read.
        guide: the DINO that teaches.
        images: at least one more than are held out.
        recipe: the paper's by default.
        folder: where checkpoint, curve and layers are kept; None keeps nothing.
        watch: is told of each round.

    Raises:
        ValueError: too few images, encoders that cannot be read, or a folder with a run of other settings.
    """
    recipe = recipe or DinoiserRecipe()
    _check(clip, guide, images, recipe)
    if folder is not None:
        said = {"clip": clip.space, "guide": guide.space, "images": len(images)}
        claim(folder, {**said, **asdict(recipe)})
    torch.manual_seed(recipe.seed)
    head = DinoiserHead(clip.patch_dimension, recipe.channels, clip.patch_space, recipe.alike)
    loop = Loop(
        head, recipe.rounds, max(1, recipe.steps // recipe.rounds), recipe.rate, recipe.decay, "none", 1,
        folder / CHECKPOINT if folder else None, Processes(), {"bkg_decoder": recipe.background_rate},
    )  # fmt: skip
    order = np.random.default_rng([recipe.seed, 0]).permutation(len(images))
    held, train = order[: recipe.held], order[recipe.held :]
    look = Looking(clip, guide, images, recipe)
    judged = [look.at(part) for part in _parts(held, recipe.batch)]
    while not loop.stopped:
        for step in loop.run():
            chance = np.random.default_rng([recipe.seed, 1, loop.epoch, step])
            rows = chance.choice(train, size=recipe.batch, replace=len(train) < recipe.batch)
            loop.update(_loss(head, look.at(rows)))
        with torch.no_grad():
            losses = [_loss(head, seen).item() * len(seen.middle) for seen in judged]
        score = sum(losses) / len(held)
        loop.end_epoch({"rate": loop.rate, "held_loss": score}, -score, 0)
        log.info("round %s", loop.history[-1])
        if watch:
            watch(loop.history[-1])
    head.load_state_dict(loop.best)
    head.eval().requires_grad_(False)
    head.least = recipe.least if recipe.least is not None else _agreeing(head, look, held)
    if folder is not None:
        head.save(folder / HEAD)
        (folder / "history.json").write_text(json.dumps(loop.history, indent=1))
    return head, loop.history


@dataclass(frozen=True)
class Seen:
    """A batch as the loss needs it.

    Attributes:
        middle: (B, H, W, width) of the CLIP's third-last block.
        alike: (B, N, N) bool, which patches the guide finds alike.
        objects: (B, H, W) bool, what is no background to the guide.
    """

    middle: Tensor
    alike: Tensor
    objects: Tensor


class Looking:
    """Both encoders' view of the images; some of it kept.

    Args:
        clip, guide, images, recipe: as in `fit_dinoiser`.
    """

    def __init__(self, clip: ImageEncoder, guide: ImageEncoder, images: Images, recipe: DinoiserRecipe) -> None:
        self.clip, self.guide, self.images, self.recipe = clip, guide, images, recipe
        self._kept: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def at(self, rows: NDArray[np.int64]) -> Seen:
        """What is seen in the images of these numbers."""
        new = [int(row) for row in dict.fromkeys(rows.tolist()) if row not in self._kept]
        found = dict(self._kept)
        if new:
            found |= zip(new, self._encoded(new), strict=True)
        self._kept |= {row: found[row] for row in new[: max(0, self.recipe.kept - len(self._kept))]}
        middle, values, objects = (torch.stack(part) for part in zip(*(found[int(row)] for row in rows), strict=True))
        unit = F.normalize(values.float().flatten(1, 2), dim=-1)
        return Seen(middle.float(), unit @ unit.mT > self.recipe.alike, objects)

    def _encoded(self, rows: Sequence[int]) -> list[tuple[Tensor, Tensor, Tensor]]:
        side = self.recipe.size
        square = [self.images[row]().resize((side, side), Image.Resampling.BICUBIC) for row in rows]
        middle = self.clip.encode(square, side, "whole", [MIDDLE]).dense[MIDDLE]
        taught = self.guide.encode(square, side, "whole", [VALUES])
        grid = (middle.shape[1], middle.shape[2])
        objects = ~found_background(_on_grid(taught.patches, grid), alike=self.recipe.background)
        return list(zip(middle.half(), _on_grid(taught.dense[VALUES], grid).half(), objects, strict=True))


def _agreeing(head: DinoiserHead, look: Looking, held: NDArray[np.int64]) -> float:
    """The level at which the layers' pooling is nearest to the guide's, by the mean cosine of the patches."""
    apart = dict.fromkeys(LEVELS, 0.0)
    side = look.recipe.size
    for row in held.tolist():
        square = [look.images[row]().resize((side, side), Image.Resampling.BICUBIC)]
        seen = look.clip.encode(square, side, "whole", ["maskclip", MIDDLE])
        taught = look.guide.encode(square, side, "whole", [VALUES]).dense[VALUES]
        wanted = guided_pooling(seen.dense["maskclip"], taught, look.recipe.alike)
        alike = head.alike(seen.dense[MIDDLE])
        for level in LEVELS:
            pooled = guided_pooling(seen.dense["maskclip"], alike, level)
            apart[level] += (1 - F.cosine_similarity(pooled, wanted, dim=-1)).mean().item()
    return min(LEVELS, key=apart.__getitem__)


def _loss(head: DinoiserHead, seen: Seen) -> Tensor:
    unit = head.alike(seen.middle).flatten(1, 2)  # (B, N, channels)
    own = (unit @ unit.mT).clamp(0, 1)
    correlation = F.binary_cross_entropy(own, seen.alike.float())
    background = F.binary_cross_entropy_with_logits(head.objects(seen.middle), seen.objects.float())
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
        raise ValueError(f"{clip.name} is no CLIP whose blocks can be read; its heat-map methods are {clip.methods}")
    if len(images) <= recipe.held:
        raise ValueError(f"{len(images)} images, of which {recipe.held} are held out; expected more")
    for encoder in (clip, guide):
        if recipe.size < encoder.patch:
            raise ValueError(f"size is {recipe.size} pixels, less than one patch of {encoder.name}")
