"""Open-vocabulary segmentation: class scores per pixel, hard masks, and the fraction of the image per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures, same_space
from dinoclip_viz.images import ImageLike, load_image
from dinoclip_viz.models import ImageTextModel, as_model
from dinoclip_viz.tasks.open_vocabulary.heatmap import at_image_size, prompt_vectors

NONE = -1
"""Label of a pixel of no class."""


@dataclass(frozen=True)
class Vocabulary:
    """The classes of a segmentation, each with its prompts.

    Attributes:
        names: of the C classes.
        prompts: one or more texts per class; a class has the score of its best prompt.
        background: the classes that are background words; pixels of these have no class.

    Raises:
        ValueError: no class, a class without a prompt, a repeated name, or a background word that is not a class.

    Examples:
        >>> Vocabulary.of(["cat", "car;automobile", "cat"]).prompts
        (('cat',), ('car', 'automobile'))
    """

    names: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]
    background: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("found no prompts; expected at least one, such as a cat")
        if len(self.names) != len(self.prompts):
            raise ValueError(f"{len(self.names)} classes and prompts of {len(self.prompts)}; expected one each")
        empty = [
            name for name, prompts in zip(self.names, self.prompts, strict=True) if not any(map(str.strip, prompts))
        ]
        if empty:
            raise ValueError(f"the class {empty[0]!r} has no prompt; expected at least one text")
        if len(set(self.names)) != len(self.names):
            repeated = next(name for name in self.names if self.names.count(name) > 1)
            raise ValueError(f"the class {repeated!r} is repeated; expected each once")
        unknown = sorted(self.background - set(self.names))
        if unknown:
            raise ValueError(f"the background word {unknown[0]!r} is not a class; add it to the classes")

    @classmethod
    def of(cls, lines: Sequence[str], background: Sequence[str] = ()) -> Vocabulary:
        """A vocabulary from lines of text, with synonyms separated by semicolons; duplicates are dropped.

        Args:
            lines: one class per line, named by its first synonym.
            background: background words, in the same format.

        Raises:
            ValueError: no class remains.
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
            raise ValueError("found no prompts; expected at least one, such as a cat")
        return cls(tuple(found), tuple(found.values()), words)


@dataclass(frozen=True)
class VocabularyVectors:
    """A vocabulary in the space of a method's patches.

    Attributes:
        vectors: (P, D) one unit vector per prompt.
        owners: (P,) number of the class of each.
        classes: C.
    """

    vectors: Tensor
    owners: Tensor
    classes: int


def vocabulary_vectors(
    model: str | ImageTextModel,
    vocabulary: Vocabulary,
    method: str | None = None,
    templates: Sequence[str] | None = None,
    by_class: Mapping[str, Sequence[str]] | None = None,
) -> VocabularyVectors:
    """The unit vectors of all prompts, each the mean over the templates.

    Args:
        model: an image-text model or its name.
        vocabulary: the classes.
        method: the heat-map method whose patches they are compared with; None uses the model's best.
        templates: prompt templates with one {} each; None uses the prompts alone.
        by_class: class -> its own templates, as from `choose_templates`; the other classes use `templates`.

    Raises:
        ValueError: a template without {}, or a method that the model does not serve.
    """
    model = as_model(model)
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
        patches: (H, W, D) of a heat-map method.
        words: vectors of the vocabulary for the same method.
    """
    cosines = torch.einsum("hwd,pd->phw", F.normalize(patches, dim=-1), words.vectors)
    best = cosines.new_full((words.classes, *cosines.shape[1:]), -2.0)
    return best.scatter_reduce_(0, words.owners[:, None, None].expand_as(cosines), cosines, "amax")


def score_maps(
    model: str | ImageTextModel,
    features: ImageFeatures | ImageLike,
    words: VocabularyVectors,
    method: str,
    image: Image.Image | None = None,
    sharp: str | None = None,
) -> Tensor:
    """(C, height, width) raw cosine of each pixel with each class, at the image's size; NaN where no patch lies.

    Args:
        model: the image-text model of the features, or its name.
        features: an image in any form, or features of one image with the method's patches.
        words: vectors of the vocabulary for that method.
        method: a heat-map method.
        image: the image, RGB; sharp: method of `upsample` that draws the maps along its edges. None of either is
            bilinear.

    Raises:
        ImageError: an image that cannot be read.
        ValueError: features of several images, or without the method's patches.
        SpaceError: features of another model.
    """
    model = as_model(model)
    if not isinstance(features, ImageFeatures):
        features = model.encode_images(load_image(features), None, "whole", [method])
    if len(features) != 1:
        raise ValueError(f"the features are of {len(features)} images; expected one: pass features[i]")
    same_space(features.space, model.space)
    if method not in features.dense:
        raise ValueError(f"the features have no {method!r} patches; encode the image with methods=[{method!r}]")
    width, height = (round(side) for side in features.sizes[0].tolist())
    maps = class_scores(features.dense[method][0], words)
    return at_image_size(maps, features.boxes[0].tolist(), width, height, image, sharp)


def hard_labels(maps: Tensor, threshold: float | None = None, background: Sequence[int] = ()) -> Tensor:
    """(height, width) int64 number of the class with the highest map, or `NONE`.

    Args:
        maps: (C, height, width) scores; NaN has no class.
        threshold: pixels with a lower highest score have no class; None for no threshold.
        background: numbers of classes whose pixels have no class.

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
    """Fraction of the image that each class covers, 0 to 1.

    Args:
        labels: (height, width) as from `hard_labels`.
        classes: C.

    Examples:
        >>> areas(torch.tensor([[0, 0, 1, -1]]), 2)
        [0.5, 0.25]
    """
    counts = torch.bincount(labels[labels >= 0].flatten(), minlength=classes)
    return (counts.double() / max(labels.numel(), 1)).tolist()
