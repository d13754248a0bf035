"""A map of vectors in two dimensions: by their principal components, or by UMAP."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from dinoclip_viz.tasks.pca.streaming import streaming_pca
from dinoclip_viz.tasks.retrieval.search import unit_chunks
from dinoclip_viz.tasks.retrieval.vectors import Rows, VectorsLike, as_vectors

Method = Literal["auto", "pca", "umap"]
METHODS: tuple[Method, ...] = get_args(Method)
UMAP_LEAST, UMAP_MOST = 16, 20_000
"""Number of vectors from which and up to which "auto" uses UMAP, where it is installed."""
NEIGHBOURS = 15
NEEDED = 'a map by UMAP needs umap-learn: pip install "dinoclip-viz[explore]"; or use the method "pca"'


def project(features: VectorsLike | Rows, method: Method = "auto", seed: int = 0) -> NDArray[np.float32]:
    """(N, 2) float32 positions of vectors on a map.

    Vectors are normalised first, so that positions follow the cosine. "pca" is exact, reads the rows twice in blocks,
    and needs memory for D x D numbers; the variance is greatest along the first axis. "umap" keeps nearest neighbours
    together (McInnes, Healy and Melville 2018, https://arxiv.org/abs/1802.03426), by the cosine and `NEIGHBOURS`
    neighbours; distances between groups have no meaning there. It reads all rows into memory.

    Args:
        features: (N, D) raw vectors: a tensor, an array, a nested list or rows of a store.
        method: "pca", "umap", or "auto", which is UMAP where it is installed and N is 16 to 20,000, else PCA.
        seed: of UMAP; the same seed gives the same map.

    Raises:
        ValueError: no vectors, vectors that are ragged, not numeric or not finite, an unknown method, or fewer than 16
            vectors for UMAP.
        ModuleNotFoundError: "umap" without umap-learn; the message names the extra.

    Examples:
        >>> project([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], "pca").astype(float).round(2).tolist()
        [[1.0, -0.33], [0.0, 0.67], [-1.0, -0.33]]
    """
    vectors = as_vectors(features, "features")
    count = vectors.shape[0]
    if not count:
        raise ValueError("found no vectors; expected at least one")
    return _by_umap(vectors, seed) if method_for(count, method) == "umap" else _by_pca(vectors)


def method_for(count: int, method: Method = "auto") -> Literal["pca", "umap"]:
    """The method that `project` uses for so many vectors.

    Args:
        count: N.
        method: as in `project`.

    Raises:
        ValueError: the method is unknown, or there are too few vectors for UMAP.
        ModuleNotFoundError: "umap" without umap-learn.

    Examples:
        >>> method_for(100_000)
        'pca'
    """
    if method not in METHODS:
        raise ValueError(f"found method {method!r}; expected one of {', '.join(METHODS)}")
    installed = find_spec("umap") is not None
    if method == "umap":
        if not installed:
            raise ModuleNotFoundError(NEEDED, name="umap")
        if count < UMAP_LEAST:
            raise ValueError(f'found {count} vectors; UMAP needs at least {UMAP_LEAST}: use the method "pca"')
        return "umap"
    return "umap" if method == "auto" and installed and UMAP_LEAST <= count <= UMAP_MOST else "pca"


def _by_pca(vectors: Rows) -> NDArray[np.float32]:
    count, width = vectors.shape
    points = np.zeros((count, 2), np.float32)
    components = min(2, width, count - 1)
    if components < 1:
        return points
    fitted = streaming_pca(_units(vectors), components)
    start = 0
    for part in _units(vectors):
        points[start : start + len(part), :components] = (part - fitted.mean) @ fitted.components.T
        start += len(part)
    return points


def _by_umap(vectors: Rows, seed: int) -> NDArray[np.float32]:
    import warnings

    from umap import UMAP

    rows = np.concatenate([part.astype(np.float32) for part in _units(vectors)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on graphs of several components, and on one thread with a seed
        made = UMAP(n_neighbors=min(NEIGHBOURS, len(rows) - 1), metric="cosine", random_state=seed, n_jobs=1)
        return np.asarray(made.fit_transform(rows), dtype=np.float32)


def _units(vectors: Rows) -> Iterator[NDArray[np.float64]]:
    for _, part in unit_chunks(vectors):
        yield part.to(torch.float64).numpy()
