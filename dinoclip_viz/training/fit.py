"""Training of a projector from two stores of the same images: the best epoch's weights and the history."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dinoclip_viz.encoders.devices import AUTO, chosen_device
from dinoclip_viz.projector import INPUTS, Projector
from dinoclip_viz.store import FeatureStore, StoreError
from dinoclip_viz.tasks.retrieval.recall import recall
from dinoclip_viz.training.alignment.fit import fit_pair
from dinoclip_viz.training.claim import claim_run, one_run, save_run
from dinoclip_viz.training.loop import History, Loop, Watch
from dinoclip_viz.training.losses import clip_loss, relation_loss, siglip_loss, unit_norm_mse
from dinoclip_viz.training.pairs import Batch, Pairs, check_same_dtype
from dinoclip_viz.training.patches import fit_patch_head
from dinoclip_viz.training.precision import training_dtype
from dinoclip_viz.training.processes import Processes, join_processes
from dinoclip_viz.training.recipes import Recipe, find_recipe
from dinoclip_viz.training.reinforced import Views, reinforced_stores

log = logging.getLogger(__name__)

_ROWS = 4096  # images per projection outside of training


class Whole(nn.Module):
    """The learnable parameters of the losses: the scale of the cosines, and SigLIP's bias."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        start = torch.tensor(1 / recipe.temperature).log()
        self.scale = nn.Parameter(start, requires_grad=recipe.learn_temperature)
        self.bias = nn.Parameter(torch.tensor(-10.0), requires_grad=recipe.siglip > 0)


class Trained(nn.Module):
    """A head and the parameters of its losses, trained together."""

    def __init__(self, projector: Projector, recipe: Recipe) -> None:
        super().__init__()
        self.head, self.whole = projector.pooled_head, Whole(recipe)


@dataclass(frozen=True)
class Teacher:
    """The held-out images, and the teacher's R@1 on them."""

    batch: Batch
    image_to_text: float
    text_to_image: float


def fit_projector(
    images: FeatureStore | str | Path,
    targets: FeatureStore | str | Path | None = None,
    texts: FeatureStore | str | Path | None = None,
    recipe: str | Recipe = "dinov2-clip",
    folder: str | Path | None = None,
    init: str | Path | Projector | None = None,
    patches: tuple[FeatureStore, FeatureStore] | None = None,
    device: str | torch.device | None = AUTO,
    watch: Watch | None = None,
    dtype: str | torch.dtype | None = AUTO,
) -> tuple[Projector, History]:
    """A projector trained to map the features of one store to the vectors of another, and its history.

    Args:
        images: the store of the encoder to project, such as DINOv2's; for reinforced data, the reinforced store.
        targets: the teacher's store of the same images, such as CLIP's; for a recipe of both sides, the store with the
            text encoder's captions, which may be `images`; None for the first teacher of a reinforced store.
        texts: the store of the captions; by default the teacher's.
        recipe: a recipe, or its name.
        folder: for checkpoint, projector and `training.json`; the run resumes from its checkpoint. None saves nothing.
        init: a trained projector, its folder or hub id, to initialise the weights; its head must be the recipe's.
        patches: stores of both encoders with patches, for the patch head; by default `images` and `targets`.
        device: device to train on, as in `load_encoder`.
        watch: called with the record of each epoch.
        dtype: type that the layers compute in, as in `training_dtype`; weights and losses are float32.

    Returns:
        The projector of the best epoch, and a record per epoch: loss, rate, and on held-out images the cosine to the
        teacher and, with captions, R@1 in both directions and its ratio to the teacher's (`*_share`).

    Raises:
        StoreError: the stores hold different images, or features of one encoder in different dtypes, or lack captions,
            token vectors or patches that the recipe requires.
        ValueError: unknown dtype, device or recipe, one that does not fit the stores, or `init` with another head.
    """
    recipe = find_recipe(recipe)
    if recipe.reinforced:
        images, targets = reinforced_stores(images, targets, texts)
    if targets is None:
        raise ValueError(f"the recipe {recipe.name!r} needs targets; expected the store of a teacher")
    sources = [FeatureStore.open(store) if isinstance(store, str | Path) else store for store in (images, targets)]
    worded = FeatureStore.open(texts) if isinstance(texts, str | Path) else texts
    if recipe.side == "both":
        if init is not None or patches is not None:
            raise ValueError(f"the recipe {recipe.name!r} is of both sides; init and patches are for the other recipes")
        return fit_pair(sources[0], worded or sources[1], recipe, folder, device, watch, dtype)
    pairs = Pairs(sources[0], sources[1], worded, recipe.holdout, recipe.inputs)
    if recipe.reads_texts:
        pairs.check_captions()
    if len(pairs) < 2:
        raise StoreError(f"{sources[0].path} has {len(pairs)} training images; expected 2 or more")
    processes = join_processes()
    where = chosen_device(device)
    how = training_dtype(dtype, where, recipe.bf16)
    views = Views(sources[0], sources[1], recipe) if recipe.reinforced else None
    kept = Path(folder).expanduser() if folder is not None else None
    described = pairs.described() | (views.described() if views else {})
    seen = patches or (sources[0], sources[1])
    for one, other in zip(sources, seen, strict=True):
        check_same_dtype(one, other)
    with one_run(kept, processes.first):
        if kept is not None and processes.first:
            claim_run(kept, recipe, described)
        processes.wait()
        projector = _start(pairs, recipe, init)
        history = _fit_pooled(projector.to(where), pairs, views, recipe, kept, processes, watch, how)
        if projector.patch_head is not None:
            history += fit_patch_head(projector, *seen, recipe, kept, processes, watch, how)
        projector = projector.cpu().eval().requires_grad_(False)
        if recipe.half:
            projector = projector.half().float()  # the returned weights equal the saved ones
        if kept is not None and processes.first:
            how_computed = {"device": str(where), "dtype": str(how).removeprefix("torch.")}
            record = {"recipe": asdict(recipe), "images": len(pairs), "stores": described, **how_computed}
            save_run(projector, kept, {**record, "history": history}, recipe.half)
        processes.wait()
        return projector, history


def score_pairs(projector: Projector, batch: Batch) -> dict[str, float]:
    """Cosine to the teacher and, with captions, R@1 in both directions.

    Args:
        projector: of either side.
        batch: images, with all of their captions if R@1 is wanted.
    """
    device = projector.pooled_mean.device
    with torch.no_grad():
        if projector.side == "text":
            images = projector.choose(batch.pooled, batch.mean)
            words = _project(projector, batch.texts, device) if batch.texts is not None else None
            numbers = {}
        else:
            images = _project(projector, projector.choose(batch.pooled, batch.mean), device)
            words = batch.texts
            numbers = {"cosine": torch.cosine_similarity(images, batch.targets).mean().item()}
    if words is None or batch.owners is None or not len(batch.pooled):
        return numbers
    found = recall(images, words, batch.owners)
    return {**numbers, **{f"{way}_R@1": values["R@1"] for way, values in found.items()}}


def _start(pairs: Pairs, recipe: Recipe, init: str | Path | Projector | None) -> Projector:
    """The projector before its first step: new, or initialised from a trained one."""
    images, targets = pairs.images.settings, pairs.targets.settings
    if INPUTS[recipe.inputs] == 2 and images.dimension != images.patch_dimension:
        raise ValueError(
            f"{images.encoder}'s pooled vectors have {images.dimension} dimensions, its tokens "
            f"{images.patch_dimension}; expected equal widths; use a recipe with inputs 'mean' or 'pooled'"
        )
    on_images = recipe.side == "image"
    seen = images.dimension if recipe.inputs == "pooled" else images.patch_dimension
    torch.manual_seed(recipe.seed)
    projector = Projector(
        image_encoder=images.encoder,
        text_encoder=targets.encoder,
        image_space=images.patch_space,
        text_space=targets.space,
        image_dtype=images.dtype,
        text_dtype=targets.dtype,
        width=seen if on_images else targets.dimension,
        outputs=targets.dimension if on_images else seen,
        head=recipe.head,
        inputs=recipe.inputs,
        hidden=recipe.hidden,
        blocks=recipe.blocks,
        patch_head=on_images and recipe.patch_epochs > 0,
        patch_hidden=recipe.patch_hidden if on_images and recipe.patch_epochs > 0 else None,
        patch_blocks=recipe.patch_blocks if on_images and recipe.patch_epochs > 0 else None,
        side=recipe.side,
    )
    if init is None:
        if recipe.scale_inputs:
            projector.measure_input(_inputs(projector, pairs))
        return projector
    known = init if isinstance(init, Projector) else Projector.find(init)
    _copy_weights(projector, known)
    return projector


def _copy_weights(projector: Projector, known: Projector) -> None:
    """Copy the weights of a trained projector, including its patch head if both have one of the same sizes.

    Raises:
        ValueError: the first heads differ.
    """
    wanted, weights = projector.state_dict(), known.state_dict()

    def part(state: dict[str, Tensor], prefix: str) -> dict[str, tuple[int, ...]]:
        return {name: tuple(value.shape) for name, value in state.items() if name.startswith(prefix)}

    if part(wanted, "pooled_") != part(weights, "pooled_") or projector.inputs != known.inputs:
        raise ValueError(
            f"the initial projector has another head than the recipe: found {known.described()}; expected "
            f"{projector.described()}; change the recipe's head, hidden, blocks or inputs, or train without init"
        )
    same_patches = part(wanted, "patch_") == part(weights, "patch_")
    taken = {name: value for name, value in weights.items() if name.startswith("pooled_") or same_patches}
    projector.load_state_dict({**wanted, **taken})


def _inputs(projector: Projector, pairs: Pairs) -> Tensor:
    """(N, inputs) inputs of the head, of at most 32,768 images."""
    rows = pairs.train[:: max(1, len(pairs) // 32768)]
    batch = pairs.batch(rows)
    if projector.side == "text":
        if pairs.texts is None:
            raise StoreError(f"{pairs.targets.path} has no captions; embed its source with --texts")
        return torch.from_numpy(np.asarray(pairs.texts[: len(rows)], dtype=np.float32))
    return projector.choose(batch.pooled, batch.mean)


def _fit_pooled(
    projector: Projector,
    pairs: Pairs,
    views: Views | None,
    recipe: Recipe,
    folder: Path | None,
    processes: Processes,
    watch: Watch | None,
    dtype: torch.dtype,
) -> History:
    device = projector.pooled_mean.device
    trained = Trained(projector, recipe).to(device)
    size = min(recipe.batch, len(pairs)) // processes.count * processes.count
    loop = Loop(
        trained, recipe.epochs, len(pairs) // size, recipe.rate, recipe.decay, recipe.average, recipe.averaged,
        folder / "checkpoint.pt" if folder else None, processes,
    )  # fmt: skip
    teacher = _teacher(pairs)
    while not loop.stopped:
        order = pairs.order(recipe.seed, loop.epoch)
        for step in loop.run():
            rows = order[step * size : (step + 1) * size]
            chance = np.random.default_rng([recipe.seed, loop.epoch, step])
            with torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
                if views is not None:
                    loss = views.loss(projector, trained.whole.scale, rows, processes, chance)
                else:
                    batch = pairs.batch(rows, recipe.captions * recipe.reads_texts, chance).to(device)
                    loss = _loss(projector, trained.whole, batch, recipe, processes, chance)
            loop.update(loss)
        rate, last = loop.rate, trained.state_dict()
        last = {name: value.clone() for name, value in last.items()}
        trained.load_state_dict(loop.weights())
        record = {"rate": rate, **_judge(projector, teacher)}
        trained.load_state_dict(last)
        loop.end_epoch(record, _score(record, loop), recipe.patience)
        log.info("epoch %s", loop.history[-1])
        if watch:
            watch(loop.history[-1])
    trained.load_state_dict(loop.best)
    return loop.history


def _loss(
    projector: Projector, whole: Whole, batch: Batch, recipe: Recipe, processes: Processes, chance: np.random.Generator
) -> Tensor:
    """The recipe's loss on the whole batch, of which this process projects its slice."""
    pooled = projector.choose(batch.pooled, batch.mean)
    entering = batch.texts if recipe.side == "text" and batch.texts is not None else pooled
    mine = entering[processes.slice(len(entering))]
    if recipe.noise and recipe.scale_inputs:
        sampled = torch.from_numpy(chance.standard_normal(entering.shape, dtype=np.float32)).to(mine.device)
        scale = projector.pooled_deviation if recipe.scale_inputs else 1.0
        mine = mine + recipe.noise * scale * sampled[processes.slice(len(entering))]
    out = processes.gather(projector(mine)).float()
    images, texts = (pooled, out) if recipe.side == "text" else (out, batch.texts)
    loss = torch.zeros((), device=out.device)
    if recipe.mse:
        loss = loss + recipe.mse * unit_norm_mse(out, batch.targets)
    if recipe.cosine:
        loss = loss + recipe.cosine * (1 - torch.cosine_similarity(out, batch.targets).mean())
    if texts is None or batch.owners is None:
        return loss
    scale = whole.scale.exp()
    if recipe.clip:
        loss = loss + recipe.clip * clip_loss(images, texts, batch.owners, scale)
    if recipe.siglip:
        loss = loss + recipe.siglip * siglip_loss(images, texts, batch.owners, scale, whole.bias)
    if recipe.relation:
        loss = loss + recipe.relation * relation_loss(images, batch.targets, texts, scale)
    return loss


def _teacher(pairs: Pairs) -> Teacher:
    batch = pairs.held_out()
    if batch.texts is None or batch.owners is None or not len(batch.pooled):
        return Teacher(batch, 0.0, 0.0)
    found = recall(batch.targets, batch.texts, batch.owners)
    return Teacher(batch, found["image_to_text"]["R@1"], found["text_to_image"]["R@1"])


def _judge(projector: Projector, teacher: Teacher) -> dict[str, float]:
    """Scores of an epoch's weights on held-out images, and their ratio to the teacher's."""
    numbers = score_pairs(projector, teacher.batch) if len(teacher.batch.pooled) else {}
    for way in ("image_to_text", "text_to_image"):
        best = getattr(teacher, way)
        if best and f"{way}_R@1" in numbers:
            numbers[f"{way}_share"] = numbers[f"{way}_R@1"] / best
    return numbers


def _score(record: dict[str, float], loop: Loop) -> float:
    """The score that selects the best epoch: held-out R@1, else the cosine, else the negative loss."""
    ways = [value for name, value in record.items() if name.endswith("_R@1")]
    if ways:
        return sum(ways) / len(ways) + 1e-6 * record.get("cosine", 0.0)
    return record.get("cosine", -loop.loss)


def _project(projector: Projector, vectors: Tensor, device: torch.device) -> Tensor:
    return torch.cat([projector(part.to(device)).float().cpu() for part in vectors.split(_ROWS)])
