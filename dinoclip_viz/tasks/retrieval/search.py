"""Search in a feature store: the nearest images to a text, to an image, or to any of several examples.

The search is exact and its memory does not grow with the store: rows are read in chunks, and only the best k are kept.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.encoders import as_encoder, load_encoder
from dinoclip_viz.encoders.base import ImageEncoder, same_space
from dinoclip_viz.encoders.devices import dtype_name
from dinoclip_viz.images import ImagesLike
from dinoclip_viz.models import ImageTextModel, as_model
from dinoclip_viz.projector import Projector
from dinoclip_viz.store import FeatureStore, check_one_dtype
from dinoclip_viz.tasks.retrieval.stored import IMAGES, check_images
from dinoclip_viz.tasks.retrieval.vectors import Numbers, Rows, VectorsLike, as_tensor, as_vectors

CHUNK = 16384
"""Rows of a store per block."""

_QUERIES_AT_ONCE = 64


@dataclass(frozen=True)
class Carried:
    """A store's images in the space of a projector's texts, projected as they are read.

    Attributes:
        store: (N, D) features of the projector's image encoder, with patches if it reads them.
        projector: in float64, so that the vector of a row does not depend on the rest of its block. A projector on the
            text side does not change images.
    """

    store: FeatureStore
    projector: Projector

    @property
    def shape(self) -> tuple[int, ...]:
        """N, and D of the vectors."""
        one = self[0:1] if len(self.store) else torch.empty(0, 0)
        return len(self.store), one.shape[1]

    def __getitem__(self, rows: slice) -> Tensor:
        """(n, D) raw vectors of a slice of rows."""
        if not self.projector.reads_patches or self.store.patches is None:
            return self._block(rows, None)
        first, last, _ = rows.indices(len(self.store))  # patches of a whole block would fill the memory
        blocks = [slice(start, min(start + IMAGES, last)) for start in range(first, last, IMAGES)]
        parts = [self._block(block, _doubles(self.store.patches[block])) for block in blocks]
        return torch.cat(parts) if parts else torch.empty(0, self.projector.outputs, dtype=torch.float64)

    @torch.no_grad()
    def _block(self, rows: slice, patches: Tensor | None) -> Tensor:
        pooled = _doubles(self.store.pooled[rows])
        mean = _doubles(self.store.mean[rows]) if self.store.mean is not None else pooled
        return self.projector.image_vectors(pooled, mean, patches)


@dataclass(frozen=True)
class Hit:
    """A search result.

    Attributes:
        rank: from 1, the best.
        row: row number in the store.
        key, image_path, caption: from the metadata; the key is the path or the row where the store has no keys.
        score: cosine with the query.
    """

    rank: int
    row: int
    key: str
    image_path: str
    caption: str
    score: float


def nearest(
    queries: Numbers | VectorsLike, vectors: VectorsLike | Rows, k: int, chunk: int = CHUNK
) -> tuple[Tensor, Tensor]:
    """(Q, k) cosines and (Q, k) rows of the vectors nearest to each query, best first.

    Among equal cosines the lower row comes first, and cosines are computed in float64, so that the result does not
    depend on `chunk`. Memory is `chunk` x D, independent of N.

    Args:
        queries: (Q, D) raw vectors: a tensor, an array or a nested list.
        vectors: (N, D) raw vectors of the same space, or rows of a store.
        k: number of neighbours; all where there are fewer vectors.
        chunk: vectors per block.

    Raises:
        ValueError: k or chunk below 1, no vectors, inconsistent shapes, or vectors that are ragged, not numeric or not
            finite.

    Examples:
        >>> scores, rows = nearest(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [2.0, 0.0], [3.0, 0.0]]), k=2)
        >>> rows.tolist(), scores.tolist()
        ([[1, 2]], [[1.0, 1.0]])
    """
    vectors = as_vectors(vectors, "vectors")
    asked = F.normalize(_checked(as_tensor(queries, "queries", "(Q, D)"), vectors, k).double().cpu(), dim=-1).split(
        _QUERIES_AT_ONCE
    )
    best = [(torch.empty(len(block), 0), torch.empty(len(block), 0, dtype=torch.int64)) for block in asked]
    for start, part in unit_chunks(vectors, chunk):
        for index, block in enumerate(asked):
            scores, rows = _top((block @ part.T).float(), k)  # (Q, k)
            scores, rows = torch.cat([best[index][0], scores], 1), torch.cat([best[index][1], rows + start], 1)
            scores, kept = _top(scores, k)  # earlier rows are lower and come first
            best[index] = scores, rows.gather(1, kept)
    return torch.cat([scores for scores, _ in best]), torch.cat([rows for _, rows in best])


def best_of_any(scores: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(k,) scores and rows, each row with its best score over all queries, best first.

    Args:
        scores: (Q, k) of the k best of each query, as from `nearest`, which include the k best over all.
        rows: (Q, k); -1 for none.
        k: number of results; fewer where there are fewer distinct rows.

    Examples:
        >>> best_of_any(torch.tensor([[0.9, 0.5], [0.8, 0.7]]), torch.tensor([[3, 1], [1, 3]]), k=2)
        (tensor([0.9000, 0.8000]), tensor([3, 1]))
    """
    found, positions = rows.flatten().unique(return_inverse=True)  # rows ascending
    best = torch.full(found.shape, -torch.inf).scatter_reduce(0, positions, scores.flatten().float(), "amax")
    best, found = best[found >= 0], found[found >= 0]
    best, kept = _top(best[None], k)
    return best[0], found[kept[0]]


def carried(store: FeatureStore, model: str | ImageTextModel) -> Rows:
    """(N, D) vectors of a store's images in a model's space: as stored, or projected as they are read.

    Args:
        store: features of the model's image encoder, or pooled features in the space of its texts.
        model: an image-text model or its name.

    Raises:
        SpaceError: the store's features are neither in the model's space nor of its projector's image encoder.
        ValueError: the projector reads `mean` or patches, which the store does not have.
    """
    model = as_model(model)
    projector = model.projector
    if projector is None or store.patch_space != projector.image_space:
        same_space(store.space, model.space)
        return store.pooled
    if store.mean is None and "mean" in projector.inputs.split("+"):
        raise ValueError(
            f"{store.path} has no `mean`; expected it for the projector of {model.name}: embed the source again"
        )
    check_images(store, projector.inputs)
    return Carried(store, copy.deepcopy(projector).double())


def text_queries(store: FeatureStore, texts: str | Sequence[str], model: str | ImageTextModel) -> tuple[Tensor, Rows]:
    """(T, D) vectors of texts, and (N, D) vectors of the store's images in the same space.

    Args:
        store: the store.
        texts: one text or T of them, used as typed.
        model: an image-text model or its name.

    Raises:
        SpaceError, ValueError: as in `carried`, or an empty text.
    """
    texts, model = [texts] if isinstance(texts, str) else texts, as_model(model)
    vectors = carried(store, model)
    if not texts or not all(text.strip() for text in texts):
        raise ValueError("the text is empty; expected words, such as a red car")
    return model.encode_texts(texts).pooled, vectors


def image_queries(
    store: FeatureStore, images: ImagesLike, by: str | ImageEncoder | ImageTextModel
) -> tuple[Tensor, Rows]:
    """(B, D) vectors of images, and (N, D) vectors of the store's images in the same space.

    Args:
        store: the store.
        images: one image or B of them, in any form.
        by: the store's own encoder or its name, or a loaded model, in whose space images are compared. By a name, the
            encoder computes in the dtype of the store.

    Raises:
        ImageError: no image, or one that cannot be read.
        SpaceError: the encoder or model is not the store's.
        StoreError: the store's encoder is given in another dtype than that of the store.
        ValueError: as in `carried`.
    """
    size, by = store.settings.size or None, _encoder_in_dtype(by, store) if isinstance(by, str) else by
    if not isinstance(by, ImageTextModel):
        same_space(by.space, store.space)
        _check_dtype(store, by)
        return by.encode(images, size).pooled, store.pooled
    vectors = carried(store, by)
    same = by.images.patch_space == store.patch_space
    if same:
        _check_dtype(store, by.images)
    return by.encode_images(images, size if same else None, methods=()).pooled, vectors


def _encoder_in_dtype(name: str, store: FeatureStore) -> ImageEncoder:
    """The encoder of a name, as it is loaded already if that is in the store's dtype."""
    encoder, stored = as_encoder(name), store.settings.dtype
    return encoder if stored in ("", dtype_name(encoder.dtype)) else load_encoder(name, encoder.device, stored)


def _check_dtype(store: FeatureStore, encoder: ImageEncoder) -> None:
    computed = {str(store.path): store.settings.dtype, "the query": dtype_name(encoder.dtype)}
    check_one_dtype(store.settings.encoder, computed)


def search_texts(
    store: FeatureStore, texts: str | Sequence[str], model: str | ImageTextModel, k: int = 10
) -> tuple[Tensor, Tensor]:
    """(T, k) cosines and rows of the nearest images to each text; arguments and errors as in `text_queries`."""
    return nearest(*text_queries(store, texts, model), k)


def search_images(
    store: FeatureStore, images: ImagesLike, by: str | ImageEncoder | ImageTextModel, k: int = 10
) -> tuple[Tensor, Tensor]:
    """(B, k) cosines and rows of the nearest images to each image; arguments and errors as in `image_queries`."""
    return nearest(*image_queries(store, images, by), k)


def search_like(store: FeatureStore, examples: Numbers | VectorsLike, k: int = 10) -> tuple[Tensor, Tensor]:
    """(k,) cosines and rows of the nearest images to any of the examples, best first.

    This extends a collection from a few images, as for DINOv2's training set: "Retrieval" in section 3 of Oquab et al.
    2023, https://arxiv.org/abs/2304.07193.

    Args:
        store: images to choose from.
        examples: (M, D) raw vectors of the store's encoder.
        k: number of results; all where the store has fewer.

    Raises:
        ValueError: as in `nearest`.
    """
    return best_of_any(*nearest(examples, store.pooled, k), k)


def hits(store: FeatureStore, scores: Tensor, rows: Tensor) -> list[Hit]:
    """The results of one query with their metadata.

    Args:
        store: the store.
        scores: (k,) best first.
        rows: (k,); -1 is skipped.
    """
    kept = [(row, score) for row, score in zip(rows.tolist(), scores.tolist(), strict=True) if row >= 0]
    known = described(store, [row for row, _ in kept])
    return [
        Hit(rank, row, *words, score) for rank, ((row, score), words) in enumerate(zip(kept, known, strict=True), 1)
    ]


def described(store: FeatureStore, rows: Sequence[int]) -> list[tuple[str, str, str]]:
    """Key, image_path and caption of each row; the key is the path or the row where the store has no keys."""
    table = store.metadata
    columns = {name: table[name] for name in ("key", "image_path", "caption") if name in table.column_names}
    found = []
    for row in rows:  # not `take`, which imports pandas
        values = {name: column[int(row)].as_py() for name, column in columns.items()}
        path = str(values.get("image_path") or "")
        found.append((str(values.get("key") or path or row), path, str(values.get("caption") or "")))
    return found


def unit_chunks(vectors: Rows, chunk: int = CHUNK) -> Iterator[tuple[int, Tensor]]:
    """Number of the first row and (n, D) float64 unit vectors of each block of rows.

    Raises:
        ValueError: chunk is below 1, or as in `unit_rows`.
    """
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; expected 1 or more")
    for start in range(0, vectors.shape[0], chunk):
        yield start, unit_rows(vectors, start, min(start + chunk, vectors.shape[0]))


def unit_rows(vectors: Rows, start: int, stop: int) -> Tensor:
    """(n, D) float64 unit vectors of a slice of rows; zero vectors stay zero.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    part = _doubles(vectors[start:stop])
    lengths = part.norm(dim=1, keepdim=True)
    broken = ~lengths.isfinite().flatten()
    if broken.any():
        row = start + int(broken.nonzero()[0])
        raise ValueError(f"row {row} of the vectors is NaN or infinite; embed the source again")
    part /= lengths.clamp_min(1e-12)
    return part


def _doubles(rows: Tensor | NDArray[np.generic]) -> Tensor:
    """A copy in float64, on the CPU."""
    if isinstance(rows, Tensor):
        return rows.detach().to("cpu", torch.float64, copy=True)
    return torch.from_numpy(np.array(rows, np.float64))


def _checked(queries: Tensor, vectors: Rows, k: int) -> Tensor:
    if k < 1:
        raise ValueError(f"k is {k}; expected 1 or more")
    if not vectors.shape[0]:
        raise ValueError("found no vectors; expected at least one image")
    if queries.ndim != 2 or not len(queries) or queries.shape[1] != vectors.shape[1]:
        raise ValueError(
            f"queries have shape {tuple(queries.shape)}, vectors {tuple(vectors.shape)}; "
            "expected (Q, D) and (N, D) of one space"
        )
    if not queries.isfinite().all():
        raise ValueError("queries has NaN or infinite values; expected finite vectors")
    return queries


def _top(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k greatest values of each row and their columns, greatest first, the first among equal ones."""
    k = min(k, scores.shape[1])
    best, columns = scores.topk(k, dim=1)
    tied = (scores >= best[:, -1:]).sum(1) > k  # topk may then return a later one
    if tied.any():
        columns[tied] = scores[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    columns = columns.sort(dim=1).values
    best, order = scores.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return best, columns.gather(1, order)
