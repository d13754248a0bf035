"""How playground-dino was trained: a DINOv2-shaped encoder of 1.2 M parameters, from images alone, without any label.

This is not DINOv2's own training. It draws every layout twice in different clothes and learns what the two share:

- patches at the same place of the same object are found again among those of other images (dense InfoNCE), and the
  parts fall into clusters that two views must agree on (SwAV);
- the CLS tokens of two crops of one layout are found again among other layouts (InfoNCE), and cluster likewise;
- every patch, masked or dropped ones of the first view included, predicts the edges that both clothes share
  (histograms of oriented gradients, fine and coarse), which are zero on the background;
- CLS predicts, linearly, the colours where such edges are, the colours elsewhere and the texture elsewhere, so that
  what captions speak of is still in there;
- what the patches carry of their own position is penalised.

No caption, class, part, mask or depth is used.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinoclip_viz.playground.recipe import views
from dinoclip_viz.playground.recipe.edges import CELL, appearance, common_edges, edge_energy
from dinoclip_viz.playground.recipe.images import Images
from dinoclip_viz.playground.recipe.loop import Loop
from dinoclip_viz.playground.recipe.optimiser import Optimiser

if TYPE_CHECKING:
    from transformers import Dinov2Model

PATCH, GRID, WIDTH, LAYERS, HEADS = 8, 12, 128, 6, 4
EDGE_VALUES, LOOK_VALUES = 32 + 72, 27 + 27 + 9


@dataclass(frozen=True)
class DinoRecipe:
    """Settings of the training.

    Attributes:
        steps: updates; batch: pairs an update.
        rate: learning rate of Muon and AdamW; decay: weight decay; clip: largest gradient norm.
        seed: of weights, order and views.
        phases: (share of the run, side of the crops in pixels, share of the first view's tokens kept) from there on.
        temperature: of both InfoNCE losses.
        points: patches an image that the dense loss follows.
        position: starting amplitude of the position embedding.
        edge_weight, look_weight, cluster_weight, position_weight: of the losses beside the two InfoNCE.
        cluster_from: share of the run after which clusters are learnt.
    """

    steps: int = 2200
    batch: int = 96
    rate: float = 2e-3
    decay: float = 0.04
    clip: float = 3.0
    seed: int = 2
    phases: tuple[tuple[float, int, float], ...] = ((0.0, 48, 0.62), (0.45, 64, 0.55), (0.85, 96, 0.4))
    temperature: float = 0.15
    points: int = 8
    position: float = 0.05
    edge_weight: float = 5.0
    look_weight: float = 1.0
    cluster_weight: float = 0.5
    position_weight: float = 1.0
    cluster_from: float = 0.12


def new_model(patches: Tensor, recipe: DinoRecipe) -> Dinov2Model:
    """The untrained model: whitened patch embedding, faint sine positions, attention that starts local in content.

    Args:
        patches: (N, 192) pixels of sample patches, normalised.
        recipe: settings.
    """
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(recipe.seed)
    model = Dinov2Model(
        Dinov2Config(
            hidden_size=WIDTH, num_attention_heads=HEADS, num_hidden_layers=LAYERS, image_size=GRID * PATCH,
            patch_size=PATCH, mlp_ratio=4, layerscale_value=1.0, use_mask_token=True,
        )
    )  # fmt: skip
    with torch.no_grad():
        _whiten(model.embeddings.patch_embeddings.projection, patches)
        rate = 1 / (100 ** (torch.arange(WIDTH // 4) / (WIDTH // 4)))
        y, x = torch.meshgrid(torch.arange(GRID) * 1.0, torch.arange(GRID) * 1.0, indexing="ij")
        waves = [f(axis.reshape(-1, 1) * rate) for axis in (y, x) for f in (torch.sin, torch.cos)]
        model.embeddings.position_embeddings[0, 1:] = torch.cat(waves, dim=1) * recipe.position
        for layer in model.encoder.layer:
            own = layer.attention
            _mimetic([own.q_proj, own.k_proj, own.v_proj, own.o_proj])
    return model


def _whiten(projection: nn.Conv2d, patches: Tensor) -> None:
    """Patch embedding = principal components of natural patches, each scaled to about one."""
    _, singular, components = torch.linalg.svd(patches - patches.mean(0), full_matrices=False)
    weight = components[:WIDTH] / (singular[:WIDTH, None] / len(patches) ** 0.5 + 0.15)
    projection.weight.copy_(0.5 * weight.view_as(projection.weight))
    if projection.bias is not None:
        projection.bias.zero_()


def _mimetic(projections: Sequence[nn.Linear]) -> None:
    """Attention weights as trained ones look: q k^T near the identity, v o near minus it (Trockman and Kolter 2023)."""
    query, key, value, out = projections
    head = WIDTH // HEADS
    for index in range(HEADS):
        left, singular, right = torch.linalg.svd(0.7 * torch.randn(WIDTH, WIDTH) / WIDTH**0.5 + 0.7 * torch.eye(WIDTH))
        root = singular[:head].sqrt()
        rows = slice(index * head, (index + 1) * head)
        query.weight[rows] = (left[:, :head] * root).T
        key.weight[rows] = (right[:head].T * root).T
    left, singular, right = torch.linalg.svd(0.4 * torch.randn(WIDTH, WIDTH) / WIDTH**0.5 - 0.4 * torch.eye(WIDTH))
    root = singular.sqrt()
    value.weight.copy_((right.T * root).T)
    out.weight.copy_(left * root)


class Heads(nn.Module):
    """What is trained beside the encoder and thrown away after."""

    def __init__(self) -> None:
        super().__init__()
        self.cls, self.patch = _mlp(512, 128), _mlp(512, 128)
        self.edges, self.look = _mlp(256, EDGE_VALUES), nn.Linear(WIDTH, LOOK_VALUES)
        self.cls_prototypes = nn.Parameter(torch.randn(160, 128))
        self.patch_prototypes = nn.Parameter(torch.randn(128, 128))
        self.register_buffer("queue", F.normalize(torch.randn(960, 128), dim=-1))
        self.queue: Tensor


def _mlp(hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(WIDTH, hidden), nn.GELU(), nn.Linear(hidden, out))


@dataclass(frozen=True)
class Tokens:
    """One view inside the encoder: CLS and patches before the first block, and where each patch reads its position."""

    cls: Tensor  # (B, 1, D)
    patches: Tensor  # (B, N, D)
    places: Tensor  # (B, N, 2) in [-1, 1]


def embed(model: Dinov2Model, pixels: Tensor, mask: Tensor | None, chance: torch.Generator) -> Tokens:
    """Tokens with positions read through a random window, so that no place of an image has a position of its own."""
    count, side = len(pixels), pixels.shape[-1] // PATCH
    patches = model.embeddings.patch_embeddings(pixels)
    if mask is not None:
        patches = torch.where(mask[..., None], model.embeddings.mask_token[None], patches)
    positions = model.embeddings.position_embeddings
    share = torch.exp(views.uniform(count, math.log(max(side / 24, 0.3)), 0.0, chance))
    if side >= GRID:
        share = torch.where(torch.rand(count, generator=chance) < 0.5, torch.ones(count), share.clamp(min=0.5))
    shift = [views.uniform(count, -1, 1, chance) * (1 - share) for _ in range(2)]
    places = views.cell_centres(torch.stack([share, share, *shift], dim=1), side)  # (B, side, side, 2)
    table = positions[:, 1:].reshape(1, GRID, GRID, -1).permute(0, 3, 1, 2).expand(count, -1, -1, -1)
    read = F.grid_sample(table, places, padding_mode="border", align_corners=False).flatten(2).mT  # (B, N, D)
    cls = (model.embeddings.cls_token + positions[:, :1]).expand(count, -1, -1)
    return Tokens(cls, patches + read, places.flatten(1, 2))


def encode(model: Dinov2Model, tokens: Tensor) -> Tensor:
    """(B, 1 + N, D) through all blocks and the final norm."""
    for layer in model.encoder.layer:
        out = layer(tokens)
        tokens = out[0] if isinstance(out, tuple) else out
    normed: Tensor = model.layernorm(tokens)
    return normed


def matched_places(first: Tensor, second: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Where the cells of the first crop lie in the second: (B, N, 2) in its [-1, 1], and (B, N) whether inside."""
    centres = views.cell_centres(first, side).flatten(1, 2)
    there = (centres - second[:, None, 2:]) / second[:, None, :2]
    return there, (there.abs() < 1 - 0.5 / side).all(-1)


def block_mask(count: int, side: int, chance: torch.Generator) -> Tensor:
    """(B, N) True on 15 to 50 % of the patches, in blocks, for six images of ten."""
    coarse = torch.rand(count, 1, (side + 1) // 2, (side + 1) // 2, generator=chance)
    noise = F.interpolate(coarse, size=(side, side), mode="nearest").flatten(1)
    noise = noise + 0.15 * torch.rand(count, side * side, generator=chance)
    share = views.uniform(count, 0.15, 0.5, chance) * (torch.rand(count, generator=chance) < 0.6)
    return noise.argsort(1).argsort(1) < (share[:, None] * side * side).long()


def crop_pair(energy: Tensor, side: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two boxes an image, centred where both looks have edges, of sizes and places of their own, mirrored by chance.

    Args:
        energy: (B, 256) edge energy of each image on a grid of 16 x 16.
        side: of the crops, in pixels.
        chance: where the numbers come from.
    """
    count = len(energy)
    cell = torch.multinomial(energy, 1, generator=chance)[:, 0]
    centre = torch.stack([cell % 16, cell // 16], dim=1).add(0.5).div(8).sub(1)
    zoom = torch.exp(views.uniform(count, math.log(0.5), math.log(1.4), chance))
    share = (side / 128 / zoom).clamp(0.28, 1.0)
    other = (share * torch.exp(views.uniform(count, -0.4, 0.4, chance))).clamp(0.28, 1.0)
    return _box(centre, share, chance), _box(centre, other, chance)


def _box(centre: Tensor, share: Tensor, chance: torch.Generator) -> Tensor:
    count = len(centre)
    ratio = torch.exp(views.uniform(count, -0.12, 0.12, chance))
    half = torch.stack([(share * ratio).clamp(max=1), (share / ratio).clamp(max=1)], dim=1)
    middle = centre + (torch.rand(count, 2, generator=chance) * 2 - 1) * 0.5 * share[:, None]
    middle = torch.maximum(torch.minimum(middle, 1 - half), half - 1)
    mirror = torch.where(torch.rand(count, generator=chance) < 0.5, -1.0, 1.0)
    return torch.stack([half[:, 0] * mirror, half[:, 1], middle[:, 0], middle[:, 1]], dim=1)


def info_nce(left: Tensor, right: Tensor, temperature: float, bias: Tensor | float = 0.0) -> Tensor:
    """Cross-entropy of finding row i of one side at row i of the other, both ways; `bias` is added to the logits."""
    logits = left @ right.T / temperature + bias
    same = torch.arange(len(left))
    return (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2


def dense_bias(image: Tensor, cell: Tensor, side: int) -> Tensor:
    """(M, M) log weights of the negatives: patches of the same image count half, neighbours not at all."""
    same = image[:, None] == image[None]
    near = ((cell[:, None] // side - cell[None] // side).abs() < 2) & (
        (cell[:, None] % side - cell[None] % side).abs() < 2
    )
    bias = torch.zeros(len(image), len(image))
    bias[same] = math.log(0.5)
    bias[same & near] = -1e4
    return bias.fill_diagonal_(0.0)


@torch.no_grad()
def sinkhorn(scores: Tensor, temperature: float = 0.05, rounds: int = 3) -> Tensor:
    """(N, K) soft assignments that use every prototype equally (SwAV)."""
    share = torch.exp((scores - scores.max()) / temperature)
    for _ in range(rounds):
        share = share / (share.sum(0, keepdim=True) + 1e-9)
        share = share / (share.sum(1, keepdim=True) + 1e-9)
    return share


def swapped_clusters(left: Tensor, right: Tensor, prototypes: Tensor, queue: Tensor | None) -> Tensor:
    """SwAV's loss: each side predicts the cluster of the other."""
    centres = F.normalize(prototypes, dim=-1)
    scores = [side @ centres.T for side in (left, right)]
    past = queue @ centres.T if queue is not None else scores[0][:0]
    codes = [sinkhorn(torch.cat([score, past]).detach())[: len(score)] for score in scores]
    losses = [-(codes[1 - i] * F.log_softmax(scores[i] / 0.1, dim=-1)).sum(-1).mean() for i in (0, 1)]
    return (losses[0] + losses[1]) / 2


def position_share(patches: Tensor, places: Tensor) -> Tensor:
    """Share of the patches' variance that smooth functions of their position explain, 0 to 1."""
    x, y = places.flatten(0, 1).unbind(1)
    waves = [
        x,
        y,
        x * x,
        y * y,
        x * y,
        (math.pi * x).cos(),
        (math.pi * y).cos(),
        (math.pi * x).sin(),
        (math.pi * y).sin(),
    ]
    basis = torch.stack(waves, dim=1)
    basis = torch.linalg.qr(basis - basis.mean(0)).Q  # (B * N, 9)
    tokens = patches.flatten(0, 1)
    tokens = tokens - tokens.mean(0)
    share: Tensor = (basis.T @ tokens).square().sum() / tokens.square().sum()
    return share


def image_energy(images: Images, folder: Path) -> Tensor:
    """(N, 256) where both looks of each layout have edges, on a grid of 16 x 16, computed once."""
    file = folder / "energy.npy"
    if not file.exists():
        parts = []
        for start in range(0, len(images), 200):
            pixels = torch.from_numpy(images.pixels[start : start + 200]).float().div_(255)
            half = F.avg_pool2d(pixels.flatten(0, 1), 2).unflatten(0, (-1, 2))
            parts.append(edge_energy(half[:, 0], half[:, 1]))
        np.save(file, torch.cat(parts).numpy())
    energy = torch.from_numpy(np.load(file)).pow(1.5)
    return energy / energy.sum(1, keepdim=True) + 0.15 / 256


def train_dino(images: Images, folder: Path, recipe: DinoRecipe) -> Path:
    """Train, or go on training, in `folder`; the folder of the finished model, in transformers' format and fp16."""
    folder.mkdir(parents=True, exist_ok=True)
    energy = image_energy(images, folder)
    sample = views.normalise(torch.from_numpy(images.pixels[:400, 0]).float().div(255), views.IMAGENET)
    patches = F.unfold(F.avg_pool2d(sample, 2), PATCH, stride=PATCH).mT.reshape(-1, 3 * PATCH * PATCH)
    model, heads = new_model(patches[:20000], recipe), Heads()
    named = [*model.named_parameters(), *((f"heads.{name}", p) for name, p in heads.named_parameters())]
    optimiser = Optimiser(named, recipe.rate, recipe.decay, recipe.clip)
    loop = Loop(folder, {"model": model, "heads": heads}, optimiser, recipe.steps, recipe.seed)
    for step in loop.run():
        losses = pair_losses(loop, model, heads, images, energy, recipe)
        clusters = recipe.cluster_weight if loop.progress >= recipe.cluster_from else 0.0
        weights = {
            "cls": 1.0, "dense": 1.0, "edges": recipe.edge_weight, "look": recipe.look_weight,
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
    """The losses of one batch of pairs, by name, unweighted."""
    chance, batch = loop.generator(), recipe.batch
    size, keep = next((size, keep) for start, size, keep in reversed(recipe.phases) if loop.progress >= start)
    side = size // PATCH
    rows = torch.randint(len(images), (batch,), generator=chance).sort().values
    swap = torch.randint(2, (batch,), generator=chance)
    pixels = torch.from_numpy(images.pixels[rows.numpy()]).float().div_(255)  # (B, 2, 3, 128, 128)
    mine, theirs = pixels[torch.arange(batch), swap], pixels[torch.arange(batch), 1 - swap]
    first, second = crop_pair(energy[rows], size, chance)
    a, a_redressed = views.crop(mine, first, size), views.crop(theirs, first, size)
    b, b_redressed = views.crop(theirs, second, size), views.crop(mine, second, size)
    edges_a, energy_a = common_edges(a, a_redressed)
    edges_b, energy_b = common_edges(b, b_redressed)
    kept = torch.rand(batch, side * side, generator=chance).argsort(1)[:, : int(side * side * keep)]  # (B, K)

    def pick(values: Tensor) -> Tensor:
        return values.gather(1, kept[..., None].expand(-1, -1, values.shape[-1]))

    tokens_a = embed(model, _shaken(a, chance), block_mask(batch, side, chance), chance)
    tokens_b = embed(model, _shaken(b, chance), None, chance)
    out_a = encode(model, torch.cat([tokens_a.cls, pick(tokens_a.patches)], dim=1))
    out_b = encode(model, torch.cat([tokens_b.cls, tokens_b.patches], dim=1))
    cls_a, cls_b = (F.normalize(heads.cls(out[:, 0]), dim=-1) for out in (out_a, out_b))

    there, inside = matched_places(first, second, side)
    inside, weight = inside.gather(1, kept), energy_a.gather(1, kept)
    points = torch.multinomial(torch.where(inside, weight + 1e-4, 1e-9), recipe.points, generator=chance)  # (B, P)
    valid = inside.gather(1, points)
    cell = kept.gather(1, points)
    here = out_a[:, 1:].gather(1, points[..., None].expand(-1, -1, WIDTH))[valid]  # (M, D)
    spots = there.gather(1, cell[..., None].expand(-1, -1, 2))[:, :, None]
    maps = out_b[:, 1:].mT.unflatten(2, (side, side))
    found = F.grid_sample(maps, spots, align_corners=False, padding_mode="border")[..., 0].mT[valid]
    patch_a, patch_b = (F.normalize(heads.patch(tokens), dim=-1) for tokens in (here, found))
    image = torch.arange(batch)[:, None].expand_as(cell)[valid]
    bias = dense_bias(image, cell[valid], side)

    losses = {
        "cls": info_nce(cls_a, cls_b, recipe.temperature),
        "dense": info_nce(patch_a, patch_b, recipe.temperature, bias),
        "edges": F.smooth_l1_loss(heads.edges(out_a[:, 1:]), pick(edges_a))
        + F.smooth_l1_loss(heads.edges(out_b[:, 1:]), edges_b),
        "look": F.mse_loss(heads.look(out_a[:, 0]), appearance(a, energy_a))
        + F.mse_loss(heads.look(out_b[:, 0]), appearance(b, energy_b)),
        "position": position_share(out_b[:, 1:], tokens_b.places),
    }
    if loop.progress >= recipe.cluster_from:
        losses["cls_clusters"] = swapped_clusters(cls_a, cls_b, heads.cls_prototypes, heads.queue)
        losses["patch_clusters"] = swapped_clusters(patch_a, patch_b, heads.patch_prototypes, None)
    with torch.no_grad():
        heads.queue.copy_(torch.cat([cls_b.detach(), heads.queue])[: len(heads.queue)])
    return losses


def _shaken(images: Tensor, chance: torch.Generator) -> Tensor:
    return views.normalise(views.jitter(images, chance, 0.5), views.IMAGENET)


def save_dino(loop: Loop, recipe: DinoRecipe) -> Path:
    """The averaged weights as a folder that transformers loads."""
    from transformers import BitImageProcessor

    target = loop.folder / "model"
    copy.deepcopy(loop.average).half().save_pretrained(target)  # type: ignore[operator]
    processor = BitImageProcessor(
        size={"shortest_edge": 96}, crop_size={"height": 96, "width": 96}, do_convert_rgb=True,
        image_mean=list(views.IMAGENET[0]), image_std=list(views.IMAGENET[1]),
    )  # fmt: skip
    processor.save_pretrained(target)
    record = {"recipe": asdict(recipe), "steps": loop.step, "minutes": round(loop.seconds / 60, 1)}
    (target / "training.json").write_text(json.dumps(record, indent=1))
    return target


__all__ = ["CELL", "DinoRecipe", "train_dino"]
