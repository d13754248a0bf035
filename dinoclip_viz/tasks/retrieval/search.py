"""Search in a feature store: the images closest to a text, to an image, or to any of some examples.

Exact and in memory that does not grow with the store: rows are read a chunk at a time, and only the best k so far stay.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.base import ImageEncoder, same_space
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.projector import Projector
from dinoclip_viz.store import FeatureStore

CHUNK = 16384
"""Rows of a store that are read at once."""

_QUERIES_AT_ONCE = 64


class Rows(Protocol):
    """(N, D) raw vectors that are read a run of rows at a time: a tensor, an array, a memory map, `Carried`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""
        ...

    def __getitem__(self, rows: slice, /) -> Tensor | NDArray[np.generic]:
        """A run of rows."""
        ...


@dataclass(frozen=True)
class Carried:
    """A store's images as a projector's texts are compared with them, projected where they are read.

    Attributes:
        store: (N, D) features of the projector's image encoder.
        projector: computes in float64, so that a row's vector does not depend on its neighbours. One on the text side
            leaves images as they are.
    """

    store: FeatureStore
    projector: Projector

    @property
    def shape(self) -> tuple[int, ...]:
        """N, and D of the vectors."""
        one = self[0:1] if len(self.store) else torch.empty(0, 0)
        return len(self.store), one.shape[1]

    def __getitem__(self, rows: slice) -> Tensor:
        """(n, D) raw vectors of a run of rows."""
        pooled = _doubles(self.store.pooled[rows])
        mean = _doubles(self.store.mean[rows]) if self.store.mean is not None else pooled
        chosen = self.projector.choose(pooled, mean)
        if self.projector.side == "text":
            return chosen
        with torch.no_grad():
            return self.projector.forward(chosen)


@dataclass(frozen=True)
class Hit:
    """An image that was found.

    Attributes:
        rank: 1 for the best.
        row: its number in the store.
        key, image_path, caption: as its metadata has them; the key is the path or the row where there is none.
        score: cosine with the query.
    """

    rank: int
    row: int
    key: str
    image_path: str
    caption: str
    score: float


def nearest(queries: Tensor, vectors: Rows, k: int, chunk: int = CHUNK) -> tuple[Tensor, Tensor]:
    """(Q, k) cosines and (Q, k) rows of the vectors closest to each query, best first.

    Of equal cosines the lower row comes first, and cosines are computed in float64, so that the answer does not depend
    on `chunk`. Memory is `chunk` x D, whatever N is.

    Args:
        queries: (Q, D) raw vectors.
        vectors: (N, D) raw vectors of the same space.
        k: how many; where there are fewer vectors, all of them.
        chunk: vectors read at once.

    Raises:
        ValueError: k or chunk below 1, no vectors, shapes that do not fit, or values that are NaN or infinite.

    Examples:
        >>> scores, rows = nearest(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0], [2.0, 0.0], [3.0, 0.0]]), k=2)
        >>> rows.tolist(), scores.tolist()
        ([[1, 2]], [[1.0, 1.0]])
    """
    asked = F.normalize(_checked(queries, vectors, k).double().cpu(), dim=-1).split(_QUERIES_AT_ONCE)
    best = [(torch.empty(len(block), 0), torch.empty(len(block), 0, dtype=torch.int64)) for block in asked]
    for start, part in unit_chunks(vectors, chunk):
        for place, block in enumerate(asked):
            scores, rows = _top((block @ part.T).float(), k)  # (Q, k)
            scores, rows = torch.cat([best[place][0], scores], 1), torch.cat([best[place][1], rows + start], 1)
            scores, kept = _top(scores, k)  # those before have lower rows and stand first
            best[place] = scores, rows.gather(1, kept)
    return torch.cat([scores for scores, _ in best]), torch.cat([rows for _, rows in best])


def best_of_any(scores: Tensor, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(k,) scores and rows, each row with its best score over all queries, best first.

    Args:
        scores: (Q, k) of each query's own k best, as `nearest` gives them; the k best over all are among them.
        rows: (Q, k); -1 stands for nothing found.
        k: how many; fewer come back where fewer different rows were found.

    Examples:
        >>> best_of_any(torch.tensor([[0.9, 0.5], [0.8, 0.7]]), torch.tensor([[3, 1], [1, 3]]), k=2)
        (tensor([0.9000, 0.8000]), tensor([3, 1]))
    """
    found, places = rows.flatten().unique(return_inverse=True)  # rows ascending
    best = torch.full(found.shape, -torch.inf).scatter_reduce(0, places, scores.flatten().float(), "amax")
    best, found = best[found >= 0], found[found >= 0]
    best, kept = _top(best[None], k)
    return best[0], found[kept[0]]


def carried(store: FeatureStore, model: ImageTextModel) -> Rows:
    """(N, D) vectors of a store's images in a model's space: its own, or projected where they are read.

    Args:
        store: features of the model's image encoder, or pooled features of the very space of its texts.
        model: an image-text model.

    Raises:
        SpaceError: the store's features are neither in the model's space nor of its projector's image encoder.
        ValueError: the projector reads `mean`, and the store has none.
    """
    projector = model.projector
    if projector is None or store.patch_space != projector.image_space:
        same_space(store.space, model.space)
        return store.pooled
    if store.mean is None and "mean" in projector.inputs.split("+"):
        raise ValueError(
            f"{store.path} has no `mean`, which the projector of {model.name} reads; embed the source again"
        )
    return Carried(store, copy.deepcopy(projector).double())


def text_queries(store: FeatureStore, texts: Sequence[str], model: ImageTextModel) -> tuple[Tensor, Rows]:
    """(T, D) vectors of texts as typed, and the store's (N, D) to compare them with.

    Raises:
        SpaceError, ValueError: as in `carried`, or an empty text.
    """
    vectors = carried(store, model)
    if not texts or not all(text.strip() for text in texts):
        raise ValueError("the text is empty; expected words, such as a red car")
    return model.encode_texts(texts).pooled, vectors


def image_queries(
    store: FeatureStore, images: Sequence[Image.Image], by: ImageEncoder | ImageTextModel
) -> tuple[Tensor, Rows]:
    """(B, D) vectors of images, and the store's (N, D) to compare them with.

    Args:
        store: the store.
        images: B images.
        by: the store's own encoder, or a model in whose space images are then compared.

    Raises:
        SpaceError: the encoder or model is not the store's.
        ValueError: there is no image, or as in `carried`.
    """
    size = store.settings.size or None
    if not isinstance(by, ImageTextModel):
        same_space(by.space, store.space)
        return by.encode(images, size).pooled, store.pooled
    vectors = carried(store, by)
    same = by.images.patch_space == store.patch_space
    return by.encode_images(images, size if same else None, methods=()).pooled, vectors


def search_texts(
    store: FeatureStore, texts: Sequence[str], model: ImageTextModel, k: int = 10
) -> tuple[Tensor, Tensor]:
    """(T, k) cosines and rows of the images closest to each text; arguments and errors as in `text_queries`."""
    return nearest(*text_queries(store, texts, model), k)


def search_images(
    store: FeatureStore, images: Sequence[Image.Image], by: ImageEncoder | ImageTextModel, k: int = 10
) -> tuple[Tensor, Tensor]:
    """(B, k) cosines and rows of the images closest to each image; arguments and errors as in `image_queries`."""
    return nearest(*image_queries(store, images, by), k)


def search_like(store: FeatureStore, examples: Tensor, k: int = 10) -> tuple[Tensor, Tensor]:
    """(k,) cosines and rows of the images closest to any of the examples, best first.

    So a collection grows from a few images of its kind, as DINOv2's training set did: "Retrieval" in section 3 of
    Oquab et al. 2023, https://arxiv.org/abs/2304.07193.

    Args:
        store: images to choose from.
        examples: (M, D) raw vectors of the store's encoder.
        k: how many; where the store has fewer, all of them.

    Raises:
        ValueError: as in `nearest`.
    """
    return best_of_any(*nearest(examples, store.pooled, k), k)


def hits(store: FeatureStore, scores: Tensor, rows: Tensor) -> list[Hit]:
    """What the metadata says of the rows that one query found.

    Args:
        store: the store.
        scores: (k,) best first.
        rows: (k,); those that are -1, nothing found, are left out.
    """
    kept = [(row, score) for row, score in zip(rows.tolist(), scores.tolist(), strict=True) if row >= 0]
    known = described(store, [row for row, _ in kept])
    return [
        Hit(rank, row, *words, score) for rank, ((row, score), words) in enumerate(zip(kept, known, strict=True), 1)
    ]


def described(store: FeatureStore, rows: Sequence[int]) -> list[tuple[str, str, str]]:
    """Key, image_path and caption of each of the rows; the key is the path or the row where a store has none."""
    table = store.metadata
    table = table.select([name for name in ("key", "image_path", "caption") if name in table.column_names])
    told = []
    for row, values in zip(rows, table.take(list(rows)).to_pylist() if len(rows) else [], strict=True):
        path = str(values.get("image_path") or "")
        told.append((str(values.get("key") or path or row), path, str(values.get("caption") or "")))
    return told


def unit_chunks(vectors: Rows, chunk: int = CHUNK) -> Iterator[tuple[int, Tensor]]:
    """Number of the first row and (n, D) float64 unit vectors of each run of rows.

    Raises:
        ValueError: chunk is below 1, or as in `unit_rows`.
    """
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; expected 1 or more")
    for start in range(0, vectors.shape[0], chunk):
        yield start, unit_rows(vectors, start, min(start + chunk, vectors.shape[0]))


def unit_rows(vectors: Rows, start: int, stop: int) -> Tensor:
    """(n, D) float64 unit vectors of a run of rows; a vector of zeros stays zero.

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
        raise ValueError("there are no vectors to search in; expected at least one image")
    if queries.ndim != 2 or not len(queries) or queries.shape[1] != vectors.shape[1]:
        raise ValueError(
            f"queries of shape {tuple(queries.shape)} for vectors of shape {tuple(vectors.shape)}; "
            "expected (Q, D) and (N, D) of one space"
        )
    if not queries.isfinite().all():
        raise ValueError("a query is NaN or infinite; expected finite vectors")
    return queries


def _top(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k greatest of each row and their places, greatest first, of equal ones the first."""
    k = min(k, scores.shape[1])
    best, places = scores.topk(k, dim=1)
    tied = (scores >= best[:, -1:]).sum(1) > k  # topk may then have taken a later one
    if tied.any():
        places[tied] = scores[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    places = places.sort(dim=1).values
    best, order = scores.gather(1, places).sort(dim=1, descending=True, stable=True)
    return best, places.gather(1, order)
