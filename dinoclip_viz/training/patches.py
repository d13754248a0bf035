"""Training of a projector's patch head, which maps the image encoder's patches to the teacher's."""

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
    dtype: torch.dtype = torch.float32,
) -> list[dict[str, float]]:
    """Train the patch head in place and return one record per epoch: loss, rate, and the cosine on held-out images.

    The target of a patch is the teacher's patch at the same position by MaskCLIP's path; if the recipe is guided, after
    CLIP-DINOiser's pooling over the patches that are similar to the image encoder. Patches that differ from the mean of
    their image are weighted higher.

    Args:
        projector: with a patch head.
        images: the image encoder's store, with patches.
        targets: the teacher's store of the same images, with patches by MaskCLIP's path, on the same grid.
        recipe: its `patch_*` settings.
        folder: for the checkpoint; None saves none.
        processes: the processes of the run.
        watch: called with the record of each epoch.
        dtype: type that the head computes in: float32, or bfloat16 by autocast.

    Raises:
        StoreError: the stores have no patches, or different images or grids.
        ValueError: the projector has no patch head.
    """
    head = projector.patch_head
    if head is None:
        raise ValueError("the projector has no patch head; expected one; create it with patch_head=True")
    _check(images, targets)
    processes = processes or Processes()
    held = max(1, min(200, len(images) // 10))
    train = np.arange(len(images) - held)
    if not len(train):
        raise StoreError(f"{images.path} holds {len(images)} images; expected 2 or more")
    grid = images.patches.shape[1] * images.patches.shape[2] if images.patches is not None else 1
    together = max(1, recipe.patch_batch // grid)  # images per step
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
            with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
                out = projector.project_patches(entering)
            out = out.float()
            distance = _distinctness(wanted)
            weights = distance / processes.mean(distance.mean())
            loss = (weights * (1 - torch.cosine_similarity(out, wanted, dim=-1))).mean()
            if recipe.patch_relation:
                words = _words(targets, np.random.default_rng([recipe.seed, 2, loop.epoch, step])).to(device)
                relation = _relation(out, wanted, words, 1 / recipe.temperature)  # (B, H, W)
                loss = loss + recipe.patch_relation * (weights * relation).mean()
            # each process computes its slice only: the mean over the batch is the mean of the slices' means
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
    """(T, E) vectors of random captions, for the relation loss.

    Raises:
        StoreError: the store has no captions.
    """
    if targets.texts is None or not len(targets.texts):
        raise StoreError(f"{targets.path} has no captions; embed its source with --texts, or set patch_relation to 0")
    rows = chance.integers(len(targets.texts), size=_CAPTIONS)
    return torch.from_numpy(targets.texts[rows].astype(np.float32))


def _relation(out: Tensor, wanted: Tensor, words: Tensor, scale: float) -> Tensor:
    """(B, H, W) divergence of each patch's softmax over the captions from that of its target."""
    ours, theirs = (scale * unit(patches) @ unit(words).T for patches in (out, wanted))  # (B, H, W, T)
    return F.kl_div(ours.log_softmax(-1), theirs.log_softmax(-1), log_target=True, reduction="none").sum(-1)


def _distinctness(wanted: Tensor) -> Tensor:
    """(B, H, W) cosine distance of each patch from the mean of its image.

    As weights, they keep the many similar patches of the background from dominating the loss.
    """
    each = unit(wanted)
    middle = unit(each.mean((1, 2), keepdim=True))
    return (1 - (each * middle).sum(-1)).clamp_min(_LEAST_WEIGHT)


def _grids(
    images: FeatureStore, targets: FeatureStore, rows: NDArray[np.int64], device: torch.device, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """(B, H, W, D) input patches and (B, H, W, E) their targets."""
    if images.patches is None or targets.dense is None:
        raise StoreError(f"{images.path} or {targets.path} has no patches; embed the source again with --patches full")
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
            "expected one grid; embed both at matching sizes"
        )
