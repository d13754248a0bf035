"""Zero-shot classification: which of these labels fits an image best, and whether any does."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures, TextEncoder, same_space
from dinoclip_viz.models import ImageTextModel

Images = Sequence[Image.Image] | ImageFeatures


def label_vectors(texts: TextEncoder, labels: Sequence[str], templates: Sequence[str] | None = None) -> Tensor:
    """(T, D) one unit vector a label: the mean over the templates of the unit vectors of the filled-in prompts.

    Args:
        texts: the model's text encoder.
        labels: T >= 1 names.
        templates: prompts with one "{}" each; by default the model's own (CLIP, Radford et al. 2021, section 3.1.4).

    Raises:
        ValueError: no label, an empty or repeated label, or a template without exactly one "{}".
    """
    labels = check_labels(labels)
    chosen = tuple(templates) if templates is not None else texts.templates
    for template in chosen:
        if template.count("{}") != 1:
            raise ValueError(f"the template {template!r} needs exactly one {{}} where the label goes")
    if not chosen:
        raise ValueError('no template was given; expected at least one, such as "a photo of a {}."')
    prompts = [template.replace("{}", label) for label in labels for template in chosen]
    vectors = F.normalize(texts.encode(prompts).pooled, dim=-1).unflatten(0, (len(labels), len(chosen)))  # (T, K, D)
    return F.normalize(vectors.mean(1), dim=-1)  # (T, D)


def check_labels(labels: Sequence[str]) -> list[str]:
    """The labels without the spaces round them.

    Raises:
        ValueError: no label, an empty one, or one that stands there twice.
    """
    if isinstance(labels, str):
        raise ValueError(f"labels is the text {labels!r}; expected a list of names")
    names = [label.strip() for label in labels]
    if not names:
        raise ValueError("no labels were given; expected at least two names")
    if not all(names):
        raise ValueError(f"label {names.index('') + 1} of {len(names)} is empty; expected a name")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"these labels stand there twice: {', '.join(twice)}; give each once")
    return names


def cosines(images: Tensor, labels: Tensor) -> Tensor:
    """(B, T) cosine of each image with each label.

    Args:
        images: (B, D) raw vectors.
        labels: (T, D) raw or unit vectors of the same space.
    """
    return F.normalize(images, dim=-1) @ F.normalize(labels, dim=-1).T  # (B, T)


def probabilities(scores: Tensor, scale: float, temperature: float = 1.0) -> Tensor:
    """(B, T) softmax over the labels of scale * cosine / temperature.

    Args:
        scores: (B, T) cosines, T >= 2.
        scale: what the model was trained to multiply a cosine with.
        temperature: above 1 evens the probabilities out, below 1 sharpens them.

    Raises:
        ValueError: one label alone, or a temperature that is not above 0.

    Examples:
        >>> [round(share, 3) for share in probabilities(torch.tensor([[0.30, 0.29]]), scale=100.0)[0].tolist()]
        [0.731, 0.269]
    """
    if scores.shape[1] < 2:
        raise ValueError(
            "one label has no alternative, so its probability would always be 1; "
            'give at least two labels, or ask for "none of these" beside it with classify_or_none'
        )
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; expected a number above 0")
    return torch.softmax(scores * (scale / temperature), dim=-1)


def classify(
    model: ImageTextModel,
    images: Images,
    labels: Sequence[str],
    templates: Sequence[str] | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """(B, T) probability of each label for each image; rows sum to 1.

    Args:
        model: an image-text model.
        images: B images, or their features from `model.encode_images`.
        labels: T >= 2 names.
        templates: prompts with one "{}" each; by default the model's own.
        temperature: above 1 evens the probabilities out, below 1 sharpens them.

    Raises:
        ValueError: fewer than two labels, or a label, template or temperature that cannot be used.
    """
    if len(check_labels(labels)) < 2:
        probabilities(torch.zeros(1, 1), 1.0)
    return probabilities(_scores(model, images, labels, templates), model.texts.logit_scale, temperature)


def classify_or_none(
    model: ImageTextModel,
    images: Images,
    labels: Sequence[str],
    templates: Sequence[str] | None = None,
    temperature: float = 1.0,
    none_cosine: float | None = None,
) -> Tensor:
    """(B, T + 1) probabilities, the last column "none of these"; one label is enough.

    "None of these" stands in the softmax as a label whose cosine is always `none_cosine`: no hidden prompt.

    Args:
        model, images, templates, temperature: as in `classify`.
        labels: T >= 1 names.
        none_cosine: the cosine, -1 to 1, at which a label and "none of these" are equally probable; by default what was
            measured for the model.

    Raises:
        ValueError: as in `classify`, or a `none_cosine` that is no cosine.
    """
    level = model.none_cosine if none_cosine is None else none_cosine
    if not -1 <= level <= 1:
        raise ValueError(f"none_cosine is {level}; expected a cosine, -1 to 1")
    scores = _scores(model, images, labels, templates)
    none = torch.full((len(scores), 1), float(level))
    return probabilities(torch.cat([scores, none], dim=1), model.texts.logit_scale, temperature)


def _scores(model: ImageTextModel, images: Images, labels: Sequence[str], templates: Sequence[str] | None) -> Tensor:
    features = images if isinstance(images, ImageFeatures) else model.encode_images(images, methods=())
    same_space(features.space, model.space)
    return cosines(features.pooled, label_vectors(model.texts, labels, templates))
