"""PCA of patch tokens: colours that stay the same from picture to picture, and the foreground."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures, same_space

Subject = Literal["all", "foreground"]
Fittable = ImageFeatures | Image.Image | Sequence[ImageFeatures | Image.Image]
LARGEST_FIT = 400_000
"""Patches that a fit holds in memory at once."""


class PatchPCA:
    """Principal components of patch tokens, fitted once and applied to any picture of the same encoder.

    Every step is fixed after `fit`: a patch has one colour, whatever else is shown beside it. Components are whitened
    and squashed by a sigmoid (as in DINOv3's notebooks) rather than stretched picture by picture; the first points to
    the foreground, by the vote of the patches along the pictures' borders, which are mostly background.

    Args:
        components: how many, 1 or more; three make a colour.
        subject: "all" fits the colours on all patches; "foreground" fits them again on the foreground alone, as in
            DINOv2's paper (Oquab et al. 2023, section 7.5), so that parts stand apart from each other.
        flip: turn the polarity of the first component round by hand, where the vote went wrong.
        encoder: what `fit` and `transform` encode pictures with, if pictures come in place of features.

    Attributes:
        space_: the encoder's space that the components belong to.
        mean_, components_, deviations_: (D,), (K, D) and (K,) of the colours.
        axis_mean_, axis_: (D,) and (D,) the first component of all patches, which tells foreground from background.
        threshold_: value of the first component above which a patch is foreground (Otsu 1979).
        explained_variance_: (K,) share of the variance of the patches that the colours were fitted on.

    Examples:
        >>> from dinoclip_viz import load_encoder, playground
        >>> features = load_encoder("playground-dino").encode([s.image for s in playground.draw(1000, 4)])
        >>> pca = PatchPCA(components=3).fit(features)
        >>> pca.transform(features).shape, pca.foreground(features).shape
        (torch.Size([4, 12, 12, 3]), torch.Size([4, 12, 12]))
    """

    def __init__(
        self,
        components: int = 3,
        subject: Subject = "all",
        flip: bool = False,
        encoder: ImageEncoder | str = "playground-dino",
    ) -> None:
        if components < 1:
            raise ValueError(f"components is {components}; expected 1 or more")
        if subject not in ("all", "foreground"):
            raise ValueError(f"subject is {subject!r}; expected 'all' or 'foreground'")
        self.components, self.subject, self.flip, self.encoder = components, subject, flip, encoder

    def fit(self, features: Fittable) -> PatchPCA:
        """Learn components, polarity and threshold from pictures, jointly, whatever their grids.

        Args:
            features: features of one or several pictures, a list of them, or pictures, which are encoded whole.

        Raises:
            ValueError: nothing to fit on, fewer patches than components, or patches that are not finite.
            SpaceError: features of different encoders.
        """
        parts = self._features(features)
        if not parts:
            raise ValueError("no features were given; expected at least one picture")
        space = parts[0].patch_space
        for part in parts[1:]:
            same_space(space, part.patch_space)
        patches = torch.cat([part.patches.flatten(0, 2) for part in parts]).double().numpy()
        if len(patches) > LARGEST_FIT:
            raise ValueError(
                f"{len(patches)} patches are more than the {LARGEST_FIT} that fit at once; give fewer pictures"
            )
        if len(patches) <= self.components or self.components > patches.shape[1]:
            raise ValueError(
                f"{len(patches)} patches of {patches.shape[1]} values cannot give {self.components} components"
            )
        if not np.isfinite(patches).all():
            raise ValueError("some patches are not finite; check the encoder's dtype")
        self.space_ = space
        mean, axes, deviations, shares = _principal(patches, self.components)
        border = np.concatenate([_border(part).reshape(-1) for part in parts])
        first = (patches - mean) @ axes[0]
        threshold = otsu(first)
        if ((first[border] > threshold).mean() > 0.5) != self.flip:
            axes[0], first, threshold = -axes[0], -first, -threshold
        self.axis_mean_, self.axis_, self.threshold_ = mean, axes[0].copy(), float(threshold)
        inside = first > threshold
        if self.subject == "foreground" and inside.sum() > self.components:
            mean, axes, deviations, shares = _principal(patches[inside], self.components)
        self.mean_, self.components_, self.deviations_, self.explained_variance_ = mean, axes, deviations, shares
        return self

    @overload
    def transform(self, features: ImageFeatures | Image.Image) -> Tensor: ...
    @overload
    def transform(self, features: Sequence[ImageFeatures | Image.Image]) -> list[Tensor]: ...
    def transform(self, features: Fittable) -> Tensor | list[Tensor]:
        """(B, H, W, K) colours in [0, 1], float32; a list of them for a list.

        The same patch gets the same colour whatever else is in the batch: sigmoid(2 z), z the whitened components.

        Raises:
            ValueError: not fitted yet.
            SpaceError: features of another encoder than the one fitted on.
        """
        self._check_fitted()

        def colours(part: ImageFeatures) -> Tensor:
            whitened = (self._patches(part) - self.mean_) @ self.components_.T / self.deviations_  # (B, H, W, K)
            return torch.from_numpy(1 / (1 + np.exp(-2 * whitened))).float()

        return self._each(features, colours)

    @overload
    def foreground(self, features: ImageFeatures | Image.Image, threshold: float | None = None) -> Tensor: ...
    @overload
    def foreground(
        self, features: Sequence[ImageFeatures | Image.Image], threshold: float | None = None
    ) -> list[Tensor]: ...
    def foreground(self, features: Fittable, threshold: float | None = None) -> Tensor | list[Tensor]:
        """(B, H, W) bool, True where the first component is above the threshold; a list of them for a list.

        Args:
            features: as in `transform`.
            threshold: in units of `first_component`; by default `threshold_`.

        Raises:
            ValueError: not fitted yet.
            SpaceError: features of another encoder than the one fitted on.
        """
        self._check_fitted()
        level = self.threshold_ if threshold is None else threshold
        return self._each(features, lambda part: torch.from_numpy(self._first(part) > level))

    @overload
    def first_component(self, features: ImageFeatures | Image.Image) -> Tensor: ...
    @overload
    def first_component(self, features: Sequence[ImageFeatures | Image.Image]) -> list[Tensor]: ...
    def first_component(self, features: Fittable) -> Tensor | list[Tensor]:
        """(B, H, W) the first component of all patches, foreground high, float64: what the histogram shows."""
        self._check_fitted()
        return self._each(features, lambda part: torch.from_numpy(self._first(part)))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted basis as one safetensors file.

        Raises:
            ValueError: not fitted yet.
        """
        self._check_fitted()
        tensors = {
            name: torch.from_numpy(np.array(getattr(self, name), order="C"))
            for name in ("mean_", "components_", "deviations_", "explained_variance_", "axis_mean_", "axis_")
        }
        tensors["threshold_"] = torch.tensor([self.threshold_], dtype=torch.float64)
        settings = {"components": self.components, "subject": self.subject, "flip": self.flip, "space": self.space_}
        save_file(tensors, Path(path), {"patch_pca": json.dumps(settings)})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> PatchPCA:
        """A basis from a file that `save` wrote.

        Raises:
            ValueError: the file is missing or is no saved basis.
        """
        file = Path(path)
        if not file.is_file():
            raise ValueError(f"there is no file {file}; expected a basis written by PatchPCA.save")
        try:
            with safe_open(file, "pt") as opened:
                settings = json.loads((opened.metadata() or {})["patch_pca"])
                values = {name: opened.get_tensor(name).numpy() for name in opened.keys()}  # noqa: SIM118
            pca = cls(settings["components"], settings["subject"], settings["flip"])
            for name in ("mean_", "components_", "deviations_", "explained_variance_", "axis_mean_", "axis_"):
                setattr(pca, name, values[name])
            pca.threshold_, pca.space_ = float(values["threshold_"][0]), settings["space"]
        except (SafetensorError, KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{file} is no basis written by PatchPCA.save") from error
        return pca

    def _check_fitted(self) -> None:
        if not hasattr(self, "space_"):
            raise ValueError("this PatchPCA is not fitted; call fit(features) or PatchPCA.load(path) first")

    def _patches(self, part: ImageFeatures) -> NDArray[np.float64]:
        same_space(self.space_, part.patch_space)
        patches: NDArray[np.float64] = part.patches.double().numpy()
        return patches

    def _first(self, part: ImageFeatures) -> NDArray[np.float64]:
        first: NDArray[np.float64] = (self._patches(part) - self.axis_mean_) @ self.axis_  # (B, H, W)
        return first

    def _each(self, features: Fittable, apply: Callable[[ImageFeatures], Tensor]) -> Tensor | list[Tensor]:
        results = [apply(part) for part in self._features(features)]
        return results[0] if isinstance(features, ImageFeatures | Image.Image) else results

    def _features(self, features: Fittable) -> list[ImageFeatures]:
        items = [features] if isinstance(features, ImageFeatures | Image.Image) else list(features)
        if not any(isinstance(item, Image.Image) for item in items):
            return [item for item in items if isinstance(item, ImageFeatures)]
        if isinstance(self.encoder, str):
            from dinoclip_viz.encoders import load_encoder

            self.encoder = load_encoder(self.encoder)
        encoder = self.encoder
        return [encoder.encode_each([item])[0] if isinstance(item, Image.Image) else item for item in items]


def _principal(
    patches: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean (D,), components (K, D) of fixed sign, deviations (K,) and shares of the variance (K,)."""
    from sklearn.decomposition import PCA

    fitted = PCA(count, svd_solver="covariance_eigh").fit(patches)
    axes = fitted.components_.copy()
    largest = np.abs(axes).argmax(1)
    axes *= np.sign(axes[np.arange(count), largest])[:, None]  # the largest weight of each component is positive
    deviations = np.sqrt(np.maximum(fitted.explained_variance_, 1e-12))
    return fitted.mean_, axes, deviations, fitted.explained_variance_ratio_


def _border(part: ImageFeatures) -> NDArray[np.bool_]:
    """(B, H, W) True along the edges of each grid."""
    rows, columns = part.grid
    border = np.ones((len(part), rows, columns), bool)
    border[:, 1 : rows - 1, 1 : columns - 1] = False
    return border


def otsu(values: NDArray[np.float64]) -> float:
    """The threshold that splits values into two groups of the greatest variance between them (Otsu 1979).

    Args:
        values: (N,) numbers, N >= 2.

    Examples:
        >>> otsu(np.array([0.0, 0.1, 0.9, 1.0]))
        0.5
    """
    ordered = np.sort(values)
    lower = np.arange(1, len(ordered))
    below = np.cumsum(ordered)[:-1]
    share = lower / len(ordered)
    gap = below / lower - (ordered.sum() - below) / (len(ordered) - lower)
    split = int((share * (1 - share) * gap**2).argmax())
    return float((ordered[split] + ordered[split + 1]) / 2)
