"""Foreground from a few clicked patches: logistic regression on patch tokens, as in DINOv3's notebook."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Self, overload

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dinoclip_viz.disk import replacing
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures, same_space
from dinoclip_viz.encoders.mixed import FeaturesLike, as_features, is_single
from dinoclip_viz.images import ImageLike
from dinoclip_viz.tasks.grids import patch_at
from dinoclip_viz.tasks.pca.patch_stream import DEFAULT_ENCODER

Point = tuple[float, float]
"""(x, y) in the image's pixels."""
_MARK = "foreground_head"


class ForegroundHead:
    """Classifies patches as foreground or background, fitted on a few examples of each.

    The recipe of DINOv3's foreground notebook (Siméoni et al. 2025): logistic regression of strength C = .1 on patch
    tokens after the final norm, the map of probabilities smoothed by a 3 x 3 median, foreground above .5. Two
    changes serve few and unbalanced clicks on any encoder: tokens are scaled to the length of normalised tokens, the
    square root of D, and both classes have the same weight.

    Args:
        strength: C of the regression, above 0; lower values regularise more.
        median: side of the median window in patches, odd; 1 for no smoothing, which keeps objects of few patches.
        encoder: encodes images that are given instead of features; a name or an encoder. None uses "playground-dino".

    Attributes:
        space_: the encoder's space.
        weights_: (D,) float64.
        bias_: float.

    Examples:
        >>> patches = torch.tensor([[[[1.0, 0.0], [0.9, 0.2], [0.0, 1.0], [0.1, 1.0]]]])
        >>> vectors, box = torch.zeros(1, 2), torch.tensor([[0.0, 0.0, 4.0, 1.0]])
        >>> features = ImageFeatures(vectors, vectors, patches, box, torch.tensor([[4, 1]]), "somewhere")
        >>> clicked_foreground(features, [(0.5, 0.5)], [(3.5, 0.5)]).mask(features).tolist()
        [[[True, True, False, False]]]
    """

    def __init__(self, strength: float = 0.1, median: int = 3, encoder: str | ImageEncoder | None = None) -> None:
        if not strength > 0:
            raise ValueError(f"strength is {strength:g}; expected a number above 0")
        if median < 1 or median % 2 == 0:
            raise ValueError(f"median is {median}; expected an odd number of patches; 1 for no smoothing")
        self.strength, self.median = strength, median
        self.encoder: str | ImageEncoder = encoder or DEFAULT_ENCODER

    def fit(self, tokens: Tensor, labels: Tensor, space: str) -> Self:
        """Fit the regression on labelled patches.

        Args:
            tokens: (N, D) patch tokens.
            labels: (N,) bool, True for foreground; both values occur.
            space: of the tokens.

        Raises:
            ValueError: one class is missing, tokens and labels differ in number, or tokens are not finite.
        """
        from sklearn.linear_model import LogisticRegression

        if tokens.ndim != 2 or labels.shape != tokens.shape[:1]:
            raise ValueError(f"{tuple(tokens.shape)} tokens and {tuple(labels.shape)} labels; expected (N, D) and (N,)")
        positive = int(labels.sum())
        if not 0 < positive < len(labels):
            missing = "foreground" if positive == 0 else "background"
            raise ValueError(
                f"found {positive} foreground and {len(labels) - positive} background patches; "
                f"expected at least one of each: click the {missing} as well"
            )
        if not tokens.isfinite().all():
            raise ValueError("some patches are not finite; check the encoder's dtype")
        learner = LogisticRegression(C=self.strength, class_weight="balanced", max_iter=10_000)
        learner.fit(_scaled(tokens).numpy(), labels.numpy())
        self.space_ = space
        self.weights_, self.bias_ = torch.from_numpy(learner.coef_[0].copy()).double(), float(learner.intercept_[0])
        return self

    @overload
    def probability(self, features: ImageFeatures | ImageLike) -> Tensor: ...  # type: ignore[overload-overlap]
    @overload
    def probability(self, features: Iterable[ImageFeatures | ImageLike]) -> list[Tensor]: ...
    def probability(self, features: FeaturesLike) -> Tensor | list[Tensor]:
        """(B, H, W) probability that a patch is foreground, after the median, float32; a list for several items.

        Args:
            features: features or images in any form, one or several; images are encoded whole.

        Raises:
            ImageError: no item, or one that is neither features nor an image.
            ValueError: not fitted yet.
            SpaceError: features of another encoder than the one fitted on.
        """
        self._check_fitted()
        found = [self._probability(part) for part in as_features(self.encoder, features)]
        return found[0] if is_single(features) else found

    def _probability(self, features: ImageFeatures) -> Tensor:
        same_space(self.space_, features.patch_space)
        raw = torch.sigmoid(_scaled(features.patches) @ self.weights_ + self.bias_).float()  # (B, H, W)
        if self.median == 1:
            return raw
        edge = self.median // 2
        padded = F.pad(raw[:, None], (edge,) * 4, mode="replicate")[:, 0]
        windows = padded.unfold(1, self.median, 1).unfold(2, self.median, 1)  # (B, H, W, median, median)
        return windows.flatten(3).median(dim=-1).values

    @overload
    def mask(self, features: ImageFeatures | ImageLike, threshold: float = 0.5) -> Tensor: ...  # type: ignore[overload-overlap]
    @overload
    def mask(self, features: Iterable[ImageFeatures | ImageLike], threshold: float = 0.5) -> list[Tensor]: ...
    def mask(self, features: FeaturesLike, threshold: float = 0.5) -> Tensor | list[Tensor]:
        """(B, H, W) bool, True where the probability is above the threshold; a list for several items.

        Args:
            features: as in `probability`.
            threshold: a probability, 0 to 1.

        Raises:
            ImageError, ValueError, SpaceError: as in `probability`.
        """
        found = self.probability(features)
        return [part > threshold for part in found] if isinstance(found, list) else found > threshold

    def save(self, path: str | PathLike[str]) -> None:
        """Write the head to a safetensors file.

        Raises:
            ValueError: not fitted yet.
        """
        self._check_fitted()
        settings = {"strength": self.strength, "median": self.median, "space": self.space_}
        tensors = {"weights_": self.weights_, "bias_": torch.tensor([self.bias_], dtype=torch.float64)}
        with replacing(Path(path)) as aside:
            save_file(tensors, aside, {_MARK: json.dumps(settings)})

    @classmethod
    def load(cls, path: str | PathLike[str], encoder: str | ImageEncoder | None = None) -> Self:
        """The fitted head from a file written by `save`.

        Args:
            path: of the file.
            encoder: encodes images, as in the constructor.

        Raises:
            ValueError: the file is missing or not a saved head.
        """
        file = Path(path)
        if not file.is_file():
            raise ValueError(f"found no file {file}; expected a head written by ForegroundHead.save")
        try:
            with safe_open(file, "pt") as opened:
                settings = json.loads((opened.metadata() or {})[_MARK])
                weights, bias = opened.get_tensor("weights_"), opened.get_tensor("bias_")
            head = cls(settings["strength"], settings["median"], encoder)
            head.space_, head.weights_, head.bias_ = str(settings["space"]), weights, float(bias[0])
            if weights.ndim != 1 or weights.dtype != torch.float64:
                raise ValueError(f"weights are {weights.dtype} {tuple(weights.shape)}")
        except (SafetensorError, KeyError, IndexError, ValueError, TypeError) as error:
            raise ValueError(
                f"{file} cannot be read as a head; expected a file written by ForegroundHead.save"
            ) from error
        return head

    def _check_fitted(self) -> None:
        if not hasattr(self, "space_"):
            raise ValueError("this ForegroundHead is not fitted; call fit(...) or ForegroundHead.load(path) first")


def clicked_foreground(
    features: ImageFeatures | ImageLike,
    foreground: Sequence[Point],
    background: Sequence[Point],
    index: int = 0,
    median: int = 3,
    encoder: str | ImageEncoder | None = None,
) -> ForegroundHead:
    """A head fitted on clicks in one image; it applies to all images of the encoder.

    Args:
        features: an image in any form, or features of one or several.
        foreground: points on the subject, in the image's pixels, at least one. Clicks on the same patch count once.
        background: points off the subject, at least one.
        index: index of the clicked image in the features.
        median, encoder: as in `ForegroundHead`.

    Raises:
        ImageError: an image that cannot be read.
        ValueError: clicks of one class alone, outside the image, or of both classes on one patch.
    """
    features = as_features(encoder or DEFAULT_ENCODER, (features,))[0]
    sides = [[patch_at(features, x, y, index) for x, y in points] for points in (foreground, background)]
    both = set(sides[0]) & set(sides[1])
    if both:
        row, column = min(both)
        raise ValueError(
            f"the patch in row {row}, column {column} was clicked as foreground and as background; "
            "expected one of the two: remove either click"
        )
    clicks = [(patch, side == 0) for side, found in enumerate(sides) for patch in dict.fromkeys(found)]
    tokens = [features.patches[index, row, column] for (row, column), _ in clicks]
    if not tokens:
        raise ValueError("found no clicks; expected at least one point of the foreground and one of the background")
    labels = torch.from_numpy(np.array([label for _, label in clicks]))
    return ForegroundHead(median=median, encoder=encoder).fit(torch.stack(tokens), labels, features.patch_space)


def _scaled(tokens: Tensor) -> Tensor:
    """(..., D) tokens scaled to length sqrt(D), float64."""
    return F.normalize(tokens.double(), dim=-1) * math.sqrt(tokens.shape[-1])
