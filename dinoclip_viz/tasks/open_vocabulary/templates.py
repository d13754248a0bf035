"""FLOSS: which prompt templates suit which class, chosen on unlabelled images without any training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary, VocabularyVectors, class_scores, vocabulary_vectors

KEEP = 4
"""Templates kept of each class."""


def choose_templates(
    model: ImageTextModel,
    features: Iterable[ImageFeatures],
    vocabulary: Vocabulary,
    method: str | None = None,
    templates: Sequence[str] | None = None,
    keep: int = KEEP,
) -> dict[str, tuple[str, ...]]:
    """Class -> its templates of least entropy, best first; a class that no template finds anywhere is left out.

    Each template alone divides the images among the classes; it suits a class if the patches that go to the class
    do so surely: by the mean entropy of their probabilities. `vocabulary_vectors(..., by_class=...)` takes the result.
    Benigmim et al., FLOSS: Free Lunch in Open-vocabulary Semantic Segmentation, ICCV 2025.

    Args:
        model: an image-text model.
        features: of unlabelled images, with the method's patches; read once, so that it may be a stream.
        vocabulary: the classes, two or more.
        method: a heat-map method; None takes the model's best.
        templates: to choose from, with one {} each; None takes the model's own.
        keep: templates of each class at most, 1 or more.

    Raises:
        ValueError: fewer than two classes, no image, features without the method's patches, no template, one without
            {}, or keep below 1.
    """
    chosen, texts = model.check_method(method), model.texts_for(model.check_method(method))
    names = tuple(dict.fromkeys(texts.templates if templates is None else templates))
    if keep < 1 or not names:
        raise ValueError(f"keep={keep} of {len(names)} templates; expected at least one of each")
    if len(vocabulary.names) < 2:
        raise ValueError("one class leaves nothing to tell it from; expected two classes or more")
    alone = [vocabulary_vectors(model, vocabulary, chosen, [template]) for template in names]
    classes = len(vocabulary.names)
    total, count = torch.zeros(len(names), classes, dtype=torch.float64), torch.zeros(len(names), classes)
    for each in features:
        if chosen not in each.dense:
            raise ValueError(f"the features hold no {chosen!r} patches; encode the images with methods=[{chosen!r}]")
        for patches in each.dense[chosen]:
            for number, words in enumerate(alone):
                shares = (texts.logit_scale * class_scores(patches, words)).softmax(0).flatten(1)  # (C, H * W)
                entropy = torch.special.entr(shares).sum(0).double()  # (H * W,)
                predicted = shares.argmax(0)
                total[number].index_add_(0, predicted, entropy)
                count[number] += torch.bincount(predicted, minlength=classes)
    if not count.any():
        raise ValueError("no image was given; expected features of at least one unlabelled image")
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
    """One classifier a class, of the templates that suit that class, and one of all templates.

    Attributes:
        own: class -> the whole vocabulary under that class's templates.
        common: the vocabulary under all templates.
        scale: what cosines are multiplied with before a softmax.
    """

    own: Mapping[int, VocabularyVectors]
    common: VocabularyVectors
    scale: float


def class_experts(
    model: ImageTextModel,
    vocabulary: Vocabulary,
    chosen: Mapping[str, Sequence[str]],
    method: str | None = None,
    templates: Sequence[str] | None = None,
) -> Experts:
    """The classifiers that `fused_scores` asks.

    Args:
        model: an image-text model.
        vocabulary: the classes.
        chosen: class -> its templates, from `choose_templates`; a class without has no expert.
        method: a heat-map method; None takes the model's best.
        templates: of the common classifier; None takes the model's own.

    Raises:
        ValueError: a class that the vocabulary does not have, or a template without {}.
    """
    strange = [name for name in chosen if name not in vocabulary.names]
    if strange:
        raise ValueError(f"templates were chosen for {strange[0]!r}, which is no class of the vocabulary")
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
    """(C, H, W) 0 to 1: how sure each class's expert is where it finds its own class, and 0 where it does not.

    Where no expert finds its own, the common classifier's probabilities stand. The highest is the fused prediction.

    Args:
        patches: (H, W, D) of the experts' method.
        experts: from `class_experts`.
    """
    common = (experts.scale * class_scores(patches, experts.common)).softmax(0)  # (C, H, W)
    fused = torch.zeros_like(common)
    for number, words in experts.own.items():
        shares = (experts.scale * class_scores(patches, words)).softmax(0)
        fused[number] = torch.where(shares.argmax(0) == number, shares[number], 0.0)
    return torch.where(fused.amax(0) > 0, fused, common)
