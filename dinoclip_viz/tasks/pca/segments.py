"""Segments without labels: k-means and normalised cuts on patch tokens, jointly over images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures, same_space
from dinoclip_viz.tasks.pca.patch_stream import flat_patches

LARGEST_FIT = 100_000
"""Patches that k-means learns its centres from; of more, every n-th is taken."""
LARGEST_EXACT = 6000
"""Patches whose graph is held whole; of more, ncut-pytorch takes a sample."""
MOST_SEGMENTS = 64
TEMPERATURE = 0.1
_ROUNDS = 4  # starts of k-means, the best of which counts

Features = ImageFeatures | Sequence[ImageFeatures]


class PatchClusters:
    """k-means on the directions of patch tokens: fitted once, the same segments for any image of the same encoder.

    Tokens are brought to length 1, so that k-means goes by their cosine. Segments are numbered by their size in the
    images of the fit, the largest first; of equals, the one seen first.

    Args:
        count: how many segments, from 1 to 64.
        seed: of the starts; the same seed, images and machine give the same segments.

    Attributes:
        space_: the encoder's space; centres_: (K, D) float32 centres of the unit tokens.

    Examples:
        >>> patches = torch.tensor([[[[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]]])
        >>> vectors = torch.zeros(1, 2)
        >>> features = ImageFeatures(vectors, vectors, patches, torch.zeros(1, 4), vectors, "somewhere")
        >>> PatchClusters(2).fit(features).assign(features).tolist()
        [[[0, 0, 1]]]
    """

    def __init__(self, count: int, seed: int = 0) -> None:
        _check_count(count)
        self.count, self.seed = count, seed

    def fit(self, features: Features, masks: Sequence[Tensor] | None = None) -> Self:
        """Learn the centres from images, jointly, whatever their grids.

        Args:
            features: of one or several images, or a list of them.
            masks: (B, H, W) bool for each item of the list, the patches to learn from; None for all.

        Raises:
            ValueError: no features, fewer patches than segments, or patches that are not finite.
            SpaceError: features of different encoders.
        """
        from sklearn.cluster import KMeans

        parts = _parts(features)
        rows = _unit(flat_patches(parts))
        if masks is not None:
            rows = rows[torch.cat([mask.flatten() for mask in masks])]
        rows = rows[:: 1 + (len(rows) - 1) // LARGEST_FIT] if len(rows) else rows
        _check_rows(rows, self.count)
        means = KMeans(self.count, n_init=_ROUNDS, random_state=self.seed).fit(rows.numpy())
        order = _by_size(means.labels_, self.count)
        self.space_, self.centres_ = parts[0].patch_space, torch.from_numpy(means.cluster_centers_[order]).float()
        return self

    def assign(self, features: ImageFeatures) -> Tensor:
        """(B, H, W) int64 number of the nearest centre, from 0.

        Raises:
            ValueError: not fitted yet.
            SpaceError: features of another encoder than the one fitted on.
        """
        if not hasattr(self, "space_"):
            raise ValueError("these clusters are not fitted; call fit(features) first")
        same_space(self.space_, features.patch_space)
        return (
            torch.cdist(_unit(features.patches.flatten(0, 2)), self.centres_).argmin(1).view(features.patches.shape[:3])
        )


def kmeans_segments(features: Features, count: int, seed: int = 0) -> list[Tensor]:
    """(B, H, W) int64 segments for each item, numbered alike in all images, the largest 0.

    Args:
        features: of one or several images, or a list of them, segmented jointly.
        count: how many segments, from 1 to 64.
        seed: of the starts.

    Raises:
        ValueError: no features, or fewer patches than segments.
        SpaceError: features of different encoders.
    """
    clusters = PatchClusters(count, seed).fit(features)
    return [clusters.assign(part) for part in _parts(features)]


def spectral_segments(features: Features, count: int, temperature: float = TEMPERATURE, seed: int = 0) -> list[Tensor]:
    """(B, H, W) int64 segments for each item by normalised cuts of the graph of all patches, the largest 0.

    Two patches are joined by exp((cosine - 1) / temperature). The eigenvectors of the normalised graph of the greatest
    eigenvalues (Shi and Malik 2000, "Normalized cuts and image segmentation") place each patch, and k-means on these
    places makes the segments. Unlike k-means on the tokens, it follows chains of alike patches. Up to 6,000 patches the
    graph is whole; of more, ncut-pytorch takes a sample and carries it over (Yang et al. 2024, "AlignedCut").

    Args:
        features: of one or several images, or a list of them, segmented jointly.
        count: how many segments, from 2 to 64.
        temperature: above 0; a smaller one lets only closer patches join.
        seed: of the starts of k-means, and of the sample.

    Raises:
        ValueError: no features, fewer patches than segments, a temperature that is not positive, or more than 6,000
            patches where ncut-pytorch is not installed.
        SpaceError: features of different encoders.
    """
    from sklearn.cluster import KMeans

    _check_count(count, least=2)
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature:g}; expected a number above 0")
    parts = _parts(features)
    rows = _unit(flat_patches(parts))
    _check_rows(rows, count + 1)
    exact = len(rows) <= LARGEST_EXACT
    places = _exact(rows, count, temperature) if exact else _sampled(rows, count, temperature, seed)  # (N, K)
    places /= np.maximum(np.abs(places).max(0), 1e-12)
    labels = KMeans(count, n_init=_ROUNDS, random_state=seed).fit_predict(places)
    ranks = np.empty(count, np.int64)
    ranks[_by_size(labels, count)] = np.arange(count)
    ordered = torch.from_numpy(ranks[labels])
    sizes = [part.patches.shape[:3].numel() for part in parts]
    return [piece.view(part.patches.shape[:3]) for piece, part in zip(ordered.split(sizes), parts, strict=True)]


def _exact(rows: Tensor, count: int, temperature: float) -> NDArray[np.float64]:
    """(N, K) leading eigenvectors of the graph's random walk."""
    from scipy.sparse.linalg import ArpackError, eigsh

    joined = ((rows @ rows.T - 1) / temperature).exp().double().numpy()  # (N, N)
    scale = 1 / np.sqrt(joined.sum(1))
    joined *= scale[:, None]
    joined *= scale
    try:
        values, vectors = eigsh(joined, k=count, which="LA", v0=np.ones(len(joined)))
    except ArpackError:  # many patches that are one and the same
        values, vectors = np.linalg.eigh(joined)
    order = values.argsort()[::-1][:count]
    turned: NDArray[np.float64] = vectors[:, order] * scale[:, None]
    return turned


def _sampled(rows: Tensor, count: int, temperature: float, seed: int) -> NDArray[np.float64]:
    """The same from a sample of the graph, by ncut-pytorch."""
    try:
        from ncut_pytorch import Ncut
    except ImportError as error:
        raise ValueError(
            f"{len(rows)} patches are more than the {LARGEST_EXACT} whose graph is cut exactly; give fewer or smaller "
            "images, or run: pip install ncut-pytorch"
        ) from error

    def joined(left: Tensor, right: Tensor | None = None, sigma: float = 1.0) -> Tensor:
        return ((left @ (left if right is None else right).T - 1) / (sigma * temperature)).exp()

    with torch.random.fork_rng(devices=[]):  # its sample is drawn at random
        torch.manual_seed(seed)
        places = Ncut(n_eig=count, affinity_fn=joined, sigma=1.0, device="cpu").fit_transform(rows)
    found: NDArray[np.float64] = places.double().numpy()
    return found


def _parts(features: Features) -> list[ImageFeatures]:
    parts = [features] if isinstance(features, ImageFeatures) else list(features)
    if not parts:
        raise ValueError("no features were given; expected at least one image")
    for part in parts[1:]:
        same_space(parts[0].patch_space, part.patch_space)
    return parts


def _unit(rows: Tensor) -> Tensor:
    """(N, D) rows of length 1."""
    return torch.nn.functional.normalize(rows.float(), dim=-1)


def _by_size(labels: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """(K,) the labels, the most frequent first; of equals, the one that comes first in the rows."""
    sizes = np.bincount(labels, minlength=count)
    first = np.full(count, len(labels))
    seen, places = np.unique(labels, return_index=True)
    first[seen] = places
    return np.lexsort((first, -sizes))


def _check_count(count: int, least: int = 1) -> None:
    if not least <= count <= MOST_SEGMENTS:
        raise ValueError(f"{count} segments were asked for; expected {least} to {MOST_SEGMENTS}")


def _check_rows(rows: Tensor, least: int) -> None:
    if len(rows) < least:
        raise ValueError(f"{len(rows)} patches are too few for this; expected at least {least}")
    if not rows.isfinite().all():
        raise ValueError("some patches are not finite; check the encoder's dtype")
