"""Adaptation of an image-text model to unlabelled images of named classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from dinoclip_viz.adapt.card import METHODS as ABOUT
from dinoclip_viz.adapt.classifier import Fitted
from dinoclip_viz.adapt.descriptions import Descriptions, class_vectors, descriptions_of
from dinoclip_viz.adapt.inputs import Images, Progress, Unlabelled, gather
from dinoclip_viz.adapt.saving import save_adapted
from dinoclip_viz.adapt.stata import stata
from dinoclip_viz.adapt.transclip import transclip
from dinoclip_viz.adapt.zlap import zlap
from dinoclip_viz.encoders import as_encoder
from dinoclip_viz.encoders.base import ImageEncoder, same_space
from dinoclip_viz.encoders.catalog import CATALOG
from dinoclip_viz.models import ImageTextModel, as_model
from dinoclip_viz.models.adapted import AdaptedSettings
from dinoclip_viz.tasks.zero_shot.classify import check_labels, cosines, label_vectors
from dinoclip_viz.tasks.zero_shot.classify import probabilities as class_probabilities

METHODS: tuple[str, ...] = tuple(ABOUT)
"""Methods of adaptation: "nola", "nola-labeller", "zlap", "transclip" and "stata"."""
GUIDED = ("nola", "nola-labeller")
"""Methods that read pixels, and a guide's features."""

_ENCODED = 0.9  # completed fraction of methods without training once the vectors are there


def adapt(
    model: str | ImageTextModel,
    images: Images,
    class_names: Sequence[str],
    method: str = "nola",
    descriptions: Descriptions | str | PathLike[str] | None = None,
    guide: str | ImageEncoder | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    folder: str | PathLike[str] | None = None,
) -> ImageTextModel:
    """The model with a classifier of these classes, learnt from unlabelled images; no label is read.

    `classify` answers by the classifier; everything else, such as heat maps and search, is that of the model.

    Args:
        model: an image-text model or its name.
        images: unlabelled images: one or several, a source or its name (such as a folder), a feature store of the
            model's image encoder or its folder, or features of `model.encode_images`. "nola" and "nola-labeller" need
            pixels.
        class_names: C >= 2 names.
        method: "nola", which tunes a CLIP in minutes to hours; "nola-labeller", its first half, a network on a DINO's
            features; "stata", "transclip" or "zlap", which take seconds. "stata" is the most reliable where the images
            show few of the classes.
        descriptions: class name -> sentences, a JSON file of them, or "playground"; None uses templates alone.
        guide: DINO of "nola" and "nola-labeller", or its name; None for the model's own guide, else its image encoder.
        seed: of the random numbers of "nola" and "nola-labeller"; the other methods have none.
        progress: receives the completed fraction, 0 to 1, and one line.
        folder: where the adapted model is saved, with the checkpoints from which "nola" resumes; None saves nothing.

    Raises:
        EncoderError, ImageError, SourceError, StoreError: something cannot be loaded or read.
        SpaceError: features of another model.
        ValueError: fewer than two classes, no image, an unknown method, invalid descriptions, features instead of
            pixels, a guide for a method without one, or a model that is adapted already.
    """
    model = as_model(model)
    names = _checked(model, class_names, method, guide)
    described = descriptions_of(descriptions, names)
    texts = class_vectors(model.texts, names, None, described)
    unlabelled = gather(model, images, _up_to(progress, 0.1 if method in GUIDED else _ENCODED))
    out = None if folder is None else Path(folder).expanduser()
    if method in GUIDED:
        guiding = model.guide if guide is None else as_encoder(guide)
        adapted = _guided(model, unlabelled, texts, names, method, guiding, seed, out, progress)
    else:
        guiding = None
        adapted = replace(model, classifier=fit(method, unlabelled.vectors, texts, names, model).classifier)
    if out is not None:
        count = 0 if described is None else sum(map(len, described.values()))
        save_adapted(adapted, out, _settings(model, method, names, guiding, unlabelled, count, seed))
    if progress is not None:
        progress(1.0, f"adapted to {len(names)} classes by {method}")
    return adapted


def fit(method: str, vectors: Tensor, texts: Tensor, class_names: Sequence[str], model: ImageTextModel) -> Fitted:
    """The result of "zlap", "transclip" or "stata" on vectors.

    Args:
        method: its name.
        vectors: (N, D) of images in the model's space.
        texts: (C, D) of the classes.
        class_names: C names.
        model: its logit scale is used.

    Raises:
        ValueError: another method, or invalid vectors.
    """
    if method == "zlap":
        return zlap(vectors, texts, class_names)
    if method == "transclip":
        return transclip(vectors, texts, class_names, model.texts.logit_scale)
    if method == "stata":
        return stata(vectors, texts, class_names, model.texts.logit_scale)
    raise ValueError(f"found the method {method!r}; expected zlap, transclip or stata, which read vectors alone")


def answers(adapted: ImageTextModel, unlabelled: Unlabelled, batch_size: int = 32) -> Tensor:
    """(N, C) probability of each class for unlabelled images, by an adapted model's classifier.

    Args:
        adapted: the model.
        unlabelled: images, from `gather` with the same model.
        batch_size: images per forward pass of the classifier's own encoder.

    Raises:
        ValueError: the model is not adapted, or its encoder needs pixels that are missing.
    """
    if adapted.classifier is None:
        raise ValueError(f"{adapted.name} is not adapted; expected a model from adapt")
    encoder, pixels = adapted.classifier_images, unlabelled.pixels
    if encoder is None:
        same_space(unlabelled.space, adapted.space)
        return adapted.classifier.probabilities(unlabelled.vectors)
    if pixels is None:
        raise ValueError("found features alone; expected images, which the adapted encoder reads")
    parts = [
        adapted.classifier.probabilities(encoder.encode(list(pixels[start : start + batch_size])).pooled)
        for start in range(0, len(pixels), batch_size)
    ]
    return torch.cat(parts)


def zero_shot(model: ImageTextModel, unlabelled: Unlabelled, class_names: Sequence[str]) -> Tensor:
    """(N, C) zero-shot probability of each class for unlabelled images, to compare an adapted model with.

    Args:
        model: the base model.
        unlabelled: images, from `gather` with the same model.
        class_names: C names.

    Raises:
        SpaceError: vectors of another model.
        ValueError: fewer than two classes, or an invalid name.
    """
    same_space(unlabelled.space, model.space)
    scores = cosines(unlabelled.vectors, label_vectors(model.texts, class_names))
    return class_probabilities(scores, model.texts.logit_scale)


def _checked(
    model: ImageTextModel, class_names: Sequence[str], method: str, guide: str | ImageEncoder | None
) -> list[str]:
    names = check_labels(class_names)
    if len(names) < 2:
        raise ValueError(f"found one class, {names[0]!r}; expected two or more class names")
    if method not in METHODS:
        raise ValueError(f"found the method {method!r}; expected one of {', '.join(METHODS)}")
    if guide is not None and method not in GUIDED:
        raise ValueError(f"{method} has no guide; omit it, or choose {' or '.join(GUIDED)}")
    if model.classifier is not None:
        raise ValueError(f"{model.name} is adapted already; expected the model that it was adapted from")
    return names


def _guided(
    model: ImageTextModel, unlabelled: Unlabelled, texts: Tensor, names: Sequence[str], method: str,
    guide: ImageEncoder | None, seed: int, folder: Path | None, progress: Progress | None,
) -> ImageTextModel:  # fmt: skip
    if unlabelled.pixels is None:
        raise ValueError(
            f"{method} encodes the images itself, but {unlabelled.name or 'the input'} holds features alone; expected "
            "images or a folder of images, or the method stata, transclip or zlap"
        )
    from dinoclip_viz.adapt.nola import NolaSettings, fit_nola

    settings = NolaSettings(seed=seed, tune=method == "nola")
    encoder, classifier = fit_nola(
        model, unlabelled.pixels, texts, names, guide, settings, folder, _from(progress, 0.1)
    )
    return replace(model, classifier=classifier, classifier_images=encoder)


def _settings(
    model: ImageTextModel, method: str, names: Sequence[str], guide: ImageEncoder | None, unlabelled: Unlabelled,
    descriptions: int, seed: int,
) -> AdaptedSettings:  # fmt: skip
    return AdaptedSettings(
        model=_found_from_anywhere(model.name),
        space=model.space,
        image_space=model.images.space,
        method=method,
        class_names=tuple(names),
        guide="" if guide is None else _found_from_anywhere(guide.name),
        images=len(unlabelled),
        source=unlabelled.name,
        descriptions=descriptions,
        seed=seed,
    )


def _found_from_anywhere(name: str) -> str:
    """The name of a model; of a local folder, its absolute path."""
    folder = Path(name).expanduser()
    return name if name in CATALOG or name == "playground" or not folder.is_dir() else str(folder.resolve())


def _up_to(progress: Progress | None, end: float) -> Progress | None:
    """Progress whose fraction ends at `end` instead of 1."""
    return None if progress is None else lambda done, line: progress(end * done, line)


def _from(progress: Progress | None, start: float) -> Progress | None:
    """Progress whose fraction begins at `start` instead of 0."""
    return None if progress is None else lambda done, line: progress(start + (1 - start) * done, line)
