"""Which image encoder and which text encoder fit each other: every pair among stores, ranked without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.store import FeatureStore, StoreError
from dinoclip_viz.tasks.retrieval.alignment import mutual_neighbours
from dinoclip_viz.tasks.retrieval.cka import cka
from dinoclip_viz.tasks.retrieval.stored import tensor

LIMIT = 5000  # images, as in freeze-align


@dataclass(frozen=True)
class PairScore:
    """How similarly an image encoder and a text encoder see the same image-caption pairs.

    Attributes:
        rank: from 1, the best: by the sum of the ranks by debiased CKA and by mutual neighbours.
        images, texts: the stores.
        column: features of the images: "pooled", or the "mean" of all tokens.
        cka, debiased_cka, low, high: as in `Cka`.
        mutual_neighbours: mean fraction of shared nearest neighbours, 0 to 1.
    """

    rank: int
    images: FeatureStore
    texts: FeatureStore
    column: str
    cka: float
    debiased_cka: float
    low: float
    high: float
    mutual_neighbours: float


def rank_pairs(stores: Sequence[FeatureStore], limit: int = LIMIT, k: int | None = None) -> list[PairScore]:
    """Every pair of image features and a text encoder among stores of the same images, the best first.

    An image's text vector is the mean of its captions' raw vectors (Maniparambil et al., CVPR 2025). Stores with
    captions of one text encoder give that encoder once.

    Args:
        stores: of the same images in the same order, at least one of them with encoded captions.
        limit: number of images, evenly spread over the stores.
        k: number of nearest neighbours; None for 2 N^(1/3) (Rice's rule).

    Raises:
        StoreError: the stores differ in their number of images, or no store has encoded captions.
        ValueError: as in `cka` and `mutual_neighbours`.
    """
    lengths = {str(store.path): len(store) for store in stores}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{path} {count}" for path, count in lengths.items())
        raise StoreError(f"the stores hold different numbers of images: {listed}; expected stores of the same images")
    worded = {store.text_space: store for store in reversed(stores) if store.texts is not None and len(store.texts)}
    if not worded:
        raise StoreError(f"none of {', '.join(lengths)} has encoded captions; embed a source with --texts MODEL")
    distinct = {store.patch_space: store for store in reversed(stores)}
    found = []
    for texts in reversed(worded.values()):
        rows = described_rows(texts, limit)
        said = mean_captions(texts, rows)
        neighbours = k or min(len(rows) - 1, round(2 * len(rows) ** (1 / 3)))
        for images in reversed(distinct.values()):
            for column, seen in _columns(images, rows):
                value = cka(seen, said)
                shared = mutual_neighbours(seen, said, neighbours)
                found.append(
                    PairScore(0, images, texts, column, value.biased, value.debiased, value.low, value.high, shared)
                )
    return _ranked(found)


def _columns(store: FeatureStore, rows: NDArray[np.int64]) -> list[tuple[str, Tensor]]:
    """Name and (N, D) vectors of each kind of image features; the mean where it differs from the pooled vector."""
    pooled = tensor(store.pooled[rows])
    mean = pooled if store.mean is None else tensor(store.mean[rows])
    both = [("pooled", pooled), ("mean", mean)]
    return both[:1] if mean.shape == pooled.shape and torch.equal(mean, pooled) else both


def described_rows(store: FeatureStore, limit: int) -> NDArray[np.int64]:
    """At most `limit` rows of images with captions, evenly spread."""
    rows: NDArray[np.int64] = np.unique(np.asarray(store.text_to_image))
    return rows if len(rows) <= limit else rows[np.linspace(0, len(rows) - 1, limit).astype(np.int64)]


def mean_captions(store: FeatureStore, rows: NDArray[np.int64]) -> Tensor:
    """(N, E) mean of the raw vectors of each image's captions.

    Args:
        store: with encoded captions.
        rows: (N,) images with captions, ascending.
    """
    if store.texts is None or store.text_to_image is None:
        raise StoreError(f"{store.path} has no encoded captions; embed the source with --texts MODEL")
    owners = np.asarray(store.text_to_image)
    mine = np.flatnonzero(np.isin(owners, rows))
    which = torch.from_numpy(np.searchsorted(rows, owners[mine]))
    vectors = tensor(store.texts[mine]).double()
    sums = torch.zeros(len(rows), vectors.shape[1], dtype=torch.float64).index_add_(0, which, vectors)
    return (sums / torch.bincount(which, minlength=len(rows))[:, None]).float()


def _ranked(scores: Sequence[PairScore]) -> list[PairScore]:
    """The scores, best first, with their ranks."""
    sums = np.zeros(len(scores))
    for values in ([one.debiased_cka for one in scores], [one.mutual_neighbours for one in scores]):
        sums += np.argsort(np.argsort([-value for value in values], kind="stable"), kind="stable")
    order = sorted(range(len(scores)), key=lambda number: (sums[number], -scores[number].debiased_cka))
    return [replace(scores[number], rank=rank) for rank, number in enumerate(order, 1)]
