"""Encoding of one shard: images and captions to the arrays of a store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dinoclip_viz.data.base import Sample
from dinoclip_viz.encoders.base import EncoderError, ImageEncoder, TextEncoder, TokenTextEncoder
from dinoclip_viz.pipeline.batches import batches
from dinoclip_viz.pipeline.decoding import Prepared, prepare_image
from dinoclip_viz.pipeline.encoding import (
    BatchSize,
    Encoded,
    Features,
    Job,
    chosen_batch_size,
    recipes_of,
    run,
)
from dinoclip_viz.store import StoreError
from dinoclip_viz.store.sharded import ragged_rows
from dinoclip_viz.store.writing import FailedRow, ImageRow, Shard

Patches = str | int | None
"""None for no patches, "full" for all of them, a number R for R x R averaged patches."""

DENSE = "maskclip"
"""Heat-map method whose patches, in the space of the texts, the store of a CLIP contains in addition to its own."""


def embed_shard(
    images: Iterable[tuple[Sample, Prepared | Image.Image | str]],
    encoders: Sequence[ImageEncoder],
    texts: TextEncoder | None,
    size: int | None = None,
    patches: Patches = None,
    batch_size: BatchSize = 32,
    text_tokens: bool = False,
) -> Shard:
    """Features of the images of one shard, which depend only on the images and the settings.

    Args:
        images: samples with their images, prepared with `recipes_of(jobs_of(...))` or whole, or with the reason why an
            image could not be read.
        encoders: loaded image encoders.
        texts: loaded text encoder of the captions, or None.
        size: as in `embed`.
        patches: as in `embed`.
        batch_size: as in `embed`.
        text_tokens: as in `embed`.

    Raises:
        StoreError: an encoder returns vectors that are not finite in float16.
    """
    jobs = jobs_of(encoders, size, patches)
    recipes = recipes_of(jobs)
    outcomes = (
        (sample, prepare_image(one, recipes) if isinstance(one, Image.Image) else one) for sample, one in images
    )
    pending = PendingShard(jobs, patches)
    for part in run(batches(outcomes, chosen_batch_size(batch_size, jobs)), jobs):
        pending.add(part)
    return pending.shard(texts, text_tokens)


def jobs_of(encoders: Sequence[ImageEncoder], size: int | None, patches: Patches) -> list[Job]:
    """What of each encoder's features a store contains, as float16."""
    jobs = []
    for encoder in encoders:
        dense = (DENSE,) if patches is not None and DENSE in encoder.methods else ()
        grid = None if patches is None else grid_of(encoder, size, patches)
        jobs.append(Job(encoder, partial(_kept, grid=grid), size, "crop", dense))
    return jobs


def _kept(features: Features, grid: tuple[int, int] | None) -> dict[str, Tensor]:
    kept = {"img_emb": features.pooled, "mean_emb": features.mean}
    if grid is not None:
        kept["patch_emb"] = _smaller(features.patches.float(), grid)
        if DENSE in features.dense:
            kept["dense_emb"] = _smaller(features.dense[DENSE].float(), grid)
    return {kind: values.float().half() for kind, values in kept.items()}


class PendingShard:
    """A shard whose batches arrive one by one.

    Args:
        jobs: of `jobs_of`.
        patches: as in `embed`.
    """

    def __init__(self, jobs: Sequence[Job], patches: Patches) -> None:
        self._jobs = jobs
        self._rows: list[ImageRow] = []
        self._failed: list[FailedRow] = []
        self._parts = [
            {kind: [nothing] for kind, nothing in _nothing(job.encoder, job.size, patches).items()} for job in jobs
        ]

    def __len__(self) -> int:
        """Number of samples, those that failed included."""
        return len(self._rows) + len(self._failed)

    def add(self, part: Encoded) -> None:
        """Add a batch.

        Raises:
            StoreError: a vector is not finite in float16.
        """
        batch = part.batch
        for sample, (width, height) in zip(batch.samples, batch.sizes, strict=True):
            captions = tuple(text for text in sample.captions if text.strip())
            self._rows.append(ImageRow(sample.key, sample.path, captions, sample.label, width, height))
        self._failed += [FailedRow(sample.key, sample.path, reason) for _, sample, reason in batch.failed]
        keys = [sample.key for sample in batch.samples]
        for job, kept, parts in zip(self._jobs, part.kept, self._parts, strict=bool(part.kept)):
            for kind, values in kept.items():
                parts[kind].append(finite(values, job.encoder.name, keys))

    def shard(self, texts: TextEncoder | None, text_tokens: bool = False) -> Shard:
        """The shard, with its captions encoded by a text encoder, if one is given, and with their token vectors."""
        captions = [text for row in self._rows for text in row.captions]
        owners = np.repeat(np.arange(len(self._rows)), [len(row.captions) for row in self._rows]).astype(np.int64)
        arrays = [{kind: np.concatenate(values) for kind, values in parts.items()} for parts in self._parts]
        if texts is not None and text_tokens:
            encoded, tokens = encode_caption_tokens(captions, texts)
            return Shard(self._rows, self._failed, arrays, encoded, owners, tokens)
        pooled = encode_captions(captions, texts) if texts is not None else None
        return Shard(self._rows, self._failed, arrays, pooled, owners)


def patch_bytes(encoder: ImageEncoder, size: int | None, patches: Patches) -> int:
    """Size on disk of the patches of one image in bytes, including the dense patches of a CLIP.

    Raises:
        ValueError: `patches` does not fit the encoder's grid.
    """
    rows, columns = grid_of(encoder, size, patches)
    return 2 * rows * columns * (encoder.patch_dimension + encoder.dimension * (DENSE in encoder.methods))


def _smaller(patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, R, C, D) patches averaged to a grid of R rows and C columns."""
    if patches.shape[1:3] == grid:
        return patches
    return F.adaptive_avg_pool2d(patches.permute(0, 3, 1, 2), grid).permute(0, 2, 3, 1)


def finite(half: Tensor, name: str, keys: Sequence[str]) -> NDArray[np.float16]:
    """The vectors of an encoder as an array.

    Args:
        half: (B, ...) float16.
        name: of the encoder.
        keys: of the B images or texts.

    Raises:
        StoreError: a vector is not finite.
    """
    finite = torch.isfinite(half).flatten(1).all(dim=1)
    if not finite.all():
        first = keys[int((~finite).nonzero()[0])]
        raise StoreError(
            f"found vectors of {name} that are NaN or out of float16's range, first for {first!r}; "
            "expected finite ones; try another device or dtype"
        )
    array: NDArray[np.float16] = half.numpy()
    return array


def _nothing(encoder: ImageEncoder, size: int | None, patches: Patches) -> dict[str, NDArray[np.float16]]:
    shapes: dict[str, tuple[int, ...]] = {"img_emb": (encoder.dimension,), "mean_emb": (encoder.patch_dimension,)}
    if patches is not None:
        grid = grid_of(encoder, size, patches)
        shapes["patch_emb"] = (*grid, encoder.patch_dimension)
        if DENSE in encoder.methods:
            shapes["dense_emb"] = (*grid, encoder.dimension)
    return {kind: np.empty((0, *shape), np.float16) for kind, shape in shapes.items()}


def encode_captions(captions: Sequence[str], texts: TextEncoder) -> NDArray[np.float16]:
    """(N, E) unnormalised vectors of the captions; each distinct text is encoded once."""
    unique = list(dict.fromkeys(captions))
    if not unique:
        return np.empty((0, texts.dimension), np.float16)
    vectors = finite(texts.encode(unique).pooled.half(), texts.name, unique)
    row_of = {text: row for row, text in enumerate(unique)}
    return vectors[[row_of[text] for text in captions]]


def encode_caption_tokens(
    captions: Sequence[str], texts: TextEncoder
) -> tuple[NDArray[np.float16], tuple[NDArray[np.float16], NDArray[np.int64]]]:
    """(N, E) vectors of the captions, and their token vectors with the number of each caption's.

    Raises:
        EncoderError: the text encoder has no token vectors to give.
        StoreError: a vector is not finite in float16.
    """
    encoder = with_tokens(texts)
    unique = list(dict.fromkeys(captions))
    if not unique:
        nothing = np.empty((0, encoder.token_dimension), np.float16)
        return np.empty((0, texts.dimension), np.float16), (nothing, np.empty(0, np.int64))
    features = encoder.encode_tokens(unique)
    owners = torch.arange(len(unique)).repeat_interleave(features.offsets.diff()).tolist()
    values = finite(features.values.half(), texts.name, [unique[row] for row in owners])
    row_of = {text: row for row, text in enumerate(unique)}
    items = np.array([row_of[text] for text in captions])
    rows, counts = ragged_rows(features.offsets.numpy(), items)
    return finite(features.pooled.half(), texts.name, unique)[items], (values[rows], counts)


def with_tokens(texts: TextEncoder) -> TokenTextEncoder:
    """The text encoder, if it returns token vectors.

    Raises:
        EncoderError: it does not.
    """
    if isinstance(texts, TokenTextEncoder) and texts.token_dimension:
        return texts
    raise EncoderError(
        f"{texts.name} has no token vectors to give; expected a text model of transformers; omit --text-tokens"
    )


def grid_of(encoder: ImageEncoder, size: int | None, patches: Patches) -> tuple[int, int]:
    """Rows and columns of the patches in a store.

    Raises:
        ValueError: `patches` is neither None, "full" nor a number from 1 to the side of the encoder's grid.
    """
    side = (size or encoder.size) // encoder.patch
    if patches in (None, "full"):
        return side, side
    if not isinstance(patches, int) or not 1 <= patches <= side:
        raise ValueError(f'patches is {patches!r}; expected None, "full" or 1 to {side} for {encoder.name}')
    return patches, patches
