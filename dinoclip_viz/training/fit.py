"""Training a projector: from two stores of the same images to the best epoch's weights and their history."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dinoclip_viz.projector import INPUTS, Projector
from dinoclip_viz.store import FeatureStore, StoreError
from dinoclip_viz.tasks.retrieval.recall import recall
from dinoclip_viz.training.loop import Loop
from dinoclip_viz.training.losses import clip_loss, relation_loss, siglip_loss, unit_norm_mse
from dinoclip_viz.training.pairs import Batch, Pairs
from dinoclip_viz.training.patches import fit_patch_head
from dinoclip_viz.training.processes import Processes, join_processes
from dinoclip_viz.training.recipes import Recipe, find_recipe

log = logging.getLogger(__name__)

History = list[dict[str, float]]
Watch = Callable[[dict[str, float]], None]
"""Called with the record of each epoch as it ends."""

_ROWS = 4096  # images that are projected at once outside of training


class Whole(nn.Module):
    """What the losses themselves learn: the scale of cosines, and SigLIP's bias."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        start = torch.tensor(1 / recipe.temperature).log()
        self.scale = nn.Parameter(start, requires_grad=recipe.learn_temperature)
        self.bias = nn.Parameter(torch.tensor(-10.0), requires_grad=recipe.siglip > 0)


class Trained(nn.Module):
    """A head and what its losses learn, trained as one."""

    def __init__(self, projector: Projector, recipe: Recipe) -> None:
        super().__init__()
        self.head, self.whole = projector.pooled_head, Whole(recipe)


@dataclass(frozen=True)
class Teacher:
    """The held-out images, and how well the teacher retrieves them."""

    batch: Batch
    image_to_text: float
    text_to_image: float


def fit_projector(
    images: FeatureStore | str | Path,
    targets: FeatureStore | str | Path,
    texts: FeatureStore | str | Path | None = None,
    recipe: str | Recipe = "dinov2-clip",
    folder: str | Path | None = None,
    init: str | Path | Projector | None = None,
    patches: tuple[FeatureStore, FeatureStore] | None = None,
    device: str | torch.device | None = None,
    watch: Watch | None = None,
) -> tuple[Projector, History]:
    """A projector trained to carry the features of one store to the vectors of another, and its history.

    Args:
        images: the store of the encoder whose features go in, such as DINOv2's.
        targets: the teacher's store of the same images, such as CLIP's.
        texts: the store whose captions are used; by default the teacher's own.
        recipe: its name or itself.
        folder: where the run is kept, so that it goes on after it was stopped; the finished projector is saved there
            with `training.json`. None keeps nothing.
        init: a trained projector, or its folder, to start from; its head must be the recipe's.
        patches: stores of both encoders with patches, for the second head; by default `images` and `targets`.
        device: where it computes; by default cuda where there is one, else cpu.
        watch: is told of each epoch.

    Returns:
        The projector of the best epoch, and a record an epoch: loss, rate, and on held-out images the cosine to the
        teacher and, with captions, R@1 both ways and its share of the teacher's.

    Raises:
        StoreError: the stores do not belong together, or lack what the recipe needs.
        ValueError: the recipe does not exist or does not fit the stores, or `init` has another head.
    """
    recipe = find_recipe(recipe)
    sources = [FeatureStore.open(store) if isinstance(store, str | Path) else store for store in (images, targets)]
    worded = FeatureStore.open(texts) if isinstance(texts, str | Path) else texts
    pairs = Pairs(sources[0], sources[1], worded, recipe.holdout, recipe.inputs)
    if recipe.reads_texts:
        pairs.check_captions()
    if len(pairs) < 2:
        raise StoreError(f"{sources[0].path} has {len(pairs)} images to train on; expected two or more")
    processes = join_processes()
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    kept = Path(folder).expanduser() if folder is not None else None
    described = _described(pairs)
    if kept is not None and processes.first:
        _check_folder(kept, {"settings": asdict(recipe), "stores": described})
    processes.wait()
    projector = _start(pairs, recipe, init)
    history = _fit_pooled(projector.to(where), pairs, recipe, kept, processes, watch)
    if projector.patch_head is not None:
        seen = patches or (sources[0], sources[1])
        history += fit_patch_head(projector, *seen, recipe, kept, processes, watch)
    projector = projector.cpu().eval().requires_grad_(False)
    if recipe.half:
        projector = projector.half().float()  # what is returned is what is saved
    if kept is not None and processes.first:
        copy.deepcopy(projector).half().save_pretrained(kept) if recipe.half else projector.save_pretrained(kept)
        record = {"recipe": asdict(recipe), "images": len(pairs), "stores": described, "history": history}
        (kept / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    processes.wait()
    return projector, history


def score_pairs(projector: Projector, batch: Batch) -> dict[str, float]:
    """Cosine to the teacher and, with captions, R@1 both ways of some images."""
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
    """The projector before its first step: new, or the one to start from."""
    images, targets = pairs.images.settings, pairs.targets.settings
    if INPUTS[recipe.inputs] == 2 and images.dimension != images.patch_dimension:
        raise ValueError(
            f"{images.encoder}'s pooled vectors have {images.dimension} dimensions, its tokens "
            f"{images.patch_dimension}; take a recipe whose input is 'mean' or 'pooled'"
        )
    on_images = recipe.side == "image"
    seen = images.dimension if recipe.inputs == "pooled" else images.patch_dimension
    torch.manual_seed(recipe.seed)
    projector = Projector(
        image_encoder=images.encoder,
        text_encoder=targets.encoder,
        image_space=images.patch_space,
        text_space=targets.space,
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
    _take_over(projector, known)
    return projector


def _take_over(projector: Projector, known: Projector) -> None:
    """The weights of a trained projector, its patch head too where both have one of the same sizes.

    Raises:
        ValueError: the first heads differ.
    """
    wanted, weights = projector.state_dict(), known.state_dict()

    def part(state: dict[str, Tensor], prefix: str) -> dict[str, tuple[int, ...]]:
        return {name: tuple(value.shape) for name, value in state.items() if name.startswith(prefix)}

    if part(wanted, "pooled_") != part(weights, "pooled_") or projector.inputs != known.inputs:
        raise ValueError(
            f"the projector to start from has another head than the recipe: {known.described()} against "
            f"{projector.described()}; change the recipe's head, hidden, blocks or inputs, or start afresh"
        )
    same_patches = part(wanted, "patch_") == part(weights, "patch_")
    taken = {name: value for name, value in weights.items() if name.startswith("pooled_") or same_patches}
    projector.load_state_dict({**wanted, **taken})


def _inputs(projector: Projector, pairs: Pairs) -> Tensor:
    """(N, inputs) what goes in, of 32,768 images at most."""
    rows = pairs.train[:: max(1, len(pairs) // 32768)]
    batch = pairs.batch(rows)
    if projector.side == "text":
        if pairs.texts is None:
            raise StoreError(f"{pairs.targets.path} has no captions; embed its source with --texts")
        return torch.from_numpy(np.asarray(pairs.texts[: len(rows)], dtype=np.float32))
    return projector.choose(batch.pooled, batch.mean)


def _fit_pooled(
    projector: Projector, pairs: Pairs, recipe: Recipe, folder: Path | None, processes: Processes, watch: Watch | None
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
            batch = _on(pairs.batch(rows, recipe.captions * recipe.reads_texts, chance), device)
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bf16 and device.type == "cuda"):
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
    """The recipe's loss of the whole batch, of which this process computes its slice."""
    pooled = projector.choose(batch.pooled, batch.mean)
    entering = batch.texts if recipe.side == "text" and batch.texts is not None else pooled
    mine = entering[processes.slice(len(entering))]
    if recipe.noise and recipe.scale_inputs:
        drawn = torch.from_numpy(chance.standard_normal(entering.shape, dtype=np.float32)).to(mine.device)
        scale = projector.pooled_deviation if recipe.scale_inputs else 1.0
        mine = mine + recipe.noise * scale * drawn[processes.slice(len(entering))]
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
    """What an epoch's weights do on held-out images, and how that compares with the teacher."""
    numbers = score_pairs(projector, teacher.batch) if len(teacher.batch.pooled) else {}
    for way in ("image_to_text", "text_to_image"):
        best = getattr(teacher, way)
        if best and f"{way}_R@1" in numbers:
            numbers[f"{way}_share"] = numbers[f"{way}_R@1"] / best
    return numbers


def _score(record: dict[str, float], loop: Loop) -> float:
    """What the best epoch is chosen by: held-out R@1 both ways, else the cosine, else the loss."""
    ways = [value for name, value in record.items() if name.endswith("_R@1")]
    if ways:
        return sum(ways) / len(ways) + 1e-6 * record.get("cosine", 0.0)
    return record.get("cosine", -loop.loss)


def _project(projector: Projector, vectors: Tensor, device: torch.device) -> Tensor:
    return torch.cat([projector(part.to(device)).float().cpu() for part in vectors.split(_ROWS)])


def _on(batch: Batch, device: torch.device) -> Batch:
    if device.type == "cpu":
        return batch
    moved = [
        None if one is None else one.to(device, non_blocking=True)
        for one in (batch.pooled, batch.mean, batch.targets, batch.texts, batch.owners)
    ]
    return Batch(*moved)  # type: ignore[arg-type]


def _check_folder(folder: Path, run: dict[str, object]) -> None:
    """Nothing, if the folder is new or holds this very run; what the run is, is noted there.

    Raises:
        ValueError: it holds another run, or a model that no run made.
    """
    noted = folder / "run.json"
    wanted = json.dumps(run, indent=1) + "\n"
    if noted.is_file():
        known = json.loads(noted.read_text(encoding="utf-8"))
        other = next((part for part in run if known.get(part) != json.loads(wanted)[part]), None)
        if other:
            raise ValueError(f"{folder} holds a run with other {other} (see {noted.name}); choose another folder")
    elif (folder / "config.json").is_file():
        raise ValueError(f"{folder} holds a model that no run here made; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    noted.write_text(wanted, encoding="utf-8")


def _described(pairs: Pairs) -> dict[str, object]:
    return {
        name: {
            "encoder": store.settings.encoder,
            "source": store.settings.source,
            "size": store.settings.size,
            "images": len(store),
        }
        for name, store in (("images", pairs.images), ("targets", pairs.targets), ("texts", pairs.worded))
    }
