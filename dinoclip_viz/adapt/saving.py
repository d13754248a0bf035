"""Folders of adapted models: settings.json, classifier.safetensors, a tuned tower's weights, and a model card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dinoclip_viz.adapt.card import METHODS, save_card
from dinoclip_viz.adapt.gaussians import GaussianClassifier
from dinoclip_viz.adapt.zlap import ZlapClassifier
from dinoclip_viz.encoders import load_encoder
from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.models.adapted import AdaptedSettings


def save_adapted(model: ImageTextModel, folder: str | Path, settings: AdaptedSettings) -> Path:
    """The folder that an adapted model was written to; `load_model` reads it.

    The base model is not copied: settings.json names it.

    Args:
        model: with its classifier.
        folder: created if it is missing.
        settings: of its adaptation.

    Raises:
        ValueError: the model is not adapted.
    """
    if model.classifier is None:
        raise ValueError(f"{model.name} is not adapted; expected a model from adapt")
    out = Path(folder).expanduser()
    out.mkdir(parents=True, exist_ok=True)
    if settings.method == "nola" and model.classifier_images is not None:
        from dinoclip_viz.adapt.nola import NolaClassifier, save_tuned

        if isinstance(model.classifier, NolaClassifier):
            save_tuned(model.classifier_images, model.classifier, out)
    else:
        model.classifier.save(out)
    save_card(out, settings)
    settings.save(out)  # last, so that an interrupted call leaves no folder that loads
    return out


def read_adapted(folder: Path, settings: AdaptedSettings, base: ImageTextModel) -> ImageTextModel:
    """The base model with the classifier in a folder.

    Args:
        folder: of the adapted model.
        settings: in it.
        base: the model that was adapted.

    Raises:
        EncoderError: a file is missing, damaged or of another method, or a method is unknown.
    """
    if settings.method not in METHODS:
        raise EncoderError(f"{folder} was adapted by {settings.method!r}; expected one of {', '.join(METHODS)}")
    adapted = _with_classifier(folder, settings, base)
    if adapted.classifier is None or adapted.classifier.class_names != settings.class_names:
        raise EncoderError(f"{folder} has classifier and settings of different classes; adapt the model again")
    return adapted


def _with_classifier(folder: Path, settings: AdaptedSettings, base: ImageTextModel) -> ImageTextModel:
    if settings.method == "zlap":
        return replace(base, classifier=ZlapClassifier.load(folder))
    if settings.method in ("transclip", "stata"):
        return replace(base, classifier=GaussianClassifier.load(folder, settings.method))
    from dinoclip_viz.adapt.nola import Labeller, load_tuned

    if settings.method == "nola":
        encoder, classifier = load_tuned(base.images, folder)
        return replace(base, classifier=classifier, classifier_images=encoder)
    where, how = base.images.device, base.images.dtype
    encoder = load_encoder(settings.guide, where, how) if settings.guide else base.images
    return replace(base, classifier=Labeller.load(folder), classifier_images=encoder)
