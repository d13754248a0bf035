"""Linear classification on frozen features: a logistic regression whose strength is chosen on held-out images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dinoclip_viz.encoders.base import same_space
from dinoclip_viz.store import Sharded
from dinoclip_viz.tasks.probes.knn import Labels, class_numbers, numbers_among
from dinoclip_viz.tasks.retrieval.vectors import Vectors, block

Inputs = Literal["pooled", "mean", "pooled+mean"]
INPUTS: tuple[Inputs, ...] = ("pooled", "mean", "pooled+mean")
"""What of an image's features a probe reads."""
GRID = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Values of C, the inverse of the L2 penalty's weight."""

KIND = "linear-class"
_ROWS = 8192
_MOST_STEPS = 2000


class Seen(Protocol):
    """Features of N images: `ImageFeatures`, a `FeatureStore`, or what else has these."""

    @property
    def pooled(self) -> Vectors:
        """(N, D)."""
        ...

    @property
    def mean(self) -> Vectors | None:
        """(N, D')."""
        ...

    @property
    def space(self) -> str:
        """The space of `pooled`."""
        ...

    @property
    def patch_space(self) -> str:
        """The space of `mean`."""
        ...


class LinearProbe:
    """Multinomial logistic regression on standardised features, as CLIP and DINOv2 are measured.

    C is chosen by accuracy on a part of the TRAINING images that is held out class by class (Radford et al. 2021,
    appendix A.3, https://arxiv.org/abs/2103.00020; Oquab et al. 2023, https://arxiv.org/abs/2304.07193), of equals the
    smallest; then all training images are fitted with it. Test images play no part. The solver is scikit-learn's
    L-BFGS; all features are held in memory.

    Args:
        inputs: what of the features is read: "pooled", "mean" or both side by side.
        grid: values of C, one or more; with one nothing is held out.
        held_out: share of each class's training images that C is chosen on, above 0 and below 1.
        seed: of which images those are.

    Attributes:
        classes_: (C,) names or numbers, sorted.
        mean_, scale_: (D,) float32 of the standardisation.
        weight_, bias_: (C, D) and (C,) float32.
        c_: the C that was chosen.
        held_out_: {C: accuracy on the held-out images}, empty where the grid has one value.
        spaces_: {input: space that it belongs to}, empty where bare vectors were fitted.
        images_: how many were fitted.
        figures: what was measured with it, for whoever reads the file.

    Raises:
        ValueError: unknown inputs, no C or one that is not above 0, or a share outside 0 to 1.

    Examples:
        >>> from dinoclip_viz import load_encoder, playground
        >>> scenes = playground.draw(2000, 40, objects=1)
        >>> features = load_encoder("playground-dino").encode([scene.image for scene in scenes])
        >>> names = [scene.objects[0]["name"] for scene in scenes]
        >>> LinearProbe(grid=[0.1]).fit(features, names).score(features, names)
        1.0
    """

    def __init__(
        self, inputs: Inputs = "pooled", grid: Sequence[float] = GRID, held_out: float = 0.2, seed: int = 0
    ) -> None:
        if inputs not in INPUTS:
            raise ValueError(f"inputs is {inputs!r}; expected one of {', '.join(INPUTS)}")
        if not len(grid) or not all(0 < c < float("inf") for c in grid):
            raise ValueError(f"grid is {list(grid)}; expected one C or more, each above 0")
        if not 0 < held_out < 1:
            raise ValueError(f"held_out is {held_out}; expected a share above 0 and below 1")
        self.inputs: Inputs = inputs
        self.grid, self.held_out, self.seed = tuple(sorted(set(grid))), held_out, seed
        self.figures: dict[str, float] = {}

    def fit(self, seen: Seen | Vectors, labels: Labels) -> LinearProbe:
        """Choose C, and learn the weights from all images.

        Args:
            seen: features of N images, or (N, D) vectors, which are taken as they are.
            labels: (N,) classes, names or whole numbers; two different ones or more.

        Raises:
            ValueError: shapes that do not fit, values that are not finite, one class alone, `mean` where the store has
                none, or classes of one image each, which leave none to choose C on.
        """
        spaces = self._spaces(seen)
        features = self._matrix(seen)
        classes, numbers = class_numbers(labels)
        if len(numbers) != len(features):
            raise ValueError(f"{len(numbers)} labels for {len(features)} images; expected one each")
        if len(classes) < 2:
            raise ValueError(f"every image is of class {classes[0]!s}; expected two classes or more")
        self.held_out_ = self._choose(features, numbers) if len(self.grid) > 1 else {}
        self.c_ = max(self.held_out_, key=self.held_out_.__getitem__) if self.held_out_ else self.grid[0]
        mean, scale = _standard(features)
        coefficients, intercepts = _regression((features - mean) / scale, numbers, [self.c_])[0]
        self.classes_, self.spaces_, self.images_ = classes, spaces, len(features)
        self.mean_, self.scale_ = torch.from_numpy(mean), torch.from_numpy(scale)
        self.weight_, self.bias_ = torch.from_numpy(coefficients), torch.from_numpy(intercepts)
        return self

    def predict_proba(self, seen: Seen | Vectors) -> Tensor:
        """(N, C) float32 probability of each class.

        Raises:
            ValueError: not fitted yet, vectors of another width, or values that are not finite.
            SpaceError: features of another encoder than the one fitted on.
        """
        if not hasattr(self, "weight_"):
            raise ValueError("this LinearProbe is not fitted; call fit(features, labels) or LinearProbe.load(path)")
        spaces = self._spaces(seen)
        for name in self.spaces_.keys() & spaces.keys():
            same_space(self.spaces_[name], spaces[name])
        features = self._matrix(seen)
        if features.shape[1] != self.weight_.shape[1]:
            raise ValueError(f"vectors of {features.shape[1]} values; expected {self.weight_.shape[1]}, as in the fit")
        scores = (torch.from_numpy(features) - self.mean_) / self.scale_ @ self.weight_.T + self.bias_  # (N, C)
        return scores.softmax(1)

    def predict(self, seen: Seen | Vectors) -> NDArray[np.generic]:
        """(N,) the most probable class; errors as in `predict_proba`."""
        best = self.predict_proba(seen).argmax(1).numpy()
        chosen: NDArray[np.generic] = self.classes_[best]
        return chosen

    def score(self, seen: Seen | Vectors, labels: Labels) -> float:
        """Share of images whose most probable class is theirs, 0 to 1; one unknown to the fit is never found.

        Raises:
            ValueError: another number of labels than of images, or as in `predict_proba`.
        """
        found = self.predict_proba(seen).argmax(1).numpy()
        truth = numbers_among(self.classes_, labels)
        if len(truth) != len(found):
            raise ValueError(f"{len(truth)} labels for {len(found)} images; expected one each")
        return float((found == truth).mean())

    def save(self, path: str | PathLike[str]) -> None:
        """Write weights and standardisation as one safetensors file, everything else as JSON in its metadata.

        Raises:
            ValueError: not fitted yet.
        """
        if not hasattr(self, "weight_"):
            raise ValueError("this LinearProbe is not fitted; call fit(features, labels) first")
        about = {
            "kind": KIND, "inputs": self.inputs, "spaces": self.spaces_, "classes": self.classes_.tolist(),
            "c": self.c_, "grid": self.grid, "held_out": self.held_out, "seed": self.seed,
            "held_out_accuracy": list(self.held_out_.values()), "pictures": self.images_, "figures": self.figures,
        }  # fmt: skip
        tensors = {name: getattr(self, f"{name}_").contiguous() for name in ("mean", "scale", "weight", "bias")}
        Path(path).expanduser().parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, Path(path).expanduser(), {"linear_probe": json.dumps(about)})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> LinearProbe:
        """A probe from a file that `save` wrote.

        Raises:
            ValueError: the file is missing or is no saved probe.
        """
        file = Path(path).expanduser()
        if not file.is_file():
            raise ValueError(f"there is no file {file}; expected a probe written by LinearProbe.save")
        try:
            with safe_open(file, "pt") as opened:
                about = json.loads((opened.metadata() or {})["linear_probe"])
                values = {name: opened.get_tensor(name).float() for name in ("mean", "scale", "weight", "bias")}
            probe = cls(about["inputs"], about["grid"], about["held_out"], about["seed"])
            probe.classes_, _ = class_numbers(about["classes"])
            probe.spaces_, probe.images_ = dict(about["spaces"]), int(about["pictures"])
            probe.figures, probe.c_ = dict(about["figures"]), float(about["c"])
            probe.held_out_ = dict(zip(probe.grid, about["held_out_accuracy"], strict=False))
        except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{file} is no probe written by LinearProbe.save") from error
        probe.mean_, probe.scale_, probe.weight_, probe.bias_ = values.values()
        width = probe.weight_.shape[-1]
        fitting = {"mean": (width,), "scale": (width,), "weight": (len(probe.classes_), width)}
        if any(tuple(values[name].shape) != shape for name, shape in fitting.items()):
            raise ValueError(f"{file} is no probe written by LinearProbe.save: its tensors do not fit each other")
        return probe

    def fits(self, seen: Seen) -> bool:
        """Whether the features are of the encoder that the probe was fitted on."""
        return bool(self.spaces_) and self.spaces_ == self._spaces(seen)

    def _spaces(self, seen: Seen | Vectors) -> dict[str, str]:
        if isinstance(seen, Tensor | np.ndarray | Sharded):
            return {}
        both = {"pooled": seen.space, "mean": seen.patch_space}
        return {name: both[name] for name in self.inputs.split("+")}

    def _matrix(self, seen: Seen | Vectors) -> NDArray[np.float32]:
        """(N, D) what is read of the features."""
        if isinstance(seen, Tensor | np.ndarray | Sharded):
            return _whole(seen, "vectors")
        parts = []
        for name in self.inputs.split("+"):
            vectors = seen.pooled if name == "pooled" else seen.mean
            if vectors is None:
                raise ValueError(f"these features of {seen.space} have no `mean`; read 'pooled', or embed them again")
            parts.append(_whole(vectors, name))
        return np.concatenate(parts, axis=1)

    def _choose(self, features: NDArray[np.float32], numbers: NDArray[np.int64]) -> dict[float, float]:
        """{C: accuracy on held-out images}, fitted on the others."""
        aside = _held_out(numbers, self.held_out, self.seed)
        if not aside.any():
            raise ValueError(
                "every class has one image, which leaves none to choose C on; give more, or a grid of one C"
            )
        mean, scale = _standard(features[~aside])
        scaled = (features - mean) / scale
        found = _regression(scaled[~aside], numbers[~aside], self.grid)
        asked, truth = scaled[aside], numbers[aside]
        scores = [asked @ weight.T + bias for weight, bias in found]
        return {c: float((each.argmax(1) == truth).mean()) for c, each in zip(self.grid, scores, strict=True)}


def _held_out(numbers: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """(N,) True for about that share of each class's images, at least one of two or more, never all."""
    chance = np.random.default_rng(seed)
    aside = np.zeros(len(numbers), bool)
    for number in np.unique(numbers):
        own = chance.permutation(np.flatnonzero(numbers == number))
        count = min(max(round(share * len(own)), 1), len(own) - 1)
        aside[own[:count]] = True
    return aside


def _standard(features: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(D,) mean and deviation; a feature that never changes has the deviation 1."""
    from sklearn.preprocessing import StandardScaler

    fitted = StandardScaler().fit(features)
    return fitted.mean_.astype(np.float32), fitted.scale_.astype(np.float32)


def _regression(
    features: NDArray[np.float32], numbers: NDArray[np.int64], grid: Sequence[float]
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """(C, D) weights and (C,) biases for each C of the grid, each fit going on from the one before."""
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(max_iter=_MOST_STEPS, warm_start=True)
    found = []
    for c in grid:
        regression.set_params(C=c).fit(features, numbers)
        weight, bias = (np.array(one, np.float32, order="C") for one in (regression.coef_, regression.intercept_))
        if len(weight) == 1:  # two classes: the logit of the second
            weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
        found.append((weight, bias))
    return found


def _whole(vectors: Vectors, name: str) -> NDArray[np.float32]:
    if len(vectors.shape) != 2 or not len(vectors):
        raise ValueError(f"{name} of shape {tuple(vectors.shape)}; expected (N, D), N 1 or more")
    starts = range(0, len(vectors), _ROWS)
    matrix = np.concatenate([block(vectors, start, min(start + _ROWS, len(vectors))).cpu().numpy() for start in starts])
    broken = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(broken):
        raise ValueError(
            f"{len(broken)} of {len(matrix)} rows of {name} are NaN or infinite, row {broken[0]} first; "
            "encode them again, on another device or in another dtype"
        )
    return matrix
