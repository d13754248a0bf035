"""Encoding of one shard: images and captions to the arrays of a store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dinoclip_viz.data.decoding import Decoded
from dinoclip_viz.encoders.base import ImageEncoder, TextEncoder
from dinoclip_viz.store import StoreError
from dinoclip_viz.store.writing import FailedRow, ImageRow, Shard

Patches = str | int | None
"""None for no patches, "full" for all of them, a number R for R x R averaged patches."""

DENSE = "maskclip"
"""Heat-map method whose patches, in the space of the texts, the store of a CLIP contains in addition to its own."""


def embed_shard(
    images: Iterable[Decoded],
    encoders: Sequence[ImageEncoder],
    texts: TextEncoder | None,
    size: int | None = None,
    patches: Patches = None,
    batch_size: int = 32,
) -> Shard:
    """Features of the images of one shard, which depend only on the images and the settings.

    Args:
        images: samples with their images, or with the reason why an image could not be read.
        encoders: loaded image encoders.
        texts: loaded text encoder of the captions, or None.
        size: as in `embed`.
        patches: as in `embed`.
        batch_size: as in `embed`.

    Raises:
        StoreError: an encoder returns vectors that are not finite in float16.
    """
    rows: list[ImageRow] = []
    failed: list[FailedRow] = []
    parts = [{kind: [nothing] for kind, nothing in _nothing(one, size, patches).items()} for one in encoders]
    waiting: list[Image.Image] = []

    def encode() -> None:
        keys = [row.key for row in rows[len(rows) - len(waiting) :]]
        for encoder, part in zip(encoders, parts, strict=True):
            for kind, values in _features(encoder, waiting, size, patches, batch_size).items():
                part[kind].append(_half(values, encoder.name, keys))
        waiting.clear()

    for sample, image in images:
        if isinstance(image, str):
            failed.append(FailedRow(sample.key, sample.path, image))
            continue
        captions = tuple(text for text in sample.captions if text.strip())
        rows.append(ImageRow(sample.key, sample.path, captions, sample.label, *image.size))
        waiting.append(image)
        if len(waiting) == batch_size:
            encode()
    if waiting:
        encode()
    texts_of_rows = [text for row in rows for text in row.captions]
    owners = np.repeat(np.arange(len(rows)), [len(row.captions) for row in rows]).astype(np.int64)
    arrays = [{kind: np.concatenate(values) for kind, values in part.items()} for part in parts]
    return Shard(rows, failed, arrays, encode_captions(texts_of_rows, texts) if texts is not None else None, owners)


def patch_bytes(encoder: ImageEncoder, size: int | None, patches: Patches) -> int:
    """Size on disk of the patches of one image in bytes, including the dense patches of a CLIP.

    Raises:
        ValueError: `patches` does not fit the encoder's grid.
    """
    rows, columns = grid_of(encoder, size, patches)
    return 2 * rows * columns * (encoder.patch_dimension + encoder.dimension * (DENSE in encoder.methods))


def _features(
    encoder: ImageEncoder, images: Sequence[Image.Image], size: int | None, patches: Patches, batch_size: int
) -> dict[str, Tensor]:
    dense = [DENSE] if patches is not None and DENSE in encoder.methods else []
    features = encoder.encode(images, size, "crop", dense, batch_size)
    values = {"img_emb": features.pooled, "mean_emb": features.mean}
    if patches is not None:
        grid = grid_of(encoder, size, patches)
        values["patch_emb"] = _smaller(features.patches, grid)
        if dense:
            values["dense_emb"] = _smaller(features.dense[DENSE], grid)
    return values


def _smaller(patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, R, C, D) patches averaged to a grid of R rows and C columns."""
    if patches.shape[1:3] == grid:
        return patches
    return F.adaptive_avg_pool2d(patches.permute(0, 3, 1, 2), grid).permute(0, 2, 3, 1)


def _half(values: Tensor, name: str, keys: Sequence[str]) -> NDArray[np.float16]:
    half = values.half()
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
    vectors = _half(texts.encode(unique).pooled, texts.name, unique)
    row_of = {text: row for row, text in enumerate(unique)}
    return vectors[[row_of[text] for text in captions]]


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
