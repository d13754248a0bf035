"""Training a map from texts to a DINO's own patches, so that heat maps are native to its grid."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.base import ImageEncoder, TextEncoder
from dinoclip_viz.encoders.inside import look_inside
from dinoclip_viz.projector import Projector
from dinoclip_viz.training.claim import claim
from dinoclip_viz.training.loop import Loop
from dinoclip_viz.training.processes import Processes

log = logging.getLogger(__name__)

AT_ONCE = 16  # images that are looked into at a time


@dataclass(frozen=True)
class TextMapRecipe:
    """How the map is trained; loss, temperature and batch are Talk2DINO's.

    Attributes:
        epochs: passes over the images.
        batch: images a step, a caption of each.
        rate: highest learning rate of AdamW under OneCycleLR; decay: its weight decay.
        temperature: what cosines are divided by.
        holdout: images kept out of training to choose the best epoch.
        seed: of weights and order.
    """

    epochs: int = 100
    batch: int = 128
    rate: float = 1e-3
    decay: float = 0.0
    temperature: float = 0.07
    holdout: int = 200
    seed: int = 0


@dataclass(frozen=True)
class HeadEmbeddings:
    """What a map is trained on.

    Attributes:
        heads: (N, heads, D) each image's patches, averaged with the weights that a head's CLS gives them.
        texts: (T, E) raw vectors of the captions.
        owners: (T,) which image each caption describes.
    """

    heads: Tensor
    texts: Tensor
    owners: Tensor


def head_embeddings(encoder: ImageEncoder, images: Sequence[Image.Image], size: int | None = None) -> Tensor:
    """(B, heads, D) patches after the final norm, averaged by each head's attention of CLS in the last block.

    Barsellotti et al., Talking to DINO, ICCV 2025, section 3.2.

    Args:
        encoder: a vision transformer with a CLS token.
        images: B images that share one patch grid.
        size: longer side in pixels at which they are encoded.

    Raises:
        ValueError: the encoder has no CLS token.
    """
    attention = look_inside(encoder, images, size).attention
    if attention is None or not attention.shape[2]:
        raise ValueError(f"{encoder.name} has no CLS token whose attention could weigh its patches")
    patches = encoder.encode(images, size, "whole").patches.flatten(1, 2)  # (B, N, D)
    weights = attention[:, :, 0].flatten(2)  # (B, heads, N)
    return weights / weights.sum(-1, keepdim=True) @ patches


def collect(
    encoder: ImageEncoder,
    texts: TextEncoder,
    images: Iterable[tuple[Image.Image, Sequence[str]]],
    size: int | None = None,
) -> HeadEmbeddings:
    """Everything that a map is trained on, from images with their captions; images without any are passed over."""
    heads: list[Tensor] = []
    captions: list[str] = []
    owners: list[int] = []
    count = 0
    for batch in _batches((pair for pair in images if pair[1]), AT_ONCE):
        heads.append(head_embeddings(encoder, [image for image, _ in batch], size))
        for _, said in batch:
            captions += said
            owners += [count] * len(said)
            count += 1
    if not count:
        raise ValueError("no image has a caption; expected images with texts that describe them")
    return HeadEmbeddings(torch.cat(heads), texts.encode(captions).pooled, torch.tensor(owners))


def fit_text_map(
    encoder: ImageEncoder,
    texts: TextEncoder,
    data: HeadEmbeddings,
    recipe: TextMapRecipe | None = None,
    folder: Path | None = None,
    watch: Callable[[dict[str, float]], None] | None = None,
) -> tuple[Projector, list[dict[str, float]]]:
    """The trained map as a projector of the text side, and a record an epoch.

    Linear, tanh, linear on raw text vectors; an image and a text score the largest cosine over the image's heads;
    symmetric InfoNCE. The weights are those of the epoch with the best R@1 on held-out images.

    Args:
        encoder: that saw the images; texts: that read the captions.
        data: from `collect`.
        recipe: Talk2DINO's by default, but for the learning rate.
        folder: where the run is kept and the projector saved; None keeps nothing.
        watch: is told of each epoch.

    Raises:
        ValueError: fewer images than are held out and one batch, or a folder with a run of other settings.
    """
    recipe = recipe or TextMapRecipe()
    images = len(data.heads)
    if images < recipe.holdout + recipe.batch:
        raise ValueError(f"{images} images; expected {recipe.holdout} to hold out and a batch of {recipe.batch}")
    if folder is not None:
        said = {"encoder": encoder.patch_space, "texts": texts.space, "images": images}
        claim(folder, {**said, "captions": len(data.texts), **asdict(recipe)})
    torch.manual_seed(recipe.seed)
    projector = Projector(
        image_encoder=encoder.name, text_encoder=texts.name, image_space=encoder.patch_space, text_space=texts.space,
        width=data.texts.shape[1], outputs=data.heads.shape[2], head="text-to-patch", inputs="mean", side="text",
    )  # fmt: skip
    captions = [torch.nonzero(data.owners == row).flatten() for row in range(images)]
    train = np.arange(images - recipe.holdout)
    steps = len(train) // recipe.batch
    loop = Loop(
        projector.pooled_head, recipe.epochs, steps, recipe.rate, recipe.decay, "none", 1,
        folder / "checkpoint.pt" if folder else None, Processes(),
    )  # fmt: skip
    while not loop.stopped:
        chance = np.random.default_rng([recipe.seed, loop.epoch])
        order = chance.permutation(train)
        picks = torch.from_numpy(chance.random(images))
        for step in loop.run():
            rows = order[step * recipe.batch : (step + 1) * recipe.batch]
            spoken = torch.stack([captions[row][int(picks[row] * len(captions[row]))] for row in rows])
            scores = _scores(data.heads[rows], projector.pooled_head(data.texts[spoken])) / recipe.temperature
            target = torch.arange(len(rows))
            loop.update((F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2)
        found = _held(projector, data, captions, recipe.holdout)
        loop.end_epoch({"rate": loop.rate, "held_R@1": found}, found, 0)
        log.info("epoch %s", loop.history[-1])
        if watch:
            watch(loop.history[-1])
    projector.pooled_head.load_state_dict(loop.best)
    projector.eval().requires_grad_(False)
    if folder is not None:
        projector.save_pretrained(folder)
        (folder / "history.json").write_text(json.dumps(loop.history, indent=1))
    return projector, loop.history


def _scores(heads: Tensor, texts: Tensor) -> Tensor:
    """(B, T) the largest cosine of each text with an image's heads."""
    cosines = torch.einsum("bhd,td->bht", F.normalize(heads, dim=-1), F.normalize(texts, dim=-1))
    return cosines.amax(1)


def _held(projector: Projector, data: HeadEmbeddings, captions: Sequence[Tensor], count: int) -> float:
    """R@1 of the first caption of each held-out image among the held-out images."""
    rows = torch.arange(len(data.heads) - count, len(data.heads))
    with torch.no_grad():
        said = projector.pooled_head(data.texts[torch.stack([captions[row][0] for row in rows.tolist()])])
        best = _scores(data.heads[rows], said).argmax(0)
    return (best == torch.arange(count)).float().mean().item()


def _batches(
    pairs: Iterable[tuple[Image.Image, Sequence[str]]], length: int
) -> Iterator[list[tuple[Image.Image, Sequence[str]]]]:
    """Runs of images that share a size, of so many at most."""
    waiting: dict[tuple[int, int], list[tuple[Image.Image, Sequence[str]]]] = {}
    stream = iter(pairs)
    while chunk := list(islice(stream, length)):
        for pair in chunk:
            waiting.setdefault(pair[0].size, []).append(pair)
        yield from waiting.values()
        waiting = {}
