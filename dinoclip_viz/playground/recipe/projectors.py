"""How the projector between playground-dino and playground-clip was trained, both frozen.

Its first head carries CLS and mean tokens to CLIP's picture vectors (cosine, and CLIP's contrastive loss against the
captions). Its second carries each patch to where CLIP's own patch of the same place lies, by MaskCLIP's value path.
(Multiple-instance learning on the words of captions, tried first, put the words on the background: DINO's background
patches know what stands beside them.) Captions are the only labels.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders import load_encoder, load_pair
from dinoclip_viz.encoders.base import ImageEncoder, TextEncoder
from dinoclip_viz.playground.recipe.pictures import Pictures
from dinoclip_viz.projector import Projector, unit

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProjectorRecipe:
    """Settings of the training.

    Attributes:
        pictures: how many drawn pictures are encoded.
        patch_pictures: how many of them the second head learns from.
        epochs: of the first head; patch_epochs: of the second.
        batch: pictures an update of the first head; patch_batch: patches an update of the second.
        hidden, blocks: of both heads.
        rate: learning rate of AdamW; decay: weight decay; seed: of weights and order.
    """

    pictures: int = 16000
    patch_pictures: int = 5000
    epochs: int = 30
    patch_epochs: int = 8
    batch: int = 512
    patch_batch: int = 4096
    hidden: int = 256
    blocks: int = 1
    rate: float = 2e-3
    decay: float = 0.05
    seed: int = 3


@dataclass(frozen=True)
class Encoded:
    """What both frozen models make of the training pictures."""

    vectors: Tensor  # (N, 2 D) CLS and mean of the DINO
    patches: Tensor  # (M, H * W, D) float16
    targets: Tensor  # (N, E) CLIP's unit vectors
    captions: Tensor  # (N, E) unit vectors of the first captions
    patch_targets: Tensor  # (M, H * W, E) float16, CLIP's own patches of the first M pictures


def encode_pictures(
    pictures: Pictures, dino: ImageEncoder, clip: ImageEncoder, texts: TextEncoder, recipe: ProjectorRecipe
) -> Encoded:
    """The first look of the first layouts through both models, at 96 px."""
    vectors, patches, targets, captions, dense = [], [], [], [], []
    count = recipe.pictures
    for start in range(0, count, 500):
        rows = range(start, min(start + 500, count))
        images = [Image.fromarray(np.ascontiguousarray(pictures.pixels[i, 0].transpose(1, 2, 0))) for i in rows]
        seen = dino.encode(images)
        vectors.append(torch.cat([seen.pooled, seen.mean], dim=1))
        looked = clip.encode(images, methods=["maskclip"] if start < recipe.patch_pictures else [])
        targets.append(unit(looked.pooled))
        if start < recipe.patch_pictures:
            patches.append(seen.patches.flatten(1, 2).half())
            dense.append(unit(looked.dense["maskclip"]).flatten(1, 2).half())
        captions.append(unit(texts.encode([pictures.captions[i][0][0] for i in rows]).pooled))
        log.info("encoded %d of %d pictures", len(rows) + start, count)
    return Encoded(torch.cat(vectors), torch.cat(patches), torch.cat(targets), torch.cat(captions), torch.cat(dense))


def train_projector(
    pictures: Pictures, folder: Path, recipe: ProjectorRecipe, encoders: tuple[Path, Path] | None = None
) -> Path:
    """Train the projector; its folder, as `load_model` reads it.

    Args:
        pictures: what it is trained on.
        folder: where it is kept.
        recipe: settings.
        encoders: folders of the CLIP and the DINO that it joins, by default the embedded ones. The finished folder
            names the embedded ones all the same: it belongs beside them.
    """
    torch.manual_seed(recipe.seed)
    clip_name, dino_name = (str(path) for path in encoders) if encoders else ("playground-clip", "playground-dino")
    dino = load_encoder(dino_name)
    clip, texts = load_pair(clip_name)
    data = encode_pictures(pictures, dino, clip, texts, recipe)
    projector = Projector(
        image_encoder="playground-dino", text_encoder="playground-clip",
        image_space="playground-dino", text_space="playground-clip",
        width=dino.patch_dimension, outputs=texts.dimension,
        head="residual-mlp", inputs="pooled+mean", hidden=recipe.hidden, blocks=recipe.blocks, patch_head=True,
    )  # fmt: skip
    projector.measure_input(data.vectors, data.patches[:2000].flatten(0, 1).float())
    _fit_pooled(projector, data, recipe)
    fit_patches(projector, data, recipe)
    target = folder / "model"
    projector.save_pretrained(target)
    (target / "training.json").write_text(json.dumps({"recipe": asdict(recipe)}, indent=1))
    return target


def _fit_pooled(projector: Projector, data: Encoded, recipe: ProjectorRecipe) -> None:
    chance = torch.Generator().manual_seed(recipe.seed)
    steps = recipe.epochs * len(data.vectors) // recipe.batch
    optimiser = torch.optim.AdamW(projector.pooled_head.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=recipe.rate, total_steps=steps)
    same = torch.arange(recipe.batch)
    for step in range(steps):
        rows = torch.randint(len(data.vectors), (recipe.batch,), generator=chance)
        out = unit(projector(data.vectors[rows]))
        near = 1 - (out * data.targets[rows]).sum(-1).mean()
        logits = out @ data.captions[rows].T / 0.05
        loss = 2 * near + 0.25 * (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 200 == 199:
            log.info(
                "pooled head, step %d of %d: cosine %.3f, loss %.3f", step + 1, steps, 1 - near.item(), loss.item()
            )


def fit_patches(projector: Projector, data: Encoded, recipe: ProjectorRecipe) -> None:
    """Train the second head: the cosine of each projected patch with CLIP's own."""
    head = projector.patch_head
    if head is None:
        raise ValueError("the projector has no patch head to train")
    chance = torch.Generator().manual_seed(recipe.seed + 1)
    patches, targets = data.patches.flatten(0, 1), data.patch_targets.flatten(0, 1)
    steps = recipe.patch_epochs * len(patches) // recipe.patch_batch
    optimiser = torch.optim.AdamW(head.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=recipe.rate, total_steps=steps)
    for step in range(steps):
        rows = torch.randint(len(patches), (recipe.patch_batch,), generator=chance)
        out = unit(projector.project_patches(patches[rows].float()))
        loss = 1 - (out * targets[rows].float()).sum(-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 200 == 199:
            log.info("patch head, step %d of %d: cosine %.3f", step + 1, steps, 1 - loss.item())


__all__ = ["ProjectorRecipe", "train_projector"]
