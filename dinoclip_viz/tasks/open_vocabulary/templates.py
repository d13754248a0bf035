"""FLOSS: the best prompt templates of each class, chosen on unlabelled images without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.encoders.mixed import FeaturesLike
from dinoclip_viz.models import ImageTextModel, as_model
from dinoclip_viz.tasks.open_vocabulary.heatmap import encoded_each
from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary, VocabularyVectors, class_scores, vocabulary_vectors

KEEP = 4
"""Templates kept per class."""


def choose_templates(
    model: str | ImageTextModel,
    features: FeaturesLike,
    vocabulary: Vocabulary,
    method: str | None = None,
    templates: Sequence[str] | None = None,
    keep: int = KEEP,
) -> dict[str, tuple[str, ...]]:
    """Class -> its templates of lowest entropy, best first; a class that is predicted nowhere is skipped.

    Patches are classified with each template alone; a template is rated for a class by the mean entropy of the
    probabilities of the patches that are predicted as this class. Pass the result to
    `vocabulary_vectors(..., by_class=...)`.
    Benigmim et al., FLOSS: Free Lunch in Open-vocabulary Semantic Segmentation, ICCV 2025.

    Args:
        model: an image-text model or its name.
        features: unlabelled images in any form, or features with the method's patches; iterated once, one item at a
            time.
        vocabulary: the classes, two or more.
        method: a heat-map method; None uses the model's best.
        templates: candidates, with one {} each; None uses the model's own.
        keep: largest number of templates per class, 1 or more.

    Raises:
        ImageError: an item that is neither features nor an image.
        ValueError: fewer than two classes, no image, features without the method's patches, no template, one without
            {}, or keep below 1.
    """
    model = as_model(model)
    chosen, texts = model.check_method(method), model.texts_for(model.check_method(method))
    names = tuple(dict.fromkeys(texts.templates if templates is None else templates))
    if keep < 1 or not names:
        raise ValueError(f"keep={keep} of {len(names)} templates; expected at least one")
    if len(vocabulary.names) < 2:
        raise ValueError("found one class; expected two classes or more")
    alone = [vocabulary_vectors(model, vocabulary, chosen, [template]) for template in names]
    classes = len(vocabulary.names)
    total, count = torch.zeros(len(names), classes, dtype=torch.float64), torch.zeros(len(names), classes)
    for each in encoded_each(model, features, chosen):
        if chosen not in each.dense:
            raise ValueError(f"the features have no {chosen!r} patches; encode the images with methods=[{chosen!r}]")
        for patches in each.dense[chosen]:
            for number, words in enumerate(alone):
                probability = (texts.logit_scale * class_scores(patches, words)).softmax(0).flatten(1)  # (C, H * W)
                entropy = torch.special.entr(probability).sum(0).double()  # (H * W,)
                predicted = probability.argmax(0)
                total[number].index_add_(0, predicted, entropy)
                count[number] += torch.bincount(predicted, minlength=classes)
    if not count.any():
        raise ValueError("found no images; expected at least one unlabelled image")
    mean = (total / count).masked_fill(count == 0, float("inf"))  # (T, C)
    found: dict[str, tuple[str, ...]] = {}
    for number, name in enumerate(vocabulary.names):
        order = mean[:, number].argsort(stable=True)[:keep].tolist()
        suited = tuple(names[row] for row in order if count[row, number])
        if suited:
            found[name] = suited
    return found


@dataclass(frozen=True)
class Experts:
    """One classifier per class, with the templates of that class, and one with all templates.

    Attributes:
        own: class -> the vocabulary with that class's templates.
        common: the vocabulary with all templates.
        scale: factor of the cosines before a softmax.
    """

    own: Mapping[int, VocabularyVectors]
    common: VocabularyVectors
    scale: float


def class_experts(
    model: str | ImageTextModel,
    vocabulary: Vocabulary,
    chosen: Mapping[str, Sequence[str]],
    method: str | None = None,
    templates: Sequence[str] | None = None,
) -> Experts:
    """The classifiers of `fused_scores`.

    Args:
        model: an image-text model or its name.
        vocabulary: the classes.
        chosen: class -> its templates, from `choose_templates`; a class without templates has no expert.
        method: a heat-map method; None uses the model's best.
        templates: of the common classifier; None uses the model's own.

    Raises:
        ValueError: a class that is not in the vocabulary, or a template without {}.
    """
    model = as_model(model)
    unknown = [name for name in chosen if name not in vocabulary.names]
    if unknown:
        raise ValueError(f"found templates for {unknown[0]!r}, which is not a class of the vocabulary")
    texts = model.texts_for(model.check_method(method))
    names = tuple(templates) if templates is not None else texts.templates
    needed = dict.fromkeys(template for some in chosen.values() for template in some)
    alone = {template: vocabulary_vectors(model, vocabulary, method, [template]) for template in needed}
    own = {
        number: VocabularyVectors(
            F.normalize(torch.stack([alone[template].vectors for template in chosen[name]]).mean(0), dim=-1),
            alone[chosen[name][0]].owners,
            len(vocabulary.names),
        )
        for number, name in enumerate(vocabulary.names)
        if chosen.get(name)
    }
    return Experts(own, vocabulary_vectors(model, vocabulary, method, names), texts.logit_scale)


def fused_scores(patches: Tensor, experts: Experts) -> Tensor:
    """(C, H, W) probability of each class by its own expert, and 0 where the expert predicts another class.

    Where no expert predicts its own class, the common classifier's probabilities are used. The highest is the fused
    prediction.

    Args:
        patches: (H, W, D) of the experts' method.
        experts: from `class_experts`.
    """
    common = (experts.scale * class_scores(patches, experts.common)).softmax(0)  # (C, H, W)
    fused = torch.zeros_like(common)
    for number, words in experts.own.items():
        probability = (experts.scale * class_scores(patches, words)).softmax(0)
        fused[number] = torch.where(probability.argmax(0) == number, probability[number], 0.0)
    return torch.where(fused.amax(0) > 0, fused, common)
