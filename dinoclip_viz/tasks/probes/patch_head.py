"""Linear heads on frozen patch tokens for segmentation and depth, saved as one file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dinoclip_viz.disk import replacing
from dinoclip_viz.encoders.base import EncoderError, ImageFeatures, same_space
from dinoclip_viz.encoders.mixed import FeaturesLike, as_features
from dinoclip_viz.images import ImageLike, is_image
from dinoclip_viz.tasks.grids import patch_labels
from dinoclip_viz.tasks.probes.depth import NEAREST, patch_depths
from dinoclip_viz.tasks.probes.head_training import HeadRecipe, fit_layer
from dinoclip_viz.tasks.probes.patch_maps import label_map, mean_map
from dinoclip_viz.tasks.probes.patch_table import PatchTable

Labelled = Iterable[tuple[ImageFeatures, Sequence[NDArray[np.generic]]]]
"""Features of images, and per image its (height, width) labels (255: unknown) or metres (0: unknown)."""

HeadKind = Literal["segmentation", "depth"]
Spacing = Literal["uniform", "log"]
BINS = 256
_OFFSET = 0.1  # added to every bin by AdaBins' linear normalisation


class PatchHead:
    """One linear layer on the patch tokens of a frozen encoder.

    As in DINOv2's frozen evaluations (Oquab et al. 2023, section 7.4): it predicts logits of classes, or depth. A depth
    head with `bins` follows AdaBins (Bhat et al. 2021), as DINOv2 does: it predicts scores of evenly spaced depths,
    normalises them linearly and returns the mean; with `bins=0` the layer predicts the logarithm of the depth. Patches
    are standardised for the fit, which is then folded into the weights. Files store weights as float16.

    Args:
        names: of the classes, label 0 first, for a segmentation head.
        depth: nearest and farthest depth that is predicted, in metres, for a depth head.
        bins: of a depth head; 0 for regression.
        spacing: of the bins: "uniform" in metres, as in AdaBins, or "log", of equal relative resolution.
        cls: whether to append the image's `pooled` vector (DINO's CLS) to each patch.
        recipe: settings of the fit.

    Attributes:
        weight_, bias_: (K, D) and (K,) of the layer.
        space_: the encoder's space of patches.
        encoder_: the encoder's name, as given to `fit`.
        size_: the image size in pixels, as given to `fit`.
        images_, patches_: number of images and patches of the fit.
        palette: red, green and blue (0 to 255) of each class, where the data set defines colours; else None.
        figures: measurements of the head, saved with it.

    Raises:
        ValueError: neither or both of names and depth, repeated names, or an invalid range.

    Examples:
        >>> from dinoclip_viz import load_encoder, playground
        >>> scenes = playground.draw(2000, 4)
        >>> features = load_encoder("playground-dino").encode([scene.image for scene in scenes], fit="whole")
        >>> head = PatchHead(names=["background", *playground.CLASSES]).fit([(features, [s.mask for s in scenes])])
        >>> [tuple(labels.shape) for labels in head.predict(features[:2])]
        [(96, 96), (96, 96)]
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        depth: tuple[float, float] | None = None,
        bins: int = BINS,
        spacing: Spacing = "uniform",
        cls: bool = False,
        recipe: HeadRecipe | None = None,
    ) -> None:
        if bool(names) == (depth is not None):
            raise ValueError("expected names, for a segmentation head, or depth=(nearest, farthest), for a depth head")
        if len(set(names)) < len(names) or len(names) == 1 or len(names) > 255:
            raise ValueError(f"{len(names)} names, {len(set(names))} of them different; expected 2 to 255, each once")
        if depth is not None and not 0 < depth[0] < depth[1] < float("inf"):
            raise ValueError(f"depths from {depth[0]:g} to {depth[1]:g} m; expected positive, the nearest first")
        if bins < 0 or bins == 1:
            raise ValueError(f"bins={bins}; expected 2 or more, or 0 for regression")
        if spacing not in ("uniform", "log"):
            raise ValueError(f"spacing={spacing!r}; expected 'uniform' or 'log'")
        self.names, self.depth, self.cls, self.recipe = tuple(names), depth, cls, recipe or HeadRecipe()
        self.bins = bins if depth is not None else 0
        self.spacing: Spacing = spacing
        self.palette: list[list[int]] | None = None
        self.encoder_, self.size_, self.images_, self.patches_ = "", 0, 0, 0
        self.figures: dict[str, float] = {}

    @property
    def kind(self) -> HeadKind:
        """What the head predicts: "segmentation" or "depth"."""
        return "segmentation" if self.depth is None else "depth"

    def fit(self, batches: Labelled, encoder: str = "", size: int = 0) -> PatchHead:
        """Fit the layer on labelled images, in one pass over them.

        Args:
            batches: features with the labels or metres of each image; memory does not grow with their number.
            encoder: the encoder's name, with which `predict` encodes images.
            size: longer side in pixels at which images are encoded; 0 for the encoder's default.

        Raises:
            ValueError: nothing to fit on, or labels beyond the classes.
            SpaceError: features of different encoders.
        """
        table = PatchTable(self.recipe.memory)
        pooled: list[Tensor] = []
        space, first_grid = "", (0, 0)
        for features, labels in batches:
            space = same_space(space or features.patch_space, features.patch_space)
            first_grid = first_grid if pooled else features.grid
            for row in range(len(features)):
                targets = self._targets(labels[row], features.grid, features.boxes[row]).flatten()
                known = targets >= 0  # False for NaN
                table.add(features.patches[row].flatten(0, 1)[known], targets[known], len(pooled))
                pooled.append(features.pooled[row].float() if self.cls else torch.empty(0))
        if not len(table):
            raise ValueError("found no labelled patches; expected images with their labels")
        self.space_, self.encoder_, self.size_ = space, encoder or space, size or 0
        self.images_, self.patches_ = len(pooled), len(table)
        stacked = torch.stack(pooled)
        layer = self._initial(table.width + stacked.shape[1], table.targets)
        self.weight_, self.bias_ = fit_layer(table, stacked, layer, self._loss, self.recipe)
        return self

    def scores(self, features: ImageFeatures) -> Tensor:
        """(B, H, W, K) outputs of the layer per patch: logits, scores of bins, or the logarithm of metres.

        Raises:
            ValueError: not fitted yet.
            SpaceError: features of another encoder than the one fitted on.
        """
        self._check(features)
        width = features.patches.shape[-1]
        scores = features.patches @ self.weight_[:, :width].T + self.bias_
        if self.cls:
            scores = scores + (features.pooled @ self.weight_[:, width:].T)[:, None, None]
        return scores

    def patch_values(self, features: ImageFeatures) -> Tensor:
        """(B, H, W) label or metres of each patch; errors as in `scores`."""
        scores = self.scores(features)
        return scores.argmax(-1) if self.depth is None else self._metres(scores)

    @overload
    def predict(self, features: ImageLike) -> Tensor: ...  # type: ignore[overload-overlap]
    @overload
    def predict(self, features: ImageFeatures | Iterable[ImageFeatures | ImageLike]) -> list[Tensor]: ...
    def predict(self, features: FeaturesLike) -> Tensor | list[Tensor]:
        """(height, width) labels (int64) or metres (float32) of each image, at its size.

        The outputs of the layer are interpolated between patches first; the class, or the mean of the depths, is taken
        at each pixel. Pixels outside the patches are -1, or NaN.

        Args:
            features: features of images, or images in any form, which are encoded whole by the encoder of the fit.

        Returns:
            One map for one image; a list of them for features or several images.

        Raises:
            ImageError: an item that is neither features nor an image.
            ValueError: not fitted yet.
            SpaceError: features of another encoder than the one fitted on.
        """
        self._check_fitted()
        maps = [one for part in as_features(self.encoder_, features, self.size_ or None) for one in self._maps(part)]
        return maps[0] if is_image(features) else maps

    def _maps(self, features: ImageFeatures) -> list[Tensor]:
        scores = self.scores(features)
        maps = []
        for row, box in enumerate(features.boxes.tolist()):
            width, height = (round(side) for side in features.sizes[row].tolist())
            whole = (height, width)
            if self.depth is None:
                maps.append(label_map(scores[row], box, whole))
            else:
                maps.append(mean_map(scores[row], box, whole, self._metres))
        return maps

    def save(self, path: str | PathLike[str]) -> None:
        """Write the layer to a safetensors file, with its settings as JSON in the metadata.

        Raises:
            ValueError: not fitted yet.
        """
        self._check_fitted()
        about = {
            "kind": self.kind, "space": self.space_, "encoder": self.encoder_, "names": self.names,
            "depth": self.depth, "bins": self.bins, "spacing": self.spacing, "cls": self.cls, "palette": self.palette,
            "size": self.size_, "pictures": self.images_, "patches": self.patches_, "figures": self.figures,
            "recipe": asdict(self.recipe),
        }  # fmt: skip
        tensors = {"weight": self.weight_.half().contiguous(), "bias": self.bias_.float().contiguous()}
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(Path(path)) as aside:
            save_file(tensors, aside, {"patch_head": json.dumps(about)})

    @classmethod
    def load(cls, path: str | PathLike[str], space: str | None = None) -> PatchHead:
        """The fitted head from a file written by `save`.

        Args:
            path: of the file.
            space: required patch space, as `encoder.patch_space`; None accepts any.

        Raises:
            EncoderError: the file is missing, not a saved head, or of another space.
        """
        file = Path(path).expanduser()
        if not file.is_file():
            raise EncoderError(f"found no file {file}; expected a head written by PatchHead.save")
        try:
            with safe_open(file, "pt") as opened:
                about = json.loads((opened.metadata() or {})["patch_head"])
                weight, bias = opened.get_tensor("weight").float(), opened.get_tensor("bias").float()
            head = _described(cls, about)
            fits = weight.ndim == 2 and bias.shape == weight.shape[:1] == (head._outputs(),)
        except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise EncoderError(f"{file} cannot be read as a head; expected a file written by PatchHead.save") from error
        if not fits:
            raise EncoderError(f"{file} has weights {tuple(weight.shape)}, which do not match its settings")
        head.weight_, head.bias_ = weight, bias
        if space is not None and head.space_ != space:
            raise EncoderError(
                f"{file} is a head for the patches of {head.space_!r}; expected {space!r}: fit a head for it, or "
                f"load the encoder {head.encoder_}"
            )
        return head

    def _outputs(self) -> int:
        return len(self.names) or self.bins or 1

    def _targets(self, labels: NDArray[np.generic], grid: tuple[int, int], box: Tensor) -> Tensor:
        if self.depth is not None:
            return patch_depths(labels, grid, box, self.depth[1])
        known = labels[labels != 255]
        if known.size and not 0 <= int(known.min()) <= int(known.max()) < len(self.names):
            wrong = known.min() if known.min() < 0 else known.max()
            raise ValueError(f"found the label {wrong}; expected 0 to {len(self.names) - 1}, or 255 for unknown")
        return patch_labels(labels.astype(np.int64), grid, len(self.names), box)

    def _initial(self, inputs: int, targets: Tensor) -> torch.nn.Linear:
        """The layer before training: zeros, and for depth a bias that predicts a typical value."""
        layer = torch.nn.Linear(inputs, self._outputs())
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        if self.depth is not None:
            torch.nn.init.constant_(layer.bias, 1.0 if self.bins else float(targets.log().mean()))
        return layer

    def _loss(self, out: Tensor, targets: Tensor) -> Tensor:
        if self.depth is None:
            return F.cross_entropy(out, targets)
        if not self.bins:
            return F.mse_loss(out[:, 0], targets.log())
        error = self._metres(out).log() - targets.clamp(min=self.depth[0]).log()
        # Eigen et al. 2014, weighted as in AdaBins: the variance of the error, and a fraction of its squared mean
        return (error.var() + 0.15 * error.mean().square()).sqrt()

    def _metres(self, scores: Tensor) -> Tensor:
        """(...) metres from (..., K) scores."""
        nearest, farthest = self.depth or (NEAREST, 1.0)
        if not self.bins:
            return scores[..., 0].exp().clamp(nearest, farthest)
        fractions = (torch.arange(self.bins) + 0.5) / self.bins
        centres = nearest + (farthest - nearest) * fractions
        if self.spacing == "log":
            centres = nearest * (farthest / nearest) ** fractions
        weights = F.relu(scores) + _OFFSET
        return (weights * centres).sum(-1) / weights.sum(-1)

    def _check_fitted(self) -> None:
        if not hasattr(self, "weight_"):
            raise ValueError("this PatchHead is not fitted; call fit(batches) or PatchHead.load(path) first")

    def _check(self, features: ImageFeatures) -> None:
        self._check_fitted()
        same_space(self.space_, features.patch_space)
        if self.cls:  # the encoder's own CLS, not what a projector makes of it
            same_space(features.patch_space.removesuffix("/patches"), features.space)


def _described(cls: type[PatchHead], about: Mapping[str, object]) -> PatchHead:
    """An unfitted head with the settings of an untrusted file."""
    depth, names, palette = about["depth"], about["names"], about["palette"]
    recipe = about["recipe"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError("names")
    if not isinstance(recipe, dict) or not isinstance(about["figures"], dict):
        raise TypeError("recipe")
    if isinstance(depth, list) and len(depth) != 2:
        raise ValueError("depth")
    span = (float(depth[0]), float(depth[1])) if isinstance(depth, list) else None
    spacing: Spacing = "log" if about["spacing"] == "log" else "uniform"
    bins = int(str(about["bins"])) if span else BINS
    head = cls(names, span, bins, spacing, bool(about["cls"]), HeadRecipe(**recipe))
    head.palette = None if palette is None else _colours(palette, len(names))
    head.space_, head.encoder_ = str(about["space"]), str(about["encoder"])
    head.size_, head.images_, head.patches_ = (int(str(about[name])) for name in ("size", "pictures", "patches"))
    head.figures = {str(name): float(value) for name, value in about["figures"].items()}
    return head


def _colours(palette: object, count: int) -> list[list[int]]:
    """The colours of `count` classes.

    Raises:
        ValueError: another number of colours, or invalid ones.
    """
    colours = [[int(value) for value in colour] for colour in palette] if isinstance(palette, list) else []
    if len(colours) != count or any(len(one) != 3 or not 0 <= min(one) <= max(one) <= 255 for one in colours):
        raise ValueError(f"found another palette; expected {count} colours of red, green and blue, 0 to 255")
    return colours
