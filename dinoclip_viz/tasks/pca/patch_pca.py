"""PCA of patch tokens: colours that are comparable between images, and the foreground."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dinoclip_viz.disk import replacing
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures, same_space
from dinoclip_viz.encoders.mixed import FeaturesLike, as_features, is_single
from dinoclip_viz.images import ImageLike
from dinoclip_viz.store import FeatureStore
from dinoclip_viz.tasks.pca.colours import MAPPINGS, component_colours
from dinoclip_viz.tasks.pca.patch_stream import DEFAULT_ENCODER, PatchStream
from dinoclip_viz.tasks.pca.streaming import Moments, Principal, streaming_pca
from dinoclip_viz.tasks.pca.threshold import BinnedOtsu, otsu

Subject = Literal["all", "foreground"]
LARGEST_FIT = 400_000
"""Largest number of patches that a fit holds in memory; more patches, and those of a store, are read in chunks."""
_ARRAYS = ("mean_", "components_", "deviations_", "explained_variance_", "axis_mean_", "axis_")


class PatchPCA:
    """Principal components of patch tokens, fitted once and applied to any image of the same encoder.

    Every step is fixed after `fit`: the colour of a patch does not depend on the other patches in a call. Components
    are whitened and mapped to colours by a fixed function (`component_colours`) rather than rescaled per image. The
    first component is oriented towards the foreground by a vote of the patches along the images' borders, which are
    mostly background.

    Args:
        components: number of components, 1 or more; three make a colour.
        subject: "all" fits the colours on all patches; "foreground" fits them on the foreground alone, as in DINOv2's
            paper (Oquab et al. 2023, section 7.5), which separates parts.
        flip: reverse the orientation of the first component, for images where the vote is wrong.
        encoder: encodes images that are given instead of features; a name or an encoder. None uses "playground-dino".
        colours: how three components become a colour: "oklab" (the first is lightness, the others hue and chroma),
            "rgb" (each a channel, as in DINOv3's notebooks) or "hue". Other numbers of components are not colours.

    Attributes:
        space_: the encoder's space that the components belong to.
        mean_, components_, deviations_: (D,), (K, D) and (K,) of the colours.
        axis_mean_, axis_: (D,) and (D,) the first component of all patches, which separates foreground and background.
        threshold_: value of the first component above which a patch is foreground (Otsu 1979).
        explained_variance_: (K,) fraction of the variance of the patches that the colours were fitted on.

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
        encoder: str | ImageEncoder | None = None,
        colours: str = "oklab",
    ) -> None:
        if colours not in MAPPINGS:
            raise ValueError(f"colours is {colours!r}; expected one of {', '.join(MAPPINGS)}")
        if components < 1:
            raise ValueError(f"components is {components}; expected 1 or more")
        if subject not in ("all", "foreground"):
            raise ValueError(f"subject is {subject!r}; expected 'all' or 'foreground'")
        self.components, self.subject, self.flip, self.colours = components, subject, flip, colours
        self.encoder: str | ImageEncoder = encoder or DEFAULT_ENCODER

    def fit(self, features: FeaturesLike | FeatureStore) -> PatchPCA:
        """Fit components, orientation and threshold jointly on all images; their grids may differ.

        Beyond `LARGEST_FIT` patches, and for a store, the patches are read in chunks, in two or three passes: the
        components are the same, and the threshold is within deviation / 2048 of that of a fit in memory (`BinnedOtsu`).

        Args:
            features: features or images in any form, one or several, mixed; images are encoded whole. Or a store that
                keeps patches.

        Raises:
            ImageError: no item, or one that is neither features nor an image.
            ValueError: nothing to fit on, fewer patches than components, or patches that are not finite.
            SpaceError: features of different encoders.
        """
        if isinstance(features, FeatureStore):
            return self.fit_store(features)
        stream = PatchStream.of_features(as_features(self.encoder, features))
        return self._fit_stream(stream) if len(stream) > LARGEST_FIT else self._fit_in_memory(stream)

    def fit_store(self, store: FeatureStore) -> PatchPCA:
        """Fit on all patches of a store; memory does not grow with their number.

        Args:
            store: a store with patches, as `embed(..., patches=...)` writes.

        Raises:
            ValueError: the store keeps no patches, or as in `fit`.
        """
        return self._fit_stream(PatchStream.of_store(store))

    @overload
    def transform(self, features: ImageFeatures | ImageLike) -> Tensor: ...  # type: ignore[overload-overlap]
    @overload
    def transform(self, features: Iterable[ImageFeatures | ImageLike]) -> list[Tensor]: ...
    def transform(self, features: FeaturesLike) -> Tensor | list[Tensor]:
        """(B, H, W, K) colours in [0, 1], float32; a list of them for several items.

        Three components z, whitened, become sRGB by `component_colours`; another number becomes sigmoid(2 z) each. The
        result does not depend on the rest of the batch.

        Args:
            features: features or images in any form, one or several.

        Raises:
            ImageError: as in `fit`.
            ValueError: not fitted yet.
            SpaceError: features of another encoder than the one fitted on.
        """
        self._check_fitted()
        return self._each(features, lambda part: self._colours(self._patches(part)))

    def transform_store(self, store: FeatureStore) -> Iterator[Tensor]:
        """(B, H, W, K) colours of consecutive images of a store, as from `transform`, in order.

        Raises:
            ValueError: not fitted yet, or the store keeps no patches.
            SpaceError: features of another encoder than the one fitted on.
        """
        self._check_fitted()
        stream = PatchStream.of_store(store)
        same_space(self.space_, stream.space)
        return (self._colours(run.astype(np.float64)) for run in stream.images())

    @overload
    def foreground(self, features: ImageFeatures | ImageLike, threshold: float | None = None) -> Tensor: ...  # type: ignore[overload-overlap]
    @overload
    def foreground(
        self, features: Iterable[ImageFeatures | ImageLike], threshold: float | None = None
    ) -> list[Tensor]: ...
    def foreground(self, features: FeaturesLike, threshold: float | None = None) -> Tensor | list[Tensor]:
        """(B, H, W) bool, True where the first component is above the threshold; a list of them for several items.

        Args:
            features: as in `transform`.
            threshold: in units of `first_component`; None uses `threshold_`.

        Raises:
            ImageError: as in `fit`.
            ValueError: not fitted yet.
            SpaceError: features of another encoder than the one fitted on.
        """
        self._check_fitted()
        level = self.threshold_ if threshold is None else threshold
        return self._each(features, lambda part: torch.from_numpy(self._first(part) > level))

    @overload
    def first_component(self, features: ImageFeatures | ImageLike) -> Tensor: ...  # type: ignore[overload-overlap]
    @overload
    def first_component(self, features: Iterable[ImageFeatures | ImageLike]) -> list[Tensor]: ...
    def first_component(self, features: FeaturesLike) -> Tensor | list[Tensor]:
        """(B, H, W) the first component of all patches, higher on the foreground, float64.

        Arguments and errors are those of `transform`.
        """
        self._check_fitted()
        return self._each(features, lambda part: torch.from_numpy(self._first(part)))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted basis to a safetensors file.

        Raises:
            ValueError: not fitted yet.
        """
        self._check_fitted()
        tensors = {name: torch.from_numpy(np.array(getattr(self, name), order="C")) for name in _ARRAYS}
        tensors["threshold_"] = torch.tensor([self.threshold_], dtype=torch.float64)
        settings = {
            "components": self.components, "subject": self.subject, "flip": self.flip, "space": self.space_,
            "colours": self.colours,
        }  # fmt: skip
        with replacing(Path(path)) as aside:
            save_file(tensors, aside, {"patch_pca": json.dumps(settings)})

    @classmethod
    def load(cls, path: str | PathLike[str], encoder: str | ImageEncoder | None = None) -> PatchPCA:
        """The fitted basis from a file written by `save`.

        Args:
            path: of the file.
            encoder: encodes images, as in the constructor.

        Raises:
            ValueError: the file is missing or not a saved basis.
        """
        file = Path(path)
        if not file.is_file():
            raise ValueError(f"found no file {file}; expected a basis written by PatchPCA.save")
        try:
            with safe_open(file, "pt") as opened:
                settings = json.loads((opened.metadata() or {})["patch_pca"])
                values = {name: opened.get_tensor(name).numpy() for name in opened.keys()}  # noqa: SIM118
            mapping = settings.get("colours", "rgb")  # files of earlier versions keep their colours
            pca = cls(settings["components"], settings["subject"], settings["flip"], encoder, mapping)
            pca._take({name: values[name] for name in _ARRAYS})
            pca.threshold_, pca.space_ = float(values["threshold_"][0]), str(settings["space"])
        except (SafetensorError, KeyError, IndexError, ValueError, TypeError) as error:
            raise ValueError(f"{file} cannot be read as a basis; expected a file written by PatchPCA.save") from error
        return pca

    def _check_fitted(self) -> None:
        if not hasattr(self, "space_"):
            raise ValueError("this PatchPCA is not fitted; call fit(features) or PatchPCA.load(path) first")

    def _fit_in_memory(self, stream: PatchStream) -> PatchPCA:
        parts = list(stream.chunks())
        patches = np.concatenate([part.astype(np.float64) for part, _ in parts])
        border = np.concatenate([edge for _, edge in parts])
        self._check_enough(stream)
        if not np.isfinite(patches).all():
            raise ValueError("some patches are not finite; check the encoder's dtype")
        whole = streaming_pca([patches], self.components)
        first = (patches - whole.mean) @ whole.components[0]
        threshold = otsu(first)
        turned = ((first[border] > threshold).mean() > 0.5) != self.flip
        if turned:
            first, threshold = -first, -threshold
        inside = first > threshold
        again = self.subject == "foreground" and inside.sum() > self.components
        front = streaming_pca([patches[inside]], self.components) if again else None
        return self._learn(stream.space, whole, threshold, turned, front)

    def _fit_stream(self, stream: PatchStream) -> PatchPCA:
        self._check_enough(stream)
        moments = Moments(stream.width)
        for patches, _ in stream.chunks():
            moments.add(patches)
        whole = moments.principal(self.components)
        cut = BinnedOtsu(float(whole.deviations[0]))
        for patches, edge in stream.chunks():
            cut.add((patches.astype(np.float64) - whole.mean) @ whole.components[0], edge)
        turned = (cut.fraction_above() > 0.5) != self.flip
        threshold = -cut.threshold() if turned else cut.threshold()
        if self.subject == "all":
            return self._learn(stream.space, whole, threshold, turned)
        axis, inside = -whole.components[0] if turned else whole.components[0], Moments(stream.width)
        for patches, _ in stream.chunks():
            inside.add(patches[(patches.astype(np.float64) - whole.mean) @ axis > threshold])
        front = inside.principal(self.components) if inside.count > self.components else None
        return self._learn(stream.space, whole, threshold, turned, front)

    def _check_enough(self, stream: PatchStream) -> None:
        if len(stream) <= self.components or self.components > stream.width:
            raise ValueError(
                f"{len(stream)} patches of {stream.width} values cannot give {self.components} components; "
                "expected more patches, or fewer components"
            )

    def _learn(
        self, space: str, whole: Principal, threshold: float, turned: bool, front: Principal | None = None
    ) -> PatchPCA:
        """Set the fitted attributes.

        Args:
            space: of the patches.
            whole: components of all patches.
            threshold: of the first component, oriented towards the foreground.
            turned: whether the first component is reversed for that orientation.
            front: components of the foreground alone, where the colours are fitted on it.
        """
        axes = whole.components.copy()
        if turned:
            axes[0] = -axes[0]
        self.space_, self.threshold_ = space, float(threshold)
        self.axis_mean_, self.axis_ = whole.mean, axes[0].copy()
        colours = whole._replace(components=axes) if front is None else front
        self.mean_, self.components_ = colours.mean, colours.components
        self.deviations_, self.explained_variance_ = colours.deviations, colours.fractions
        return self

    def _take(self, values: dict[str, NDArray[np.float64]]) -> None:
        """Set the fitted arrays from a file.

        Raises:
            ValueError: their shapes are inconsistent, or a value is not finite.
        """
        count, width = self.components, len(values["axis_"])
        shapes = [(width,), (count, width), (count,), (count,), (width,), (width,)]
        for (name, value), shape in zip(values.items(), shapes, strict=True):
            if value.shape != shape or value.dtype != np.float64 or not np.isfinite(value).all():
                raise ValueError(f"{name} is {value.dtype} {value.shape}; expected finite float64 {shape}")
            setattr(self, name, value)

    def _colours(self, patches: NDArray[np.float64]) -> Tensor:
        """(B, H, W, K) colours in [0, 1] of (B, H, W, D) patches."""
        whitened = (patches - self.mean_) @ self.components_.T / self.deviations_  # (B, H, W, K)
        if self.components == 3:
            return torch.from_numpy(component_colours(whitened, self.colours)).float()
        return torch.from_numpy(1 / (1 + np.exp(-2 * whitened))).float()

    def _patches(self, part: ImageFeatures) -> NDArray[np.float64]:
        same_space(self.space_, part.patch_space)
        patches: NDArray[np.float64] = part.patches.double().numpy()
        return patches

    def _first(self, part: ImageFeatures) -> NDArray[np.float64]:
        first: NDArray[np.float64] = (self._patches(part) - self.axis_mean_) @ self.axis_  # (B, H, W)
        return first

    def _each(self, features: FeaturesLike, apply: Callable[[ImageFeatures], Tensor]) -> Tensor | list[Tensor]:
        results = [apply(part) for part in as_features(self.encoder, features)]
        return results[0] if is_single(features) else results
