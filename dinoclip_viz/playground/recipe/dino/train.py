"""Training of playground-dino: a DINOv2-shaped encoder of 1.2 M parameters, self-supervised on images.

This is not DINOv2's training. Every layout is rendered in two looks, and the losses are:

- dense InfoNCE between patches at the same position of the same object, with patches of other images as negatives, and
  SwAV clusters of patches that the two views must agree on;
- InfoNCE between the CLS tokens of two crops of one layout in its two looks, after an MLP and without it, and SwAV
  clusters likewise;
- the same tokens off the edges of both looks, where the background is another texture;
- prediction by every patch, also by masked ones, of the edges common to both looks (histograms of oriented gradients,
  fine and coarse), which are zero on the background;
- linear prediction of the colours on these edges, from CLS and the mean of all tokens, and of the colours and textures
  elsewhere, from CLS alone, so that the patches of the background stay similar;
- a penalty on the position information of the patches.

No captions, classes, parts, masks or depths are used.
"""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.playground.recipe import views
from dinoclip_viz.playground.recipe.dino.crops import (
    block_mask,
    crop_pair,
    image_energy,
    matched_positions,
    matched_tokens,
)
from dinoclip_viz.playground.recipe.dino.edges import appearance, common_edges, off_edges
from dinoclip_viz.playground.recipe.dino.encoder import Heads, embed, encode, new_model
from dinoclip_viz.playground.recipe.dino.losses import dense_bias, info_nce, position_variance, swapped_clusters
from dinoclip_viz.playground.recipe.dino.settings import PATCH, DinoRecipe
from dinoclip_viz.playground.recipe.images import Images
from dinoclip_viz.playground.recipe.loop import Loop
from dinoclip_viz.playground.recipe.optimiser import Optimiser

if TYPE_CHECKING:
    from transformers import Dinov2Model


def train_dino(
    images: Images, folder: Path, recipe: DinoRecipe, device: str | torch.device = "cpu", start: Path | None = None
) -> Path:
    """Train in `folder`, resuming an earlier call, and return the folder of the float16 model.

    Args:
        images: training images.
        folder: for the checkpoint and the model.
        recipe: settings.
        device: of the training; on a GPU the forward passes are in bfloat16.
        start: folder of an earlier model whose weights the encoder starts from; None starts from random weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    energy = image_energy(images, folder).to(device)
    first = torch.arange(min(400, len(images)))
    sample = views.normalise(images.pick(first, torch.zeros_like(first)), views.IMAGENET)
    patches = F.unfold(F.avg_pool2d(sample, 2), PATCH, stride=PATCH).mT.reshape(-1, 3 * PATCH * PATCH)
    model, heads = new_model(patches[:20000], recipe), Heads()
    if start is not None:
        model.load_state_dict(type(model).from_pretrained(start, dtype=torch.float32).state_dict())
    model, heads = model.to(device), heads.to(device)
    named = [*model.named_parameters(), *((f"heads.{name}", p) for name, p in heads.named_parameters())]
    optimiser = Optimiser(named, recipe.rate, recipe.decay, recipe.clip)
    mixed = torch.device(device).type == "cuda"
    loop = Loop(folder, {"model": model, "heads": heads}, optimiser, recipe.steps, recipe.seed, device, mixed)
    images = images.to(device)
    for step in loop.run():
        losses = pair_losses(loop, model, heads, images, energy, recipe)
        clusters = recipe.cluster_weight if loop.progress >= recipe.cluster_from else 0.0
        weights = {
            "cls": 1.0, "plain": recipe.plain_weight, "dense": 1.0, "calm": recipe.calm_weight,
            "edges": recipe.edge_weight, "look": recipe.look_weight,
            "cls_clusters": clusters, "patch_clusters": clusters, "position": recipe.position_weight,
        }  # fmt: skip
        total = torch.stack([weights[name] * value for name, value in losses.items()]).sum()
        total.backward()
        loop.update()
        if step % 50 == 49:
            loop.record(**{name: value.item() for name, value in losses.items()})
    return save_dino(loop, recipe)


def pair_losses(
    loop: Loop, model: Dinov2Model, heads: Heads, images: Images, energy: Tensor, recipe: DinoRecipe
) -> dict[str, Tensor]:
    """Name -> unweighted loss of one batch of pairs."""
    chance, batch = loop.generator(), recipe.batch
    size, keep = next((size, keep) for start, size, keep in reversed(recipe.phases) if loop.progress >= start)
    side = size // PATCH
    rows = views.below(chance, len(images), batch).sort().values
    swap = views.below(chance, 2, batch)
    looks, centres = images.pick(rows), energy[rows]  # (B, 2, 3, S, S), (B, 256)
    every = torch.arange(batch, device=rows.device)
    mine, theirs = looks[every, swap], looks[every, 1 - swap]  # (B, 3, S, S)
    first, second = crop_pair(centres, size, chance)
    a, a_other = views.crop(mine, first, size), views.crop(theirs, first, size)
    same = views.rand(chance, batch) < recipe.same_look
    alike = same[:, None, None, None]
    b, b_other = (
        views.crop(torch.where(alike, one, other), second, size) for one, other in ((mine, theirs), (theirs, mine))
    )
    edges_a, own_a, around_a = common_edges(a, a_other)
    edges_b, _, around_b = common_edges(b, b_other)
    kept = views.rand(chance, batch, side * side).argsort(1)[:, : int(side * side * keep)]  # (B, K)

    def pick(values: Tensor) -> Tensor:
        return values.gather(1, kept[..., None].expand(-1, -1, values.shape[-1]))

    tokens_a = embed(model, _jittered(a, chance), block_mask(batch, side, chance), chance)
    tokens_b = embed(model, _jittered(b, chance), None, chance)
    with loop.precision():
        out_a = encode(model, torch.cat([tokens_a.cls, pick(tokens_a.patches)], dim=1)).float()
        out_b = encode(model, torch.cat([tokens_b.cls, tokens_b.patches], dim=1)).float()
    across = ~same
    cls_a, cls_b = (F.normalize(heads.cls(out[across, 0]), dim=-1) for out in (out_a, out_b))
    plain_a, plain_b = (F.normalize(out[across, 0], dim=-1) for out in (out_a, out_b))

    there, inside = matched_positions(first, second, side)
    inside, weight = inside.gather(1, kept), own_a.gather(1, kept)
    points = torch.multinomial(torch.where(inside, weight + 1e-4, 1e-9), recipe.points, generator=chance)  # (B, P)
    valid = inside.gather(1, points)
    cell = kept.gather(1, points)
    here, found = matched_tokens(out_a, out_b, points, there.gather(1, cell[..., None].expand(-1, -1, 2)), valid)
    patch_a, patch_b = (F.normalize(heads.patch(tokens), dim=-1) for tokens in (here, found))
    image = every[:, None].expand_as(cell)[valid]
    calm = torch.multinomial(torch.where(inside, off_edges(weight), 1e-9), recipe.points, generator=chance)
    calm_spots = there.gather(1, kept.gather(1, calm)[..., None].expand(-1, -1, 2))
    calm_a, calm_b = matched_tokens(out_a, out_b, calm, calm_spots, inside.gather(1, calm) & across[:, None])
    bias = dense_bias(image, cell[valid], side)

    losses = {
        "cls": info_nce(cls_a, cls_b, recipe.temperature),
        "plain": info_nce(plain_a, plain_b, recipe.temperature),
        "dense": info_nce(patch_a, patch_b, recipe.temperature, bias),
        "calm": 1 - F.cosine_similarity(calm_a, calm_b, dim=-1).mean(),
        "edges": F.smooth_l1_loss(heads.edges(out_a[:, 1:]), pick(edges_a))
        + F.smooth_l1_loss(heads.edges(out_b[:, 1:]), edges_b),
        "look": _look_loss(heads, out_a, appearance(a, around_a)) + _look_loss(heads, out_b, appearance(b, around_b)),
        "position": position_variance(out_b[:, 1:], tokens_b.positions),
    }
    if loop.progress >= recipe.cluster_from:
        losses["cls_clusters"] = swapped_clusters(cls_a, cls_b, heads.cls_prototypes, heads.queue)
        losses["patch_clusters"] = swapped_clusters(patch_a, patch_b, heads.patch_prototypes, None)
    with torch.no_grad():
        heads.queue.copy_(torch.cat([cls_b.detach(), heads.queue])[: len(heads.queue)])
    return losses


def _look_loss(heads: Heads, tokens: Tensor, looks: tuple[Tensor, Tensor]) -> Tensor:
    """Squared error of the linear predictions of the colours on edges, from CLS and mean, and of the rest, from CLS."""
    on, off = looks
    both = torch.cat([tokens[:, 0], tokens.mean(1)], dim=1)
    return F.mse_loss(heads.on(both), on) + F.mse_loss(heads.off(tokens[:, 0]), off)


def _jittered(images: Tensor, chance: torch.Generator) -> Tensor:
    return views.normalise(views.jitter(images, chance, 0.3), views.IMAGENET)


def save_dino(loop: Loop, recipe: DinoRecipe) -> Path:
    """Save the averaged weights and return their folder, in transformers' format."""
    from transformers import BitImageProcessor

    target = loop.folder / "model"
    copy.deepcopy(loop.average).cpu().half().save_pretrained(target)  # type: ignore[operator]
    processor = BitImageProcessor(
        size={"shortest_edge": 96}, crop_size={"height": 96, "width": 96}, do_convert_rgb=True,
        image_mean=list(views.IMAGENET[0]), image_std=list(views.IMAGENET[1]),
    )  # fmt: skip
    processor.save_pretrained(target)
    record = {"recipe": asdict(recipe), "steps": loop.step, "minutes": round(loop.seconds / 60, 1)}
    (target / "training.json").write_text(json.dumps(record, indent=1))
    return target
