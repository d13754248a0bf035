"""NoLA in one call: from unlabelled images and text rows to a tuned image encoder and a classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.adapt.nola.classifier import WEIGHT, NolaClassifier
from dinoclip_viz.adapt.nola.criterion import neighbour_rows
from dinoclip_viz.adapt.nola.labeller import Labeller, fit_labeller
from dinoclip_viz.adapt.nola.prompted import base_of, tuned_encoder
from dinoclip_viz.adapt.nola.selection import LEAST_IMAGES
from dinoclip_viz.adapt.nola.settings import NolaSettings
from dinoclip_viz.adapt.nola.tuning import Task, Tuner
from dinoclip_viz.adapt.nola.views import Pixels, encoded
from dinoclip_viz.encoders.base import EncoderError, ImageEncoder
from dinoclip_viz.models import Classifier, ImageTextModel
from dinoclip_viz.tasks.zero_shot.classify import check_labels

LABELLER = "labeller"
"""Folder of the labelling network inside that of the checkpoints."""
_UNIT = 1e-3  # largest deviation of the length of a text row from 1
_FEATURES, _LABELLED = 0.1, 0.15  # completed fractions of the work

Progress = Callable[[float, str], None]


def fit_nola(
    model: ImageTextModel,
    images: Pixels,
    texts: Tensor,
    class_names: Sequence[str],
    guide: ImageEncoder | None,
    settings: NolaSettings,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> tuple[ImageEncoder, Classifier]:
    """An image encoder and a classifier of its raw pooled vectors, adapted to unlabelled images.

    NoLA, "CLIP meets DINO" (Imam et al. 2024, https://arxiv.org/abs/2411.19346): the text rows classify the images; the
    most confident ones train a labelling network on the guide's features; prompts, norms and classifier of the model
    are tuned on its labels. Without `settings.tune` the result is the guide and the labelling network.

    Args:
        model: CLIP of transformers or open_clip; without `settings.tune`, any image-text model.
        images: N >= 16 unlabelled images; they are decoded again in each epoch.
        texts: (C, D) unit vector of each class in the model's space.
        class_names: C >= 2 names.
        guide: frozen encoder such as a DINO; None uses the model's own image encoder.
        settings: of all steps.
        folder: for the checkpoints, from which a second call resumes; None saves none.
        progress: receives the completed fraction, 0 to 1, and one line.

    Raises:
        EncoderError: the model cannot be tuned.
        ImageError: an image that cannot be read.
        ValueError: fewer than two classes or 16 images, invalid names or texts, no confident image, or a folder with
            another run.
    """
    report = progress or _ignore
    names = _checked(images, texts, class_names)
    if settings.tune:
        _tunable(model)
    own, features = _features(model, guide, images, report)
    scores = F.normalize(own, dim=1) @ texts.detach().cpu().float().T  # (N, C)
    probabilities = (scores * model.texts.logit_scale).softmax(dim=1)
    labeller: Labeller | None = None
    targets = probabilities.argmax(dim=1)
    if settings.pseudo_labels == "labeller":
        labeller = fit_labeller(features, probabilities, names, settings)
        targets = labeller.probabilities(features).argmax(dim=1)
        if folder is not None and settings.tune:
            labeller.save(folder / LABELLER)
    report(_LABELLED, f"labelling network: {len(targets.unique())} of {len(names)} classes among {len(images)} images")
    if labeller is not None and not settings.tune:
        report(1.0, "the labelling network is the classifier")
        return guide or model.images, labeller
    return _tuned(model, images, texts, names, targets, features, settings, folder, report)


def _tuned(
    model: ImageTextModel, images: Pixels, texts: Tensor, names: tuple[str, ...], targets: Tensor,
    features: Tensor, settings: NolaSettings, folder: Path | None, report: Progress,
) -> tuple[ImageEncoder, NolaClassifier]:  # fmt: skip
    base, _ = base_of(model.images)
    texts = texts.detach().cpu().float()
    neighbours = neighbour_rows(features, settings.neighbours)
    tuner = Tuner(Task(base, images, texts, names, targets, neighbours, settings, folder))
    tensors, record = tuner.run(lambda done, text: report(_LABELLED + (1 - _LABELLED) * done, text))
    report(1.0, f"chose epoch {record.epoch} by its agreement with neighbours, {100 * record.agreement:.1f} %")
    return tuned_encoder(base, tensors), NolaClassifier(names, tensors[WEIGHT])


def _features(
    model: ImageTextModel, guide: ImageEncoder | None, images: Pixels, report: Progress
) -> tuple[Tensor, Tensor]:
    """(N, D) raw vectors in the model's space, and (N, D') of the guide or of the model's own image encoder."""
    total = len(images) * (1 if guide is None else 2)
    own, raw, done = [], [], 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        report(_FEATURES * done / total, f"features of {done} of {total} images")

    for features in encoded(model.images, images):
        own.append(model.pooled_in_space(features.pooled, features.mean, features.patches))
        raw.append(features.pooled)
        count(len(features))
    if guide is not None:
        raw = []
        for features in encoded(guide, images):
            raw.append(features.pooled)
            count(len(features))
    return torch.cat(own), torch.cat(raw)


def _checked(images: Pixels, texts: Tensor, class_names: Sequence[str]) -> tuple[str, ...]:
    names = tuple(check_labels(class_names))
    if len(names) < 2:
        raise ValueError(f"found one class, {names[0]!r}; expected two or more class names")
    if len(images) < LEAST_IMAGES:
        raise ValueError(f"found {len(images)} images; expected at least {LEAST_IMAGES} to learn from")
    if texts.ndim != 2 or len(texts) != len(names):
        raise ValueError(f"texts have shape {tuple(texts.shape)}; expected ({len(names)}, D), one row per class")
    lengths = torch.linalg.vector_norm(texts.float(), dim=1)
    if not ((lengths - 1).abs() < _UNIT).all():
        row = int((lengths - 1).abs().nan_to_num(float("inf")).argmax())
        raise ValueError(f"the text row of {names[row]!r} has length {lengths[row]:.3f}; expected unit rows")
    return names


def _tunable(model: ImageTextModel) -> None:
    if model.projector is not None:
        raise EncoderError(
            f"{model.name} has a projector, and NoLA tunes a CLIP; use its CLIP, or NolaSettings(tune=False)"
        )
    base_of(model.images)


def _ignore(_: float, __: str) -> None:
    """Receives progress that nobody asked for."""
