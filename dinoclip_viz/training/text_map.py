"""Training of a projector from texts to a DINO's patch space (Talk2DINO)."""

from __future__ import annotations

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

from dinoclip_viz.disk import replacing_in, write_json
from dinoclip_viz.encoders import as_encoder, load_text_encoder
from dinoclip_viz.encoders.base import ImageEncoder, TextEncoder
from dinoclip_viz.encoders.devices import dtypes_of
from dinoclip_viz.encoders.inside import look_inside
from dinoclip_viz.images import ImageLike, ImagesLike, load_images
from dinoclip_viz.projector import Projector
from dinoclip_viz.training.claim import claim, one_run
from dinoclip_viz.training.loop import Loop
from dinoclip_viz.training.processes import Processes

log = logging.getLogger(__name__)

BATCH = 16  # images per forward pass


@dataclass(frozen=True)
class TextMapRecipe:
    """Settings of the training; loss, temperature and batch are Talk2DINO's.

    Attributes:
        epochs: passes over the images.
        batch: images per step, with one caption each.
        rate: highest learning rate of AdamW under OneCycleLR; decay: its weight decay.
        temperature: divisor of the cosines.
        holdout: held-out images, by which the best epoch is chosen.
        seed: of the initial weights and the order of the images.
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
    """Training data of the projector: image embeddings per attention head, and captions.

    Attributes:
        heads: (N, heads, D) patches of each image, averaged by the CLS attention of each head.
        texts: (T, E) raw vectors of the captions.
        owners: (T,) index of the image that each caption describes.
    """

    heads: Tensor
    texts: Tensor
    owners: Tensor


def head_embeddings(encoder: str | ImageEncoder, images: ImagesLike, size: int | None = None) -> Tensor:
    """(B, heads, D) patches after the final norm, averaged by the CLS attention of each head in the last block.

    Barsellotti et al., Talking to DINO, ICCV 2025, section 3.2.

    Args:
        encoder: a vision transformer with a CLS token, or its name.
        images: B images that give one patch grid.
        size: longer side in pixels at which they are encoded.

    Raises:
        ValueError: the encoder has no CLS token.
        ImageError: an image cannot be loaded.
    """
    encoder = as_encoder(encoder)
    loaded = load_images(images)
    attention = look_inside(encoder, loaded, size).attention
    if attention is None or not attention.shape[2]:
        raise ValueError(
            f"{encoder.name} has no attention of a CLS token; expected a vision transformer with one, such as DINOv2"
        )
    patches = encoder.encode(loaded, size, "whole").patches.flatten(1, 2)  # (B, N, D)
    weights = attention[:, :, 0].flatten(2)  # (B, heads, N)
    return weights / weights.sum(-1, keepdim=True) @ patches


def collect(
    encoder: str | ImageEncoder,
    texts: str | TextEncoder,
    images: Iterable[tuple[ImageLike, Sequence[str]]],
    size: int | None = None,
) -> HeadEmbeddings:
    """Training data of the projector, from images with captions.

    Args:
        encoder: a vision transformer with a CLS token, or its name.
        texts: the text encoder, or the name of its model.
        images: pairs of an image and its captions; images without captions are skipped.
        size: longer side in pixels at which images are encoded.

    Raises:
        ValueError: no image has a caption, or the encoder has no CLS token.
        ImageError: an image cannot be loaded.
    """
    encoder = as_encoder(encoder)
    texts = load_text_encoder(texts) if isinstance(texts, str) else texts
    heads: list[Tensor] = []
    captions: list[str] = []
    owners: list[int] = []
    count = 0
    for batch in _batches((pair for pair in images if pair[1]), BATCH):
        heads.append(head_embeddings(encoder, [image for image, _ in batch], size))
        for _, described in batch:
            captions += described
            owners += [count] * len(described)
            count += 1
    if not count:
        raise ValueError("no image has a caption; expected at least one image with a caption")
    return HeadEmbeddings(torch.cat(heads), texts.encode(captions).pooled, torch.tensor(owners))


def fit_text_map(
    encoder: str | ImageEncoder,
    texts: str | TextEncoder,
    data: HeadEmbeddings,
    recipe: TextMapRecipe | None = None,
    folder: Path | None = None,
    watch: Callable[[dict[str, float]], None] | None = None,
) -> tuple[Projector, list[dict[str, float]]]:
    """The trained projector of the text side, and one record per epoch.

    Linear, tanh, linear on raw text vectors. The score of an image and a text is the largest cosine over the image's
    heads; the loss is symmetric InfoNCE. The weights are those of the epoch with the best R@1 on held-out images.

    Args:
        encoder: the image encoder of `data`, or its name; texts: its text encoder, or the name of its model.
        data: from `collect`.
        recipe: Talk2DINO's by default, but for the learning rate.
        folder: for checkpoint, history and projector; None saves nothing. A run with a folder resumes from its
            checkpoint.
        watch: called with the record of each epoch.

    Raises:
        ValueError: fewer images than one batch and the held-out images, or a folder with a run of other settings.
    """
    recipe = recipe or TextMapRecipe()
    encoder = as_encoder(encoder)
    texts = load_text_encoder(texts) if isinstance(texts, str) else texts
    images = len(data.heads)
    if images < recipe.holdout + recipe.batch:
        raise ValueError(
            f"found {images} images; expected {recipe.holdout} to hold out and a batch of {recipe.batch}; add "
            "images, or lower holdout or batch"
        )
    with one_run(folder):
        if folder is not None:
            spaces = {"encoder": encoder.patch_space, "texts": texts.space}
            settings = {**spaces, "images": images, "dtype": dtypes_of(encoder, texts)}
            claim(folder, {**settings, "captions": len(data.texts), **asdict(recipe)})
        torch.manual_seed(recipe.seed)
        projector = Projector(
            image_encoder=encoder.name, text_encoder=texts.name, image_space=encoder.patch_space,
            text_space=texts.space, image_dtype=dtypes_of(encoder), text_dtype=dtypes_of(texts),
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
                chosen = torch.stack([captions[row][int(picks[row] * len(captions[row]))] for row in rows])
                scores = _scores(data.heads[rows], projector.pooled_head(data.texts[chosen])) / recipe.temperature
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
            with replacing_in(folder) as aside:
                projector.save_pretrained(aside)
                write_json(aside / "history.json", loop.history)
        return projector, loop.history


def _scores(heads: Tensor, texts: Tensor) -> Tensor:
    """(B, T) largest cosine of each text over an image's heads."""
    cosines = torch.einsum("bhd,td->bht", F.normalize(heads, dim=-1), F.normalize(texts, dim=-1))
    return cosines.amax(1)


def _held(projector: Projector, data: HeadEmbeddings, captions: Sequence[Tensor], count: int) -> float:
    """R@1 of the first caption of each held-out image among the held-out images."""
    rows = torch.arange(len(data.heads) - count, len(data.heads))
    with torch.no_grad():
        mapped = projector.pooled_head(data.texts[torch.stack([captions[row][0] for row in rows.tolist()])])
        best = _scores(data.heads[rows], mapped).argmax(0)
    return (best == torch.arange(count)).float().mean().item()


def _batches(
    pairs: Iterable[tuple[ImageLike, Sequence[str]]], length: int
) -> Iterator[list[tuple[Image.Image, Sequence[str]]]]:
    """Batches of at most `length` images of equal size, loaded."""
    waiting: dict[tuple[int, int], list[tuple[Image.Image, Sequence[str]]]] = {}
    stream = iter(pairs)
    while chunk := list(islice(stream, length)):
        for image, captions in chunk:
            loaded = load_images(image)[0]
            waiting.setdefault(loaded.size, []).append((loaded, captions))
        yield from waiting.values()
        waiting = {}
