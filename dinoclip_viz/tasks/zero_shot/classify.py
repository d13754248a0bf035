"""Zero-shot classification: probabilities of labels for images, optionally with "none of these"."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures, TextEncoder, same_space
from dinoclip_viz.images import ImagesLike
from dinoclip_viz.models import ImageTextModel, as_model
from dinoclip_viz.models.classifier import Classifier, check_known, label_probabilities
from dinoclip_viz.tasks.retrieval.vectors import Numbers, VectorsLike, as_tensor


def label_vectors(texts: TextEncoder, labels: Sequence[str], templates: Sequence[str] | None = None) -> Tensor:
    """(T, D) one unit vector per label: the mean over the templates of the unit vectors of the filled-in prompts.

    Args:
        texts: the model's text encoder.
        labels: T >= 1 names.
        templates: prompts with one "{}" each; None uses the model's own (CLIP, Radford et al. 2021, section 3.1.4).

    Raises:
        ValueError: no label, an empty or repeated label, or a template without exactly one "{}".
    """
    labels = check_labels(labels)
    chosen = check_templates(texts.templates if templates is None else templates)
    if not chosen:
        raise ValueError('found no templates; expected at least one, such as "a photo of a {}."')
    prompts = [template.replace("{}", label) for label in labels for template in chosen]
    vectors = F.normalize(texts.encode(prompts).pooled, dim=-1).unflatten(0, (len(labels), len(chosen)))  # (T, K, D)
    return F.normalize(vectors.mean(1), dim=-1)  # (T, D)


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """The templates.

    Raises:
        ValueError: one has no or several "{}".
    """
    for template in templates:
        if template.count("{}") != 1:
            raise ValueError(f"the template is {template!r}; expected exactly one {{}}, for the label")
    return tuple(templates)


def check_labels(labels: Sequence[str]) -> list[str]:
    """The labels without leading and trailing spaces.

    Raises:
        ValueError: no label, an empty or repeated one, or one text instead of a sequence.
    """
    if isinstance(labels, str):
        raise ValueError(f"labels is the text {labels!r}; expected a list of names")
    names = [label.strip() for label in labels]
    if not names:
        raise ValueError("found no labels; expected at least two names")
    if not all(names):
        raise ValueError(f"label {names.index('') + 1} of {len(names)} is empty; expected a name")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"found repeated labels: {', '.join(twice)}; expected each once")
    return names


def cosines(images: Numbers | VectorsLike, labels: Numbers | VectorsLike) -> Tensor:
    """(B, T) cosine of each image with each label.

    Args:
        images: (B, D) raw vectors.
        labels: (T, D) raw or unit vectors of the same space.

    Raises:
        ValueError: vectors that are ragged or not numeric.
    """
    one, other = as_tensor(images, "images").float(), as_tensor(labels, "labels").float()
    return F.normalize(one, dim=-1) @ F.normalize(other, dim=-1).T  # (B, T)


def probabilities(scores: Tensor, scale: float, temperature: float = 1.0) -> Tensor:
    """(B, T) softmax over the labels of scale * cosine / temperature.

    Args:
        scores: (B, T) cosines, T >= 2.
        scale: the model's logit scale.
        temperature: above 0; values above 1 flatten the distribution, values below 1 sharpen it.

    Raises:
        ValueError: a single label, or a temperature that is not above 0.

    Examples:
        >>> [round(value, 3) for value in probabilities(torch.tensor([[0.30, 0.29]]), scale=100.0)[0].tolist()]
        [0.731, 0.269]
    """
    if scores.shape[1] < 2:
        raise ValueError(
            "found one label, whose probability is always 1; expected at least two labels: "
            'add labels, or use classify_or_none, which adds "none of these"'
        )
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; expected a number above 0")
    return torch.softmax(scores * (scale / temperature), dim=-1)


def classify(
    model: str | ImageTextModel,
    images: ImagesLike | ImageFeatures,
    labels: Sequence[str],
    templates: Sequence[str] | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """(B, T) probability of each label for each image; rows sum to 1.

    A model that is adapted to some classes answers by its classifier, for all or some of these classes.

    Args:
        model: an image-text model or its name.
        images: one image or B of them, in any form, or their features from `model.encode_images`; of an adapted model
            from `model.encode_to_classify`.
        labels: T >= 2 names; of an adapted model, some of its class names in any order.
        templates: prompts with one "{}" each; None uses the model's own.
        temperature: above 0; values above 1 flatten the distribution, values below 1 sharpen it.

    Raises:
        ImageError: an image that cannot be read.
        ValueError: fewer than two labels, or an invalid label, template or temperature; of an adapted model, any
            template, or a label that is none of its class names.
        SpaceError: features of another model.
    """
    if len(check_labels(labels)) < 2:
        probabilities(torch.zeros(1, 1), 1.0)
    model = as_model(model)
    if model.classifier is not None:
        return _by_classifier(model, model.classifier, images, labels, templates, temperature)
    return probabilities(_scores(model, images, labels, templates), model.texts.logit_scale, temperature)


def classify_or_none(
    model: str | ImageTextModel,
    images: ImagesLike | ImageFeatures,
    labels: Sequence[str],
    templates: Sequence[str] | None = None,
    temperature: float = 1.0,
    none_cosine: float | None = None,
) -> Tensor:
    """(B, T + 1) probability of each label and, in the last column, of "none of these".

    In the softmax, "none of these" is a label of constant cosine `none_cosine`; no hidden prompt is used. An adapted
    model has no such cosine: its probabilities are those of its classes.

    Args:
        model, images, templates, temperature: as in `classify`.
        labels: T >= 1 names.
        none_cosine: cosine at which a label and "none of these" are equally probable, -1 to 1; None uses the value
            measured for the model.

    Raises:
        ImageError, SpaceError: as in `classify`.
        ValueError: as in `classify`, a `none_cosine` outside -1 to 1, or an adapted model.
    """
    model = as_model(model)
    if model.classifier is not None:
        raise ValueError(
            f'{model.name} is adapted to {len(model.classifier.class_names)} classes and has no "none of these"; '
            "expected a model without adaptation, or omit it"
        )
    level = model.none_cosine if none_cosine is None else none_cosine
    if not -1 <= level <= 1:
        raise ValueError(f"none_cosine is {level}; expected a cosine, -1 to 1")
    scores = _scores(model, images, labels, templates)
    none = torch.full((len(scores), 1), float(level))
    return probabilities(torch.cat([scores, none], dim=1), model.texts.logit_scale, temperature)


def _scores(
    model: ImageTextModel, images: ImagesLike | ImageFeatures, labels: Sequence[str], templates: Sequence[str] | None
) -> Tensor:
    features = images if isinstance(images, ImageFeatures) else model.encode_images(images, methods=())
    same_space(features.space, model.space)
    return cosines(features.pooled, label_vectors(model.texts, labels, templates))


def _by_classifier(
    model: ImageTextModel,
    classifier: Classifier,
    images: ImagesLike | ImageFeatures,
    labels: Sequence[str],
    templates: Sequence[str] | None,
    temperature: float,
) -> Tensor:
    check_no_templates(model, templates)
    names = check_labels(labels)
    check_known(classifier.class_names, names)
    features = images if isinstance(images, ImageFeatures) else model.encode_to_classify(images)
    own = model.classifier_images
    same_space(features.space, model.space if own is None else own.space)
    return label_probabilities(classifier, features.pooled, names, temperature)


def check_no_templates(model: ImageTextModel, templates: Sequence[str] | None) -> None:
    """Check that an adapted model is given no templates.

    Raises:
        ValueError: it is.
    """
    if model.classifier is not None and templates is not None:
        raise ValueError(
            f"found {len(templates)} templates; expected none, as {model.name} is adapted and reads no texts; omit them"
        )
