"""From prompts to regions: class scores of every place, hard masks, and how much of an image each class covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures, same_space
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.tasks.open_vocabulary.heatmap import at_image_size, prompt_vectors

NONE = -1
"""The label of a place that is none of the classes."""


@dataclass(frozen=True)
class Vocabulary:
    """The classes that an image is divided into, each with the prompts that stand for it.

    Attributes:
        names: of the C classes.
        prompts: C times one or more texts; a class scores as its best one.
        background: which classes are background words, given openly: places that go to them are none of the others.

    Raises:
        ValueError: no class, a class without a prompt, a name that repeats, or a background word that is no class.

    Examples:
        >>> Vocabulary.of(["cat", "car;automobile", "cat"]).prompts
        (('cat',), ('car', 'automobile'))
    """

    names: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]
    background: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("no prompt was given; expected at least one, such as a cat")
        if len(self.names) != len(self.prompts):
            raise ValueError(f"{len(self.names)} classes and prompts of {len(self.prompts)}; expected prompts of each")
        empty = [
            name for name, prompts in zip(self.names, self.prompts, strict=True) if not any(map(str.strip, prompts))
        ]
        if empty:
            raise ValueError(f"the class {empty[0]!r} has no prompt; expected at least one text")
        if len(set(self.names)) != len(self.names):
            repeated = next(name for name in self.names if self.names.count(name) > 1)
            raise ValueError(f"the class {repeated!r} is named twice; expected each once")
        strange = sorted(self.background - set(self.names))
        if strange:
            raise ValueError(f"the background word {strange[0]!r} is no class; name it among the classes too")

    @classmethod
    def of(cls, lines: Sequence[str], background: Sequence[str] = ()) -> Vocabulary:
        """Classes from lines of text, synonyms between semicolons; what repeats counts once.

        Args:
            lines: a class each, named by its first synonym.
            background: likewise, words for what is none of the classes.

        Raises:
            ValueError: nothing is left to look for.
        """
        found: dict[str, tuple[str, ...]] = {}
        for line in (*lines, *background):
            synonyms = tuple(dict.fromkeys(part.strip() for part in line.split(";") if part.strip()))
            if synonyms:
                found.setdefault(synonyms[0], synonyms)
        firsts = {line.split(";")[0].strip() for line in background}
        others = {line.split(";")[0].strip() for line in lines}
        words = frozenset(name for name in found if name in firsts and name not in others)
        if not set(found) - words:
            raise ValueError("no prompt was given; expected at least one, such as a cat")
        return cls(tuple(found), tuple(found.values()), words)


@dataclass(frozen=True)
class VocabularyVectors:
    """A vocabulary in the space of a method's patches.

    Attributes:
        vectors: (P, D) unit vectors, one a prompt; owners: (P,) the class of each; classes: C.
    """

    vectors: Tensor
    owners: Tensor
    classes: int


def vocabulary_vectors(
    model: ImageTextModel,
    vocabulary: Vocabulary,
    method: str | None = None,
    templates: Sequence[str] | None = None,
    by_class: Mapping[str, Sequence[str]] | None = None,
) -> VocabularyVectors:
    """The unit vectors of all prompts: of each the mean over the templates.

    Args:
        model: an image-text model.
        vocabulary: the classes.
        method: the heat-map method whose patches they are compared with; None takes the model's best.
        templates: prompt templates with one {} each; None takes the prompts as they are.
        by_class: class -> templates of its own, such as `choose_templates` finds; the others take `templates`.

    Raises:
        ValueError: a template without {}, or a method that the model does not serve.
    """
    owners = [number for number, prompts in enumerate(vocabulary.prompts) for _ in prompts]
    apart, pairs = by_class or {}, list(zip(vocabulary.names, vocabulary.prompts, strict=True))
    common = [prompt for name, prompts in pairs if name not in apart for prompt in prompts]
    known = dict(zip(common, prompt_vectors(model, common, templates, method), strict=True)) if common else {}
    rows: list[Tensor] = []
    for name, prompts in pairs:
        rows += (
            prompt_vectors(model, prompts, apart[name], method) if name in apart else map(known.__getitem__, prompts)
        )
    return VocabularyVectors(torch.stack(rows), torch.tensor(owners), len(vocabulary.names))


def class_scores(patches: Tensor, words: VocabularyVectors) -> Tensor:
    """(C, H, W) raw cosine of each patch with the best prompt of each class.

    Args:
        patches: (H, W, D) of a method.
        words: of the same method.
    """
    cosines = torch.einsum("hwd,pd->phw", F.normalize(patches, dim=-1), words.vectors)
    best = cosines.new_full((words.classes, *cosines.shape[1:]), -2.0)
    return best.scatter_reduce_(0, words.owners[:, None, None].expand_as(cosines), cosines, "amax")


def score_maps(model: ImageTextModel, features: ImageFeatures, words: VocabularyVectors, method: str) -> Tensor:
    """(C, height, width) raw cosine of each place with each class, at the image's size; NaN where no patch lies.

    Args:
        model: that made the features.
        features: of one image, with the method's patches.
        words: of that method.
        method: a heat-map method.

    Raises:
        ValueError: features of several images, or without the method's patches.
        SpaceError: features of another model.
    """
    if len(features) != 1:
        raise ValueError(f"the features are of {len(features)} images; expected one: take features[i]")
    same_space(features.space, model.space)
    if method not in features.dense:
        raise ValueError(f"the features hold no {method!r} patches; encode the image with methods=[{method!r}]")
    width, height = (round(side) for side in features.sizes[0].tolist())
    maps = class_scores(features.dense[method][0], words)
    return at_image_size(maps, features.boxes[0].tolist(), width, height)


def hard_labels(maps: Tensor, threshold: float | None = None, background: Sequence[int] = ()) -> Tensor:
    """(height, width) int64 the class of the highest map, or `NONE`.

    Args:
        maps: (C, height, width) scores; NaN is none of the classes.
        threshold: scores below it are none of the classes; None has no threshold.
        background: classes whose places are none of the others.

    Examples:
        >>> hard_labels(torch.tensor([[[.5, .1]], [[.2, .3]]]), threshold=.4).tolist()
        [[0, -1]]
    """
    known = ~maps.isnan().any(0)
    score, label = maps.nan_to_num(-2.0).max(0)
    kept = known if threshold is None else known & (score >= threshold)
    for number in background:
        kept = kept & (label != number)
    return torch.where(kept, label, NONE)


def areas(labels: Tensor, classes: int) -> list[float]:
    """Share of the image that each class covers, 0 to 1.

    Args:
        labels: (height, width) as `hard_labels` gives them; classes: C.

    Examples:
        >>> areas(torch.tensor([[0, 0, 1, -1]]), 2)
        [0.5, 0.25]
    """
    counts = torch.bincount(labels[labels >= 0].flatten(), minlength=classes)
    return (counts.double() / max(labels.numel(), 1)).tolist()
