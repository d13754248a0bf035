"""The foreground that a few clicked patches stand for: logistic regression on patch tokens, as with DINOv3."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures, same_space
from dinoclip_viz.tasks.grids import patch_at

Point = tuple[float, float]
"""(x, y) in the image's pixels."""
_MARK = "foreground_head"


class ForegroundHead:
    """Tells foreground from background patches after a few examples of each.

    The recipe of DINOv3's foreground notebook (Siméoni et al. 2025): logistic regression of strength C = .1 on patch
    tokens after the final norm, the map of probabilities smoothed by a 3 x 3 median, foreground above .5. So that few
    and uneven clicks and any encoder will do, tokens are first brought to the length that a norm layer gives them, the
    square root of D, and the two sides weigh the same however many clicks each has.

    Args:
        strength: C of the regression, above 0; a smaller one holds the weights closer to 0.
        median: side of the median's window in patches, odd; 1 for none, which keeps objects of few patches.

    Attributes:
        space_: the encoder's space; weights_: (D,) float64; bias_: a number.

    Examples:
        >>> patches = torch.tensor([[[[1.0, 0.0], [0.9, 0.2], [0.0, 1.0], [0.1, 1.0]]]])
        >>> vectors, box = torch.zeros(1, 2), torch.tensor([[0.0, 0.0, 4.0, 1.0]])
        >>> features = ImageFeatures(vectors, vectors, patches, box, torch.tensor([[4, 1]]), "somewhere")
        >>> clicked_foreground(features, [(0.5, 0.5)], [(3.5, 0.5)]).mask(features).tolist()
        [[[True, True, False, False]]]
    """

    def __init__(self, strength: float = 0.1, median: int = 3) -> None:
        if not strength > 0:
            raise ValueError(f"strength is {strength:g}; expected a number above 0")
        if median < 1 or median % 2 == 0:
            raise ValueError(f"median is {median}; expected an odd number of patches, 1 for none")
        self.strength, self.median = strength, median

    def fit(self, tokens: Tensor, labels: Tensor, space: str) -> Self:
        """Learn from patches, some of each side.

        Args:
            tokens: (N, D) patch tokens.
            labels: (N,) bool, True for foreground.
            space: of the tokens.

        Raises:
            ValueError: one side is missing, labels do not fit the tokens, or tokens are not finite.
        """
        from sklearn.linear_model import LogisticRegression

        if tokens.ndim != 2 or labels.shape != tokens.shape[:1]:
            raise ValueError(f"{tuple(tokens.shape)} tokens and {tuple(labels.shape)} labels; expected (N, D) and (N,)")
        positive = int(labels.sum())
        if not 0 < positive < len(labels):
            missing = "foreground" if positive == 0 else "background"
            raise ValueError(
                f"there are {positive} foreground and {len(labels) - positive} background patches; "
                f"expected at least one of each: click the {missing} too"
            )
        if not tokens.isfinite().all():
            raise ValueError("some patches are not finite; check the encoder's dtype")
        learner = LogisticRegression(C=self.strength, class_weight="balanced", max_iter=10_000)
        learner.fit(_scaled(tokens).numpy(), labels.numpy())
        self.space_ = space
        self.weights_, self.bias_ = torch.from_numpy(learner.coef_[0].copy()).double(), float(learner.intercept_[0])
        return self

    def probability(self, features: ImageFeatures) -> Tensor:
        """(B, H, W) probability that a patch is foreground, after the median, float32.

        Raises:
            ValueError: not fitted yet.
            SpaceError: features of another encoder than the one fitted on.
        """
        self._check_fitted()
        same_space(self.space_, features.patch_space)
        raw = torch.sigmoid(_scaled(features.patches) @ self.weights_ + self.bias_).float()  # (B, H, W)
        if self.median == 1:
            return raw
        edge = self.median // 2
        padded = F.pad(raw[:, None], (edge,) * 4, mode="replicate")[:, 0]
        windows = padded.unfold(1, self.median, 1).unfold(2, self.median, 1)  # (B, H, W, median, median)
        return windows.flatten(3).median(dim=-1).values

    def mask(self, features: ImageFeatures, threshold: float = 0.5) -> Tensor:
        """(B, H, W) bool, True where the probability is above the threshold.

        Raises:
            ValueError: not fitted yet.
            SpaceError: features of another encoder than the one fitted on.
        """
        return self.probability(features) > threshold

    def save(self, path: str | PathLike[str]) -> None:
        """Write the head as one safetensors file.

        Raises:
            ValueError: not fitted yet.
        """
        self._check_fitted()
        settings = {"strength": self.strength, "median": self.median, "space": self.space_}
        tensors = {"weights_": self.weights_, "bias_": torch.tensor([self.bias_], dtype=torch.float64)}
        save_file(tensors, Path(path), {_MARK: json.dumps(settings)})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """A head from a file that `save` wrote.

        Raises:
            ValueError: the file is missing or is no saved head.
        """
        file = Path(path)
        if not file.is_file():
            raise ValueError(f"there is no file {file}; expected a head written by ForegroundHead.save")
        try:
            with safe_open(file, "pt") as opened:
                settings = json.loads((opened.metadata() or {})[_MARK])
                weights, bias = opened.get_tensor("weights_"), opened.get_tensor("bias_")
            head = cls(settings["strength"], settings["median"])
            head.space_, head.weights_, head.bias_ = str(settings["space"]), weights, float(bias[0])
            if weights.ndim != 1 or weights.dtype != torch.float64:
                raise ValueError(f"weights are {weights.dtype} {tuple(weights.shape)}")
        except (SafetensorError, KeyError, IndexError, ValueError, TypeError) as error:
            raise ValueError(f"{file} is no head written by ForegroundHead.save") from error
        return head

    def _check_fitted(self) -> None:
        if not hasattr(self, "space_"):
            raise ValueError("this ForegroundHead is not fitted; call fit(...) or ForegroundHead.load(path) first")


def clicked_foreground(
    features: ImageFeatures,
    foreground: Sequence[Point],
    background: Sequence[Point],
    index: int = 0,
    median: int = 3,
) -> ForegroundHead:
    """The head that clicks in one image stand for; it serves all images of the encoder.

    Args:
        features: of the image, or of several.
        foreground: places in the image's pixels that belong to the subject, at least one; background: places that
            do not, at least one. Clicks on the same patch count once.
        index: which image was clicked.
        median: as in `ForegroundHead`.

    Raises:
        ValueError: clicks on one side alone, outside the image, or of both sides on one patch.
    """
    sides = [[patch_at(features, x, y, index) for x, y in points] for points in (foreground, background)]
    both = set(sides[0]) & set(sides[1])
    if both:
        row, column = min(both)
        raise ValueError(
            f"the patch in row {row}, column {column} was clicked as foreground and as background; take one back"
        )
    places = [(place, side == 0) for side, found in enumerate(sides) for place in dict.fromkeys(found)]
    tokens = [features.patches[index, row, column] for (row, column), _ in places]
    if not tokens:
        raise ValueError("nothing was clicked; expected at least one place of the foreground and one of the background")
    labels = torch.from_numpy(np.array([label for _, label in places]))
    return ForegroundHead(median=median).fit(torch.stack(tokens), labels, features.patch_space)


def _scaled(tokens: Tensor) -> Tensor:
    """Tokens (..., D) of length sqrt(D), float64."""
    return F.normalize(tokens.double(), dim=-1) * math.sqrt(tokens.shape[-1])
