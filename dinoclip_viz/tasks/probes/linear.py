"""Linear classification on frozen features: logistic regression with a penalty chosen on held-out images."""

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

from dinoclip_viz.disk import replacing
from dinoclip_viz.encoders.base import same_space
from dinoclip_viz.store import Sharded
from dinoclip_viz.tasks.probes.knn import Labels, class_numbers, numbers_among
from dinoclip_viz.tasks.retrieval.vectors import Vectors, VectorsLike, as_vectors, block

Inputs = Literal["pooled", "mean", "pooled+mean"]
INPUTS: tuple[Inputs, ...] = ("pooled", "mean", "pooled+mean")
"""The vectors that a probe can read."""
GRID = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Values of C, the inverse of the L2 penalty's weight."""

KIND = "linear-class"
_ROWS = 8192
_MOST_STEPS = 2000


class Seen(Protocol):
    """Features of N images: `ImageFeatures`, a `FeatureStore`, or any object with these attributes."""

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
    """Multinomial logistic regression on standardised features, as in the evaluations of CLIP and DINOv2.

    C is chosen by accuracy on a stratified held-out part of the training images (Radford et al. 2021, appendix A.3,
    https://arxiv.org/abs/2103.00020; Oquab et al. 2023, https://arxiv.org/abs/2304.07193), the smallest of equals; the
    probe is then fitted on all training images. Test images are not used. The solver is scikit-learn's L-BFGS; all
    features are in memory.

    Args:
        inputs: vectors to read: "pooled", "mean" or their concatenation, "pooled+mean".
        grid: values of C, one or more; with one value no images are held out.
        held_out: fraction of each class's training images on which C is chosen, above 0 and below 1.
        seed: of the choice of held-out images.

    Attributes:
        classes_: (C,) names or integers, sorted.
        mean_, scale_: (D,) float32 of the standardisation.
        weight_, bias_: (C, D) and (C,) float32.
        c_: the chosen C.
        held_out_: {C: accuracy on the held-out images}, empty where the grid has one value.
        spaces_: {input: its space}, empty after a fit on plain vectors.
        images_: number of images of the fit.
        figures: measurements of the probe, saved with it.

    Raises:
        ValueError: unknown inputs, no C or one that is not above 0, or a fraction outside 0 to 1.

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
            raise ValueError(f"grid is {list(grid)}; expected one or more values above 0")
        if not 0 < held_out < 1:
            raise ValueError(f"held_out is {held_out}; expected a fraction above 0 and below 1")
        self.inputs: Inputs = inputs
        self.grid, self.held_out, self.seed = tuple(sorted(set(grid))), held_out, seed
        self.figures: dict[str, float] = {}

    def fit(self, seen: Seen | VectorsLike, labels: Labels) -> LinearProbe:
        """Choose C and fit the weights on all images.

        Args:
            seen: features of N images, or (N, D) vectors: a tensor, an array, a nested list or rows of a store.
            labels: (N,) classes, names or integers; two or more different ones.

        Raises:
            ValueError: inconsistent shapes, vectors that are ragged, not numeric or not finite, a single class, `mean`
                where the features have none, or one image per class, which leaves none to choose C on.
        """
        spaces = self._spaces(seen)
        features = self._matrix(seen)
        classes, numbers = class_numbers(labels)
        if len(numbers) != len(features):
            raise ValueError(f"{len(numbers)} labels for {len(features)} images; expected one each")
        if len(classes) < 2:
            raise ValueError(f"found one class, {classes[0]!s}; expected two classes or more")
        self.held_out_ = self._choose(features, numbers) if len(self.grid) > 1 else {}
        self.c_ = max(self.held_out_, key=self.held_out_.__getitem__) if self.held_out_ else self.grid[0]
        mean, scale = _standard(features)
        coefficients, intercepts = _regression((features - mean) / scale, numbers, [self.c_])[0]
        self.classes_, self.spaces_, self.images_ = classes, spaces, len(features)
        self.mean_, self.scale_ = torch.from_numpy(mean), torch.from_numpy(scale)
        self.weight_, self.bias_ = torch.from_numpy(coefficients), torch.from_numpy(intercepts)
        return self

    def predict_proba(self, seen: Seen | VectorsLike) -> Tensor:
        """(N, C) float32 probability of each class.

        Args:
            seen: as in `fit`.

        Raises:
            ValueError: not fitted yet, vectors of another width, or vectors that are ragged, not numeric or not finite.
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

    def predict(self, seen: Seen | VectorsLike) -> NDArray[np.generic]:
        """(N,) the most probable class; errors as in `predict_proba`."""
        best = self.predict_proba(seen).argmax(1).numpy()
        chosen: NDArray[np.generic] = self.classes_[best]
        return chosen

    def score(self, seen: Seen | VectorsLike, labels: Labels) -> float:
        """Accuracy of the most probable class, 0 to 1; a class that is not in the fit counts as wrong.

        Args:
            seen: as in `fit`.
            labels: (N,) classes of the images.

        Raises:
            ValueError: different numbers of labels and images, or as in `predict_proba`.
        """
        found = self.predict_proba(seen).argmax(1).numpy()
        target = numbers_among(self.classes_, labels)
        if len(target) != len(found):
            raise ValueError(f"{len(target)} labels for {len(found)} images; expected one each")
        return float((found == target).mean())

    def save(self, path: str | PathLike[str]) -> None:
        """Write the probe to a safetensors file, with its settings as JSON in the metadata.

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
        with replacing(Path(path).expanduser()) as aside:
            save_file(tensors, aside, {"linear_probe": json.dumps(about)})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> LinearProbe:
        """The fitted probe from a file written by `save`.

        Args:
            path: of the file.

        Raises:
            ValueError: the file is missing or not a saved probe.
        """
        file = Path(path).expanduser()
        if not file.is_file():
            raise ValueError(f"found no file {file}; expected a probe written by LinearProbe.save")
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
            raise ValueError(f"cannot read {file} as a probe; expected a file of LinearProbe.save") from error
        probe.mean_, probe.scale_, probe.weight_, probe.bias_ = values.values()
        width = probe.weight_.shape[-1]
        fitting = {"mean": (width,), "scale": (width,), "weight": (len(probe.classes_), width)}
        if any(tuple(values[name].shape) != shape for name, shape in fitting.items()):
            raise ValueError(f"{file} has inconsistent tensors; expected a file of LinearProbe.save")
        return probe

    def fits(self, seen: Seen) -> bool:
        """Whether the features are of the encoder of the fit."""
        return bool(self.spaces_) and self.spaces_ == self._spaces(seen)

    def _spaces(self, seen: Seen | VectorsLike) -> dict[str, str]:
        if isinstance(seen, Tensor | np.ndarray | Sharded | Sequence):
            return {}
        both = {"pooled": seen.space, "mean": seen.patch_space}
        return {name: both[name] for name in self.inputs.split("+")}

    def _matrix(self, seen: Seen | VectorsLike) -> NDArray[np.float32]:
        """(N, D) vectors that are read of the features."""
        if isinstance(seen, Tensor | np.ndarray | Sharded | Sequence):
            return _whole(as_vectors(seen, "vectors"), "vectors")
        parts = []
        for name in self.inputs.split("+"):
            vectors = seen.pooled if name == "pooled" else seen.mean
            if vectors is None:
                raise ValueError(
                    f"the features of {seen.space} have no `mean`; expected inputs='pooled', or features with `mean`"
                )
            parts.append(_whole(vectors, name))
        return np.concatenate(parts, axis=1)

    def _choose(self, features: NDArray[np.float32], numbers: NDArray[np.int64]) -> dict[float, float]:
        """{C: accuracy on held-out images}, fitted on the others."""
        aside = _held_out(numbers, self.held_out, self.seed)
        if not aside.any():
            raise ValueError("found one image per class; expected more to choose C on, or a grid of one C")
        mean, scale = _standard(features[~aside])
        scaled = (features - mean) / scale
        found = _regression(scaled[~aside], numbers[~aside], self.grid)
        held, target = scaled[aside], numbers[aside]
        scores = [held @ weight.T + bias for weight, bias in found]
        return {c: float((each.argmax(1) == target).mean()) for c, each in zip(self.grid, scores, strict=True)}


def _held_out(numbers: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.bool_]:
    """(N,) True for about that fraction of each class's images, at least one of two or more, never all."""
    chance = np.random.default_rng(seed)
    aside = np.zeros(len(numbers), bool)
    for number in np.unique(numbers):
        own = chance.permutation(np.flatnonzero(numbers == number))
        count = min(max(round(fraction * len(own)), 1), len(own) - 1)
        aside[own[:count]] = True
    return aside


def _standard(features: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(D,) mean and standard deviation; constant features have deviation 1."""
    from sklearn.preprocessing import StandardScaler

    fitted = StandardScaler().fit(features)
    return fitted.mean_.astype(np.float32), fitted.scale_.astype(np.float32)


def _regression(
    features: NDArray[np.float32], numbers: NDArray[np.int64], grid: Sequence[float]
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """(C, D) weights and (C,) biases for each C of the grid; each fit starts from the previous one."""
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
        raise ValueError(f"{name} have shape {tuple(vectors.shape)}; expected (N, D), N >= 1")
    starts = range(0, len(vectors), _ROWS)
    matrix = np.concatenate([block(vectors, start, min(start + _ROWS, len(vectors))).cpu().numpy() for start in starts])
    broken = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(broken):
        raise ValueError(
            f"{len(broken)} of {len(matrix)} rows of {name} are NaN or infinite, row {broken[0]} first; "
            "encode them again, on another device or in another dtype"
        )
    return matrix
