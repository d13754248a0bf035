"""Unsupervised segments: k-means and normalised cuts on patch tokens, jointly over images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures, same_space
from dinoclip_viz.encoders.mixed import FeaturesLike, as_features, is_single
from dinoclip_viz.images import ImageLike
from dinoclip_viz.tasks.pca.patch_stream import DEFAULT_ENCODER, flat_patches

LARGEST_FIT = 100_000
"""Largest number of patches that k-means is fitted on; of more, every n-th is used."""
LARGEST_EXACT = 6000
"""Largest number of patches with an exact graph; of more, ncut-pytorch samples."""
MOST_SEGMENTS = 64
TEMPERATURE = 0.1
_ROUNDS = 4  # starts of k-means, of which the best is kept


class PatchClusters:
    """k-means on unit patch tokens: fitted once, consistent segments for any image of the same encoder.

    Tokens are normalised, so that distances follow the cosine. Segments are numbered by their size in the images of the
    fit, the largest first; ties are numbered in order of appearance.

    Args:
        count: number of segments, 1 to 64.
        seed: of the starts; results are reproducible for one seed, set of images and machine.
        encoder: encodes images that are given instead of features; a name or an encoder. None uses "playground-dino".

    Attributes:
        space_: the encoder's space.
        centres_: (K, D) float32 centres of the unit tokens.

    Examples:
        >>> patches = torch.tensor([[[[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]]])
        >>> vectors = torch.zeros(1, 2)
        >>> features = ImageFeatures(vectors, vectors, patches, torch.zeros(1, 4), vectors, "somewhere")
        >>> PatchClusters(2).fit(features).assign(features).tolist()
        [[[0, 0, 1]]]
    """

    def __init__(self, count: int, seed: int = 0, encoder: str | ImageEncoder | None = None) -> None:
        _check_count(count)
        self.count, self.seed = count, seed
        self.encoder: str | ImageEncoder = encoder or DEFAULT_ENCODER

    def fit(self, features: FeaturesLike, masks: Sequence[Tensor] | None = None) -> Self:
        """Fit the centres jointly on all images; their grids may differ.

        Args:
            features: features or images in any form, one or several; images are encoded whole.
            masks: one (B, H, W) bool mask per item, the patches to fit on; None for all.

        Raises:
            ImageError: no item, or one that is neither features nor an image.
            ValueError: no features, fewer patches than segments, or patches that are not finite.
            SpaceError: features of different encoders.
        """
        from sklearn.cluster import KMeans

        parts = _parts(features, self.encoder)
        rows = _unit(flat_patches(parts))
        if masks is not None:
            rows = rows[torch.cat([mask.flatten() for mask in masks])]
        rows = rows[:: 1 + (len(rows) - 1) // LARGEST_FIT] if len(rows) else rows
        _check_rows(rows, self.count)
        means = KMeans(self.count, n_init=_ROUNDS, random_state=self.seed).fit(rows.numpy())
        order = _by_size(means.labels_, self.count)
        self.space_, self.centres_ = parts[0].patch_space, torch.from_numpy(means.cluster_centers_[order]).float()
        return self

    @overload
    def assign(self, features: ImageFeatures | ImageLike) -> Tensor: ...  # type: ignore[overload-overlap]
    @overload
    def assign(self, features: Iterable[ImageFeatures | ImageLike]) -> list[Tensor]: ...
    def assign(self, features: FeaturesLike) -> Tensor | list[Tensor]:
        """(B, H, W) int64 index of the nearest centre, from 0; a list of them for several items.

        Args:
            features: as in `fit`.

        Raises:
            ImageError: as in `fit`.
            ValueError: not fitted yet.
            SpaceError: features of another encoder than the one fitted on.
        """
        if not hasattr(self, "space_"):
            raise ValueError("these clusters are not fitted; call fit(features) first")
        found = [self._nearest(part) for part in as_features(self.encoder, features)]
        return found[0] if is_single(features) else found

    def _nearest(self, features: ImageFeatures) -> Tensor:
        same_space(self.space_, features.patch_space)
        distances = torch.cdist(_unit(features.patches.flatten(0, 2)), self.centres_)  # (B * H * W, K)
        return distances.argmin(1).view(features.patches.shape[:3])


def kmeans_segments(
    features: FeaturesLike, count: int, seed: int = 0, encoder: str | ImageEncoder | None = None
) -> list[Tensor]:
    """(B, H, W) int64 segments per item, with the same numbers in all images, the largest 0.

    Args:
        features: features or images in any form, one or several, segmented jointly.
        count: number of segments, 1 to 64.
        seed: of the starts.
        encoder: encodes images that are given instead of features; a name or an encoder. None uses "playground-dino".

    Raises:
        ImageError: no item, or one that is neither features nor an image.
        ValueError: no features, or fewer patches than segments.
        SpaceError: features of different encoders.
    """
    clusters = PatchClusters(count, seed)
    parts = _parts(features, encoder or DEFAULT_ENCODER)
    return clusters.fit(parts).assign(parts)


def spectral_segments(
    features: FeaturesLike,
    count: int,
    temperature: float = TEMPERATURE,
    seed: int = 0,
    encoder: str | ImageEncoder | None = None,
) -> list[Tensor]:
    """(B, H, W) int64 segments per item by normalised cuts of the graph of all patches, the largest 0.

    The weight between two patches is exp((cosine - 1) / temperature). The leading eigenvectors of the normalised graph
    embed each patch (Shi and Malik 2000, "Normalized cuts and image segmentation"), and k-means on the embedding gives
    the segments. Unlike k-means on the tokens, it follows chains of similar patches. Up to 6,000 patches the graph is
    exact; beyond, ncut-pytorch extends the result of a sample to all patches (Yang et al. 2024, "AlignedCut").

    Args:
        features: features or images in any form, one or several, segmented jointly.
        count: number of segments, 2 to 64.
        temperature: above 0; lower values connect only more similar patches.
        seed: of the starts of k-means, and of the sample.
        encoder: as in `kmeans_segments`.

    Raises:
        ImageError: no item, or one that is neither features nor an image.
        ValueError: no features, fewer patches than segments, a temperature that is not positive, or more than 6,000
            patches where ncut-pytorch is not installed.
        SpaceError: features of different encoders.
    """
    from sklearn.cluster import KMeans

    _check_count(count, least=2)
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature:g}; expected a number above 0")
    parts = _parts(features, encoder or DEFAULT_ENCODER)
    rows = _unit(flat_patches(parts))
    _check_rows(rows, count + 1)
    exact = len(rows) <= LARGEST_EXACT
    embedding = _exact(rows, count, temperature) if exact else _sampled(rows, count, temperature, seed)  # (N, K)
    embedding /= np.maximum(np.abs(embedding).max(0), 1e-12)
    labels = KMeans(count, n_init=_ROUNDS, random_state=seed).fit_predict(embedding)
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
    except ArpackError:  # many equal patches
        values, vectors = np.linalg.eigh(joined)
    order = values.argsort()[::-1][:count]
    leading: NDArray[np.float64] = vectors[:, order] * scale[:, None]
    return leading


def _sampled(rows: Tensor, count: int, temperature: float, seed: int) -> NDArray[np.float64]:
    """(N, K) leading eigenvectors, extended from a sample of the graph by ncut-pytorch."""
    try:
        from ncut_pytorch import Ncut
    except ImportError as error:
        raise ValueError(
            f"found {len(rows)} patches; expected at most {LARGEST_EXACT} for exact cuts: pass fewer or smaller "
            "images, or run: pip install ncut-pytorch"
        ) from error

    def joined(left: Tensor, right: Tensor | None = None, sigma: float = 1.0) -> Tensor:
        return ((left @ (left if right is None else right).T - 1) / (sigma * temperature)).exp()

    with torch.random.fork_rng(devices=[]):  # its sample is drawn at random
        torch.manual_seed(seed)
        embedding = Ncut(n_eig=count, affinity_fn=joined, sigma=1.0, device="cpu").fit_transform(rows)
    found: NDArray[np.float64] = embedding.double().numpy()
    return found


def _parts(features: FeaturesLike, encoder: str | ImageEncoder) -> list[ImageFeatures]:
    parts = as_features(encoder, features)
    for part in parts[1:]:
        same_space(parts[0].patch_space, part.patch_space)
    return parts


def _unit(rows: Tensor) -> Tensor:
    """(N, D) unit rows."""
    return torch.nn.functional.normalize(rows.float(), dim=-1)


def _by_size(labels: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """(K,) the labels by falling frequency; ties in order of first appearance."""
    sizes = np.bincount(labels, minlength=count)
    first = np.full(count, len(labels))
    seen, positions = np.unique(labels, return_index=True)
    first[seen] = positions
    return np.lexsort((first, -sizes))


def _check_count(count: int, least: int = 1) -> None:
    if not least <= count <= MOST_SEGMENTS:
        raise ValueError(f"count is {count}; expected {least} to {MOST_SEGMENTS}")


def _check_rows(rows: Tensor, least: int) -> None:
    if len(rows) < least:
        raise ValueError(f"found {len(rows)} patches; expected at least {least}")
    if not rows.isfinite().all():
        raise ValueError("some patches are not finite; check the encoder's dtype")
