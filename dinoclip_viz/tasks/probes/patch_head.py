"""Linear heads on frozen patch tokens: segmentation and depth, fitted once, saved as one file, used on any image."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dinoclip_viz.encoders.base import EncoderError, ImageEncoder, ImageFeatures, same_space
from dinoclip_viz.tasks.grids import patch_labels
from dinoclip_viz.tasks.probes.confusion import NOTHING, Confusion
from dinoclip_viz.tasks.probes.depth import NEAREST, DepthErrors, patch_depths
from dinoclip_viz.tasks.probes.patch_maps import label_map, mean_map
from dinoclip_viz.tasks.probes.patch_table import IN_MEMORY, PatchTable

HeadKind = Literal["segmentation", "depth"]
Spacing = Literal["uniform", "log"]
Truths = Iterable[tuple[ImageFeatures, Sequence[NDArray[np.generic]]]]
"""Features of images, and for each image its (height, width) labels (255: not known) or metres (0: not known)."""

BINS = 256
LEAST_STEPS = 300
"""Steps of a fit on few patches, which the epochs alone would leave undertrained."""
_BESIDE = 0.1  # what AdaBins' linear normalisation adds to every bin


@dataclass(frozen=True)
class HeadRecipe:
    """How a head is fitted; the defaults reach the optimum of a linear layer on standardised patches.

    Attributes:
        epochs: times that each patch is seen, on average.
        batch: patches a step, drawn with replacement.
        learning_rate: of AdamW, falling linearly to a hundredth of it.
        weight_decay: of AdamW.
        memory: bytes of patches held in memory; beyond, they go to a temporary file.
        seed: of the draws.
    """

    epochs: int = 25
    batch: int = 4096
    learning_rate: float = 2e-2
    weight_decay: float = 1e-3
    memory: int = IN_MEMORY
    seed: int = 0


class PatchHead:
    """One linear layer on the patch tokens of a frozen encoder.

    As in DINOv2's frozen evaluations (Oquab et al. 2023, section 7.4): a class by its logits, or a depth. A depth head
    of `bins` follows AdaBins (Bhat et al. 2021) as DINOv2 does: scores of depths at even distances, normalised
    linearly, of which the mean is taken; with `bins=0` the layer gives the logarithm of the depth. Patches are
    standardised for the fit, and that is folded into the weights afterwards. Weights are kept as float16 in a file.

    Args:
        names: of the classes, label 0 first; this makes a segmentation head.
        depth: nearest and farthest metres that can be told; this makes a depth head instead.
        bins: of a depth head; 0 for regression.
        spacing: of the bins: "uniform" in metres, as AdaBins has them, or "log", which serves near and far alike.
        cls: put the image's `pooled` vector (DINO's CLS) beside each patch.
        recipe: how it is fitted.

    Attributes:
        weight_, bias_: (K, D) and (K,) of the layer.
        space_: the encoder's space of patches; encoder_: its name, as given to `fit`.
        size_: the image size in pixels at which it was fitted, as given to `fit`.
        images_, patches_: how many it was fitted on.
        palette: a colour (red, green, blue, 0 to 255) for each class, where the data set has its own; None where not.
        figures: what was measured with it, for whoever reads the file.

    Raises:
        ValueError: neither or both of names and depth, names that repeat, or a range that is none.

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
        """What it tells of a patch."""
        return "segmentation" if self.depth is None else "depth"

    def fit(self, batches: Truths, encoder: str = "", size: int = 0) -> PatchHead:
        """Learn the layer from images with their truth; they are gone through once.

        Args:
            batches: features with the truth of each of their images; memory does not grow with their number.
            encoder, size: the encoder's name and the image size in pixels, kept for the record.

        Raises:
            ValueError: nothing to fit on, or labels that are no class.
            SpaceError: features of different encoders.
        """
        table = PatchTable(self.recipe.memory)
        pooled: list[Tensor] = []
        space, first_grid = "", (0, 0)
        for features, truths in batches:
            space = same_space(space or features.patch_space, features.patch_space)
            first_grid = first_grid if pooled else features.grid
            for row in range(len(features)):
                targets = self._targets(truths[row], features.grid, features.boxes[row]).flatten()
                there = targets >= 0  # NaN is not
                table.add(features.patches[row].flatten(0, 1)[there], targets[there], len(pooled))
                pooled.append(features.pooled[row].float() if self.cls else torch.empty(0))
        if not len(table):
            raise ValueError("no patch with a known truth was given; expected images with their truth")
        self.space_, self.encoder_, self.size_ = space, encoder or space, size or 0
        self.images_, self.patches_ = len(pooled), len(table)
        self.weight_, self.bias_ = self._layer(table, torch.stack(pooled))
        return self

    def scores(self, features: ImageFeatures) -> Tensor:
        """(B, H, W, K) what the layer makes of each patch: logits, scores of bins, or the logarithm of metres.

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
        """(B, H, W) label, or metres, of each patch; errors as in `scores`."""
        scores = self.scores(features)
        return scores.argmax(-1) if self.depth is None else self._metres(scores)

    def predict(self, features: ImageFeatures) -> list[Tensor]:
        """(height, width) labels (int64) or metres (float32) of each image, at its own size.

        What the layer says of patches is interpolated between them first; the class, or the mean of the depths, is
        taken at each pixel. Pixels that the patches do not cover are -1, or NaN. Errors as in `scores`.
        """
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
        """Write the layer as one safetensors file, its settings as JSON in the file's metadata.

        Raises:
            ValueError: not fitted yet.
        """
        if not hasattr(self, "weight_"):
            raise ValueError("this PatchHead is not fitted; call fit(batches) or PatchHead.load(path) first")
        about = {
            "kind": self.kind, "space": self.space_, "encoder": self.encoder_, "names": self.names,
            "depth": self.depth, "bins": self.bins, "spacing": self.spacing, "cls": self.cls, "palette": self.palette,
            "size": self.size_, "pictures": self.images_, "patches": self.patches_, "figures": self.figures,
            "recipe": asdict(self.recipe),
        }  # fmt: skip
        tensors = {"weight": self.weight_.half().contiguous(), "bias": self.bias_.float().contiguous()}
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, Path(path), {"patch_head": json.dumps(about)})

    @classmethod
    def load(cls, path: str | PathLike[str], space: str | None = None) -> PatchHead:
        """A head from a file that `save` wrote.

        Args:
            path: the file.
            space: the patch space that it must fit, as `encoder.patch_space`; None takes any.

        Raises:
            EncoderError: the file is missing, is no saved head, or is one of another space.
        """
        file = Path(path).expanduser()
        if not file.is_file():
            raise EncoderError(f"there is no file {file}; expected a head written by PatchHead.save")
        try:
            with safe_open(file, "pt") as opened:
                about = json.loads((opened.metadata() or {})["patch_head"])
                weight, bias = opened.get_tensor("weight").float(), opened.get_tensor("bias").float()
            head = _described(cls, about)
            fits = weight.ndim == 2 and bias.shape == weight.shape[:1] == (head._outputs(),)
        except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise EncoderError(f"{file} is no head written by PatchHead.save") from error
        if not fits:
            raise EncoderError(f"{file} holds weights {tuple(weight.shape)} that its own settings do not fit")
        head.weight_, head.bias_ = weight, bias
        if space is not None and head.space_ != space:
            raise EncoderError(
                f"{file} is a head for the patches of {head.space_!r}, but {space!r} was asked for; fit one for it, or "
                f"load the encoder {head.encoder_}"
            )
        return head

    def _outputs(self) -> int:
        return len(self.names) or self.bins or 1

    def _targets(self, truth: NDArray[np.generic], grid: tuple[int, int], box: Tensor) -> Tensor:
        if self.depth is not None:
            return patch_depths(truth, grid, box, self.depth[1])
        known = truth[truth != 255]
        if known.size and not 0 <= int(known.min()) <= int(known.max()) < len(self.names):
            wrong = known.min() if known.min() < 0 else known.max()
            raise ValueError(f"the truth holds the label {wrong}; expected 0 to {len(self.names) - 1}, or 255: unknown")
        return patch_labels(truth.astype(np.int64), grid, len(self.names), box)

    def _layer(self, table: PatchTable, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(K, D) weights and (K,) biases for raw patches, fitted on standardised ones."""
        recipe, (mean, deviation) = self.recipe, table.moments()
        if self.cls:
            spread = pooled.std(0) if len(pooled) > 1 else torch.zeros(pooled.shape[1])
            mean, deviation = torch.cat([mean, pooled.mean(0)]), torch.cat([deviation, spread])
        deviation = deviation + 1e-5
        layer = torch.nn.Linear(len(mean), self._outputs())
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
        if self.depth is not None:
            torch.nn.init.constant_(layer.bias, 1.0 if self.bins else float(table.targets.log().mean()))
        optimiser = torch.optim.AdamW(layer.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        batch = min(recipe.batch, len(table))
        steps = max(recipe.epochs * len(table) // batch, LEAST_STEPS)
        schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, steps)
        for rows, targets, owners in table.draws(batch, steps, recipe.seed):
            seen = torch.cat([rows, pooled[owners]], dim=1) if self.cls else rows
            loss = self._loss(layer((seen - mean) / deviation), targets)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        weight = layer.weight.detach() / deviation
        return weight, layer.bias.detach() - weight @ mean

    def _loss(self, out: Tensor, targets: Tensor) -> Tensor:
        if self.depth is None:
            return F.cross_entropy(out, targets)
        if not self.bins:
            return F.mse_loss(out[:, 0], targets.log())
        error = self._metres(out).log() - targets.clamp(min=self.depth[0]).log()
        # Eigen et al. 2014, weighted as in AdaBins: the spread of the error, and a little of its mean
        return (error.var() + 0.15 * error.mean().square()).sqrt()

    def _metres(self, scores: Tensor) -> Tensor:
        """(...) metres of (..., K) scores."""
        nearest, farthest = self.depth or (NEAREST, 1.0)
        if not self.bins:
            return scores[..., 0].exp().clamp(nearest, farthest)
        places = (torch.arange(self.bins) + 0.5) / self.bins
        centres = nearest + (farthest - nearest) * places
        if self.spacing == "log":
            centres = nearest * (farthest / nearest) ** places
        weights = F.relu(scores) + _BESIDE
        return (weights * centres).sum(-1) / weights.sum(-1)

    def _check(self, features: ImageFeatures) -> None:
        if not hasattr(self, "weight_"):
            raise ValueError("this PatchHead is not fitted; call fit(batches) or PatchHead.load(path) first")
        same_space(self.space_, features.patch_space)


def encoded(
    encoder: ImageEncoder,
    pairs: Iterable[tuple[Image.Image, NDArray[np.generic]]],
    size: int | None = None,
    batch: int = 16,
) -> Iterator[tuple[ImageFeatures, list[NDArray[np.generic]]]]:
    """Features of whole images beside their truth, an image at a time; memory does not grow with their number.

    Args:
        encoder: what sees the images.
        pairs: images, each with its truth of the same size.
        size: longer side in pixels at which they are encoded, as in `ImageEncoder.encode`.
        batch: images that are encoded together.
    """
    held: list[tuple[Image.Image, NDArray[np.generic]]] = []

    def ready() -> Iterator[tuple[ImageFeatures, list[NDArray[np.generic]]]]:
        each = encoder.encode_each([image for image, _ in held], size, "whole", batch_size=batch)
        yield from ((features, [truth]) for features, (_, truth) in zip(each, held, strict=True))
        held.clear()

    for pair in pairs:
        held.append(pair)
        if len(held) == batch:
            yield from ready()
    if held:
        yield from ready()


def segmentation_confusion(head: PatchHead, batches: Truths) -> Confusion:
    """The confusion table of a segmentation head over all pixels with a known truth.

    Raises:
        ValueError: it is a depth head, or labels of the truth are none of its classes.
    """
    if head.kind != "segmentation":
        raise ValueError("this is a head for depth; expected one for segmentation")
    table = Confusion(head.names)
    for features, truths in batches:
        for labels, truth in zip(head.predict(features), truths, strict=True):
            table.add(labels, truth)
    return table


def depth_errors(head: PatchHead, batches: Truths, errors: DepthErrors) -> DepthErrors:
    """The errors of a depth head, counted into `errors`.

    Raises:
        ValueError: it is a segmentation head.
    """
    if head.kind != "depth":
        raise ValueError("this is a head for segmentation; expected one for depth")
    for features, truths in batches:
        for metres, truth in zip(head.predict(features), truths, strict=True):
            errors.add(metres, truth)
    return errors


def _described(cls: type[PatchHead], about: Mapping[str, object]) -> PatchHead:
    """An unfitted head with the settings of a file, which a stranger may have written."""
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
        ValueError: they are not that many, or no colours.
    """
    colours = [[int(value) for value in colour] for colour in palette] if isinstance(palette, list) else []
    if len(colours) != count or any(len(one) != 3 or not 0 <= min(one) <= max(one) <= 255 for one in colours):
        raise ValueError(f"expected {count} colours of red, green and blue, 0 to 255")
    return colours


__all__ = [
    "BINS",
    "NOTHING",
    "HeadKind",
    "HeadRecipe",
    "PatchHead",
    "Spacing",
    "Truths",
    "depth_errors",
    "encoded",
    "segmentation_confusion",
]
