"""Training of a projector of both sides from the stores of two frozen unimodal encoders."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dinoclip_viz.encoders.devices import chosen_device
from dinoclip_viz.projector import INPUTS, Projector
from dinoclip_viz.projector.heads import published_hidden
from dinoclip_viz.store import FeatureStore
from dinoclip_viz.tasks.retrieval.recall import recall
from dinoclip_viz.tasks.retrieval.stored import stored_images, stored_texts, tensor
from dinoclip_viz.training.alignment.closed import cca, covariances, procrustes
from dinoclip_viz.training.alignment.data import Aligned, AlignedBatch
from dinoclip_viz.training.claim import claim_run, one_run, save_run
from dinoclip_viz.training.loop import History, Loop, Watch
from dinoclip_viz.training.losses import clip_loss, false_negatives, siglip_loss
from dinoclip_viz.training.precision import training_dtype
from dinoclip_viz.training.processes import Processes
from dinoclip_viz.training.recipes import Recipe

log = logging.getLogger(__name__)

_LOWEST, _HIGHEST = 0.001, 0.5  # freeze-align's range of the temperature
_BLOCK = 8192  # captions per block of a closed-form solution


class PairLoss(nn.Module):
    """The loss of a batch, with its learnable temperature, and bias for SigLIP's.

    CLIP's temperature divides the cosines and is clamped to .001 to .5, as in freeze-align; SigLIP's scale is learnt as
    its logarithm, from a bias of -10.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self._recipe = recipe
        start = recipe.temperature if recipe.clip else -math.log(recipe.temperature)
        self.start = nn.Parameter(torch.tensor(start), requires_grad=recipe.learn_temperature)
        self.bias = nn.Parameter(torch.tensor(-10.0), requires_grad=recipe.siglip > 0)

    @property
    def scale(self) -> Tensor:
        """The factor of the cosines."""
        return 1 / self.start.clamp(_LOWEST, _HIGHEST) if self._recipe.clip else self.start.exp()

    def forward(self, images: Tensor, texts: Tensor, batch: AlignedBatch) -> Tensor:
        """The loss of (B, D) images and (T, D) texts, raw vectors."""
        if self._recipe.clip:
            with torch.no_grad():
                self.start.clamp_(_LOWEST, _HIGHEST)
        ignored = false_negatives(batch.owners, batch.captions, len(images)) if self._recipe.mask_equal else None
        if self._recipe.clip:
            return self._recipe.clip * clip_loss(images, texts, batch.owners, self.scale, ignored)
        return self._recipe.siglip * siglip_loss(images, texts, batch.owners, self.scale, self.bias, ignored)


class TrainedPair(nn.Module):
    """A projector of both sides and its loss, trained together."""

    def __init__(self, projector: Projector, recipe: Recipe) -> None:
        super().__init__()
        self.projector, self.loss = projector, PairLoss(recipe)

    def forward(self, batch: AlignedBatch) -> tuple[Tensor, Tensor]:
        """(B, D) and (T, D) raw vectors of the images and texts of a batch."""
        images = self.projector.image_vectors(batch.pooled, batch.mean, batch.patches)
        side = self.projector.text_side
        if side is None:
            raise ValueError("the projector has no text side; expected side='both'")
        return images, side(batch.texts, batch.mask)


def fit_pair(
    images: FeatureStore,
    worded: FeatureStore,
    recipe: Recipe,
    folder: str | Path | None = None,
    device: str | torch.device | None = "auto",
    watch: Watch | None = None,
    dtype: str | torch.dtype | None = "auto",
) -> tuple[Projector, History]:
    """A projector of both sides, trained by a recipe of both sides or in closed form, and its history.

    Args:
        images: the image encoder's store, with the features that the recipe reads.
        worded: the store of the same images with the text encoder's captions.
        recipe, folder, device, watch, dtype: as in `fit_projector`.

    Raises:
        StoreError: as in `Aligned`.
        ValueError: the recipe does not fit the stores, the folder holds another run, or several processes were started.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(f"the recipe {recipe.name!r} is trained in one process; found several; start it alone")
    data = Aligned(images, worded, recipe)
    where = chosen_device(device)
    how = training_dtype(dtype, where, recipe.bf16)
    kept = Path(folder).expanduser() if folder is not None else None
    described = data.described()
    with one_run(kept):
        if kept is not None:
            claim_run(kept, recipe, described)
        projector = _start(data, recipe).to(where)
        history = _solve(projector, data, recipe) if recipe.closed else _fit(projector, data, recipe, kept, watch, how)
        projector = projector.cpu().eval().requires_grad_(False)
        if recipe.half:
            projector = projector.half().float()  # the returned weights equal the saved ones
        if kept is not None:
            computed = {"device": str(where), "dtype": str(how).removeprefix("torch.")}
            record = {"recipe": asdict(recipe), "images": len(data.train), "stores": described, **computed}
            save_run(projector, kept, {**record, "history": history}, recipe.half)
        return projector, history


def score_aligned(projector: Projector, data: Aligned) -> dict[str, float]:
    """R@1 in both directions on the held-out images with all of their captions; nothing without held-out images."""
    if not len(data.held):
        return {}
    captions = data.captions_of(data.held)
    images, texts = stored_images(projector, data.images, data.held), stored_texts(projector, data.worded, captions)
    found = recall(images, texts, data.owners[captions] - data.held[0])
    return {f"{way}_R@1": values["R@1"] for way, values in found.items()}


def _start(data: Aligned, recipe: Recipe) -> Projector:
    """The projector before its first step."""
    images, texts = data.images.settings, data.worded.settings
    if recipe.inputs in ("pooled+mean", "pooled+patches") and images.dimension != images.patch_dimension:
        raise ValueError(
            f"{images.encoder}'s pooled vectors have {images.dimension} dimensions, its tokens "
            f"{images.patch_dimension}; expected equal widths; use a recipe with inputs 'mean' or 'pooled'"
        )
    width = images.patch_dimension if recipe.inputs == "mean" else images.dimension
    entering = width * INPUTS[recipe.inputs]
    tokens = recipe.text_inputs == "tokens"
    text_width = texts.token_dimension if tokens else texts.text_dimension
    outputs = recipe.outputs or entering
    if recipe.closed:
        outputs = min(recipe.outputs or entering, entering, text_width)
    text_hidden = recipe.text_hidden or (outputs if tokens else published_hidden(recipe.text_head, text_width, outputs))
    torch.manual_seed(recipe.seed)
    projector = Projector(
        image_encoder=images.encoder,
        text_encoder=texts.texts,
        image_space=images.patch_space,
        text_space=texts.text_space,
        image_dtype=images.dtype,
        text_dtype=texts.text_dtype,
        width=width,
        outputs=outputs,
        head=recipe.head,
        inputs=recipe.inputs,
        hidden=recipe.hidden or published_hidden(recipe.head, entering, outputs),
        blocks=recipe.blocks,
        patch_head=recipe.inputs == "pooled+patches",
        side="both",
        text_head=recipe.text_head,
        text_inputs=recipe.text_inputs,
        text_width=text_width,
        text_hidden=text_hidden,
    )
    if recipe.scale_inputs and not recipe.closed and recipe.inputs != "pooled+patches" and not tokens:
        _measure(projector, data)
    return projector


def _measure(projector: Projector, data: Aligned) -> None:
    """Set mean and deviation of both sides' inputs, from at most 32,768 of each."""
    rows = data.train[:: max(1, len(data.train) // 32768)]
    projector.measure_input(data.image_inputs(rows))
    captions = data.captions_of(data.train)
    side, texts = projector.text_side, data.worded.texts
    if side is not None and texts is not None:
        some = tensor(texts[captions[:: max(1, len(captions) // 32768)]])
        side.mean.copy_(some.mean(0))
        side.deviation.copy_(some.std(0) + 1e-4)


def _fit(
    projector: Projector, data: Aligned, recipe: Recipe, folder: Path | None, watch: Watch | None, dtype: torch.dtype
) -> History:
    device = projector.pooled_mean.device
    trained = TrainedPair(projector, recipe).to(device)
    size = min(recipe.batch, len(data.train))
    loop = Loop(
        trained, recipe.epochs, len(data.train) // size, recipe.rate, recipe.decay, recipe.average, recipe.averaged,
        folder / "checkpoint.pt" if folder else None, Processes(),
    )  # fmt: skip
    while not loop.stopped:
        order = np.random.default_rng([recipe.seed, loop.epoch]).permutation(data.train)
        trained.train()
        for step in loop.run():
            chance = np.random.default_rng([recipe.seed, loop.epoch, step])
            torch.manual_seed(int(chance.integers(1 << 62)))  # of dropout, so that a resumed run continues it
            batch = data.batch(order[step * size : (step + 1) * size], chance).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
                seen, said = trained(batch)
            loop.update(trained.loss(seen.float(), said.float(), batch))
        rate, last = loop.rate, {name: value.clone() for name, value in trained.state_dict().items()}
        trained.load_state_dict(loop.weights())
        trained.eval()
        found = score_aligned(projector, data)
        record = {"rate": rate, "temperature": 1 / trained.loss.scale.item(), **found}
        trained.load_state_dict(last)
        score = sum(found.values()) / len(found) if found else -loop.loss
        loop.end_epoch(record, score, recipe.patience)
        log.info("epoch %s", loop.history[-1])
        if watch:
            watch(loop.history[-1])
    trained.load_state_dict(loop.best)
    if projector.text_side is not None:
        projector.text_side.logit_scale.fill_(trained.loss.scale.item())
    return loop.history


@torch.no_grad()
def _solve(projector: Projector, data: Aligned, recipe: Recipe) -> History:
    """Set the linear heads of both sides in closed form; the history is one record."""
    side = projector.text_side
    heads = projector.pooled_head, side.head if side is not None else None
    if side is None or not isinstance(heads[0], nn.Linear) or not isinstance(heads[1], nn.Linear):
        raise ValueError(
            f"the recipe {recipe.name!r} has heads that are not linear; expected head and text_head linear"
        )
    found = covariances(_blocks(data))
    maps = procrustes(found, len(heads[0].weight)) if recipe.closed == "procrustes" else None
    for head, weights in zip(heads, maps or cca(found, recipe.ridge, len(heads[0].weight)), strict=True):
        if isinstance(head, nn.Linear):
            head.weight.copy_(weights)
            head.bias.zero_()
    projector.pooled_mean.copy_(found.mean_x)
    side.mean.copy_(found.mean_y)
    side.logit_scale.fill_(1 / recipe.temperature)
    projector.eval()
    return [{"epoch": 1.0, "loss": _distance(projector, data), "rate": 0.0, **score_aligned(projector, data)}]


def _blocks(data: Aligned) -> Iterator[tuple[Tensor, Tensor]]:
    """(n, D) images and (n, E) captions of the training images, pair by pair."""
    captions, texts = data.captions_of(data.train), data.worded.texts
    for start in range(0, len(captions), _BLOCK):
        some = captions[start : start + _BLOCK]
        if texts is not None:
            yield data.image_inputs(data.owners[some]), tensor(texts[some])


def _distance(projector: Projector, data: Aligned) -> float:
    """Mean of 1 - cosine of the training pairs, of at most one block of captions."""
    captions = data.captions_of(data.train)[:_BLOCK]
    images = stored_images(projector, data.images, data.owners[captions])
    return 1 - torch.cosine_similarity(images, stored_texts(projector, data.worded, captions)).mean().item()
