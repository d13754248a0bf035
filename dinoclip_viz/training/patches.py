"""Training a projector's second head: the image encoder's patches follow the teacher's own, place by place."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.dense import guided_pooling
from dinoclip_viz.projector import Projector, unit
from dinoclip_viz.store import FeatureStore, StoreError
from dinoclip_viz.training.loop import Loop
from dinoclip_viz.training.pairs import same_images
from dinoclip_viz.training.processes import Processes
from dinoclip_viz.training.recipes import Recipe

_CAPTIONS = 128
_LEAST_WEIGHT = 0.02

log = logging.getLogger(__name__)


def fit_patch_head(
    projector: Projector,
    images: FeatureStore,
    targets: FeatureStore,
    recipe: Recipe,
    folder: Path | None = None,
    processes: Processes | None = None,
    watch: Callable[[dict[str, float]], None] | None = None,
) -> list[dict[str, float]]:
    """Train the patch head in place; a record an epoch: loss, rate, and the cosine on held-out images.

    The target of a patch is the teacher's patch of the same place by MaskCLIP's path, after CLIP-DINOiser's pooling
    over the patches that the image encoder finds alike, if the recipe is guided. Patches that stand out of their
    image count for more.

    Args:
        projector: with a patch head.
        images: the image encoder's store, with patches.
        targets: the teacher's store of the same images, with patches by MaskCLIP's path, on the same grid.
        recipe: its `patch_*` settings.
        folder: where the run is kept; None keeps nothing.
        processes: those that share the run.
        watch: is told of each epoch.

    Raises:
        StoreError: the stores have no patches, or of different images or grids.
    """
    head = projector.patch_head
    if head is None:
        raise ValueError("the projector has no patch head to train; make it with patch_head=True")
    _check(images, targets)
    processes = processes or Processes()
    held = max(1, min(200, len(images) // 10))
    train = np.arange(len(images) - held)
    if not len(train):
        raise StoreError(f"{images.path} holds {len(images)} images; expected two or more")
    grid = images.patches.shape[1] * images.patches.shape[2] if images.patches is not None else 1
    together = max(1, recipe.patch_batch // grid)  # images a step
    together = max(processes.count, min(together, len(train)) // processes.count * processes.count)
    device = projector.pooled_mean.device
    if recipe.scale_inputs:
        some, _ = _grids(images, targets, train[:: max(1, len(train) // 500)], device, replace(recipe, guided=0.0))
        projector.patch_mean.copy_(some.flatten(0, 2).mean(0))
        projector.patch_deviation.copy_(some.flatten(0, 2).std(0) + 1e-4)
    loop = Loop(
        head, recipe.patch_epochs, max(1, len(train) // together), recipe.patch_rate, recipe.decay,
        "none", 1, folder / "checkpoint-patches.pt" if folder else None, processes,
    )  # fmt: skip
    while not loop.stopped:
        order = np.random.default_rng([recipe.seed, 1, loop.epoch]).permutation(train)
        for step in loop.run():
            rows = order[step * together : (step + 1) * together]
            entering, wanted = _grids(images, targets, rows[processes.slice(len(rows))], device, recipe)
            out = projector.project_patches(entering)
            apart = _distinctness(wanted)
            weights = apart / processes.mean(apart.mean())
            loss = (weights * (1 - torch.cosine_similarity(out, wanted, dim=-1))).mean()
            if recipe.patch_relation:
                words = _words(targets, np.random.default_rng([recipe.seed, 2, loop.epoch, step])).to(device)
                relation = _relation(out, wanted, words, 1 / recipe.temperature)  # (B, H, W)
                loss = loss + recipe.patch_relation * (weights * relation).mean()
            # each process sees its slice alone: the mean over the batch is the sum of the slices' shares
            loop.update(loss / processes.count)
        record = {"stage": 2.0, "rate": loop.rate, "patch_cosine": _held(projector, images, targets, recipe, held)}
        loop.end_epoch(record, record["patch_cosine"], 0)
        log.info("patches, epoch %s", loop.history[-1])
        if watch:
            watch(loop.history[-1])
    head.load_state_dict(loop.best)
    return loop.history


def _held(projector: Projector, images: FeatureStore, targets: FeatureStore, recipe: Recipe, held: int) -> float:
    rows = np.arange(len(images) - held, len(images))
    device = projector.pooled_mean.device
    found = []
    with torch.no_grad():
        for part in np.array_split(rows, max(1, len(rows) // 32)):
            entering, wanted = _grids(images, targets, part, device, recipe)
            found.append(torch.cosine_similarity(projector.project_patches(entering), wanted, dim=-1).flatten())
    return torch.cat(found).mean().item()


def _words(targets: FeatureStore, chance: np.random.Generator) -> Tensor:
    """(T, E) some captions' vectors, what patches are told apart by.

    Raises:
        StoreError: the store has no captions.
    """
    if targets.texts is None or not len(targets.texts):
        raise StoreError(f"{targets.path} has no captions; embed its source with --texts, or set patch_relation to 0")
    rows = chance.integers(len(targets.texts), size=_CAPTIONS)
    return torch.from_numpy(targets.texts[rows].astype(np.float32))


def _relation(out: Tensor, wanted: Tensor, words: Tensor, scale: float) -> Tensor:
    """(B, H, W) how far each patch's softmax over the captions is from that of the patch it follows."""
    ours, theirs = (scale * unit(patches) @ unit(words).T for patches in (out, wanted))  # (B, H, W, T)
    return F.kl_div(ours.log_softmax(-1), theirs.log_softmax(-1), log_target=True, reduction="none").sum(-1)


def _distinctness(wanted: Tensor) -> Tensor:
    """(B, H, W) how far each patch is from the mean of its image, which is its background.

    Without such weights the many patches of the background, which are alike, are all that the head learns.
    """
    each = unit(wanted)
    middle = unit(each.mean((1, 2), keepdim=True))
    return (1 - (each * middle).sum(-1)).clamp_min(_LEAST_WEIGHT)


def _grids(
    images: FeatureStore, targets: FeatureStore, rows: NDArray[np.int64], device: torch.device, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """(B, H, W, D) patches that go in and (B, H, W, E) what they should become."""
    if images.patches is None or targets.dense is None:
        raise StoreError("the stores have no patches")
    entering = torch.from_numpy(images.patches[rows].astype(np.float32)).to(device)
    wanted = torch.from_numpy(targets.dense[rows].astype(np.float32)).to(device)
    return entering, guided_pooling(wanted, entering, recipe.guided) if recipe.guided else wanted


def _check(images: FeatureStore, targets: FeatureStore) -> None:
    same_images(images, targets)
    for store, there, what in ((images, images.patches, "patches"), (targets, targets.dense, "patches of a CLIP")):
        if there is None:
            raise StoreError(
                f"{store.path} has no {what}; embed the source again with --patches full, or train without patches "
                "(patch_epochs 0)"
            )
    if images.patches is not None and targets.dense is not None and images.patches.shape[:3] != targets.dense.shape[:3]:
        raise StoreError(
            f"{images.path} has patches of {images.patches.shape[1:3]}, {targets.path} of {targets.dense.shape[1:3]}; "
            "embed both at sizes, or averaged to a number, that give one grid"
        )
