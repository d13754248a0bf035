"""Segmentation accuracy of heat maps of class names: on the pixels of objects, and with the background as a class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dinoclip_viz.dense.reader import MIDDLE
from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.images import MAXIMUM_SIDE, ImageLike, load_image
from dinoclip_viz.models import ImageTextModel, as_model
from dinoclip_viz.tasks.open_vocabulary.heatmap import at_image_size
from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary, VocabularyVectors, class_scores, vocabulary_vectors
from dinoclip_viz.tasks.probes.confusion import Confusion

IGNORED = 255
"""Label of a pixel of unknown class, which is not counted."""
LEVELS = tuple(round(-0.2 + 0.01 * step, 2) for step in range(100))
"""Candidate thresholds of the background, cosines."""
SCALE, SURE = 100.0, 0.99
"""CLIP-DINOiser's rule: factor of the cosines, and probability from which a pixel is foreground."""

Pair = tuple[ImageLike, NDArray[np.generic]]
"""An image in any form, and its (height, width) labels."""

_AT_ONCE = 16  # classes whose maps are in memory at the image's size


@dataclass(frozen=True)
class WordsTask:
    """The vocabulary of a segmentation, and the numbering of its ground truth.

    Attributes:
        vocabulary: the classes in the order of the labels, followed by background words, if any.
        first: label of the first class: 1 where label 0 is the background, else 0.
        templates: prompt templates with one {} each; None uses the prompts alone.
        size: longer side in pixels at which images are encoded, as in `ImageEncoder.encode`.

    Raises:
        ValueError: a first label that is neither 0 nor 1, or a background word before a class.
    """

    vocabulary: Vocabulary
    first: int = 1
    templates: Sequence[str] | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        if self.first not in (0, 1):
            raise ValueError(f"first is {self.first}; expected 0, or 1 where label 0 is the background")
        if self.vocabulary.background & set(self.vocabulary.names[: len(self.names)]):
            raise ValueError("found background words before classes; expected them after all classes")

    @property
    def names(self) -> tuple[str, ...]:
        """The classes without the background words."""
        return self.vocabulary.names[: len(self.vocabulary.names) - len(self.vocabulary.background)]


@dataclass
class WordsAccuracy:
    """Segmentation accuracy of one heat-map method.

    Attributes:
        method: the heat-map method.
        objects: pixels of the classes alone, predicted as the class with the highest score.
        whole: all pixels, the background as class 0; None where it is not measured.
        threshold: cosine below which a pixel is background in `whole`; None where background words alone decide.
        by_rule: all pixels, the background by CLIP-DINOiser's published rule; None where it is not measured.
        images: number of images.
    """

    method: str
    objects: Confusion
    whole: Confusion | None = None
    threshold: float | None = None
    by_rule: Confusion | None = None
    images: int = 0


class LevelTables:
    """Confusion tables with the background for many thresholds, accumulated over images.

    Args:
        names: of the classes after the background.
        levels: thresholds in rising order.

    Raises:
        ValueError: no level, or levels that are not in rising order.

    Examples:
        >>> tables = LevelTables(["cat"], (0.0, 0.5))
        >>> tables.add(torch.tensor([0, 1]), torch.tensor([1, 1]), torch.tensor([0.3, 0.7])).best()
        (1, 1.0)
    """

    def __init__(self, names: Sequence[str], levels: Sequence[float] = LEVELS) -> None:
        self.names, self.levels = ("background", *names), tuple(levels)
        self._ends = torch.tensor(self.levels)
        if not self.levels or bool((self._ends.diff() <= 0).any()):
            raise ValueError(f"the levels are {self.levels}; expected one or more in rising order")
        count = len(self.names)
        self._passed = torch.zeros(len(self.levels) + 1, count, count, dtype=torch.long)

    def add(self, target: Tensor, label: Tensor, score: Tensor) -> LevelTables:
        """Add pixels.

        Args:
            target: (N,) labels, 0 for the background.
            label: (N,) class of the highest score, 0 where a background word has the highest score.
            score: (N,) highest score of the classes.
        """
        step = torch.bucketize(score.contiguous(), self._ends, right=True)  # number of levels that the pixel passes
        count = len(self.names)
        cells = (step * count + target.long()) * count + label.long()
        self._passed += torch.bincount(cells, minlength=self._passed.numel()).view_as(self._passed)
        return self

    def at(self, number: int) -> Confusion:
        """The table at one level: pixels with a lower score are background.

        Args:
            number: index of the level.
        """
        table = self._passed[number + 1 :].sum(0)  # (C, C) the pixels that pass more than that many levels
        table[:, 0] += self._passed[: number + 1].sum((0, 2))
        return Confusion.of(table, self.names)

    def best(self) -> tuple[int, float]:
        """Index of the level of highest mIoU, the lowest of equals, and that mIoU."""
        mious = [self.at(number).miou for number in range(len(self.levels))]
        number = max(range(len(mious)), key=mious.__getitem__)
        return number, mious[number]


def measure_words(
    model: str | ImageTextModel,
    task: WordsTask,
    pairs: Iterable[Pair],
    known: Iterable[Pair] | None = None,
    methods: Sequence[str] | None = None,
    by_rule: bool = False,
) -> dict[str, WordsAccuracy]:
    """Method -> its segmentation accuracy on labelled images, all methods from one encoding of each image.

    Memory does not grow with the number of images.

    Args:
        model: an image-text model or its name.
        task: the classes and the numbering of the labels.
        pairs: images in any form with their (height, width) labels; `IGNORED` marks unknown pixels.
        known: other labelled images, on which each method's threshold is chosen: the one of `LEVELS` with the highest
            mIoU. Without them, background words alone decide what is background, if there are any.
        methods: heat-map methods; None uses all that the model serves.
        by_rule: also measure CLIP-DINOiser's background rule, at the cost of one more pass of the CLIP: a pixel is
            background where the softmax of `SCALE` times the cosines is below `SURE` and the trained background layer
            finds no object (Wysoczańska et al., ECCV 2024). It is published for Pascal VOC and COCO-Object only.

    Raises:
        ImageError: an image that cannot be read.
        ValueError: no image, labels of another size than their image, a method that is not served, a background where
            label 0 is a class, or the rule without CLIP-DINOiser's layers.
    """
    model = as_model(model)
    wanted = dict.fromkeys(map(model.check_method, model.methods if methods is None else methods))
    if not wanted:
        raise ValueError(f"{model.name} serves no heat-map method: its patches are not comparable with text")
    if (known is not None or by_rule) and task.first == 0:
        raise ValueError("first is 0, so no label is the background; expected first=1, or neither known nor by_rule")
    if by_rule and (model.dinoiser is None or model.clip is None):
        raise ValueError(f"{model.name} has no CLIP-DINOiser layers, which the background rule needs; load them")
    words = {method: vocabulary_vectors(model, task.vocabulary, method, task.templates) for method in wanted}
    chosen: Mapping[str, float | None] = dict.fromkeys(words)
    if known is not None:
        chosen = _thresholds(model, task, known, words)
    found = {method: _empty(method, task, chosen[method], by_rule) for method in words}
    for seen in _seen(model, task, pairs, words, by_rule):
        _count(found[seen.method], seen, task)
    if not any(one.images for one in found.values()):
        raise ValueError("found no images; expected at least one with labels")
    return found


def chance_miou(table: Confusion) -> float:
    """The expected mIoU of uniformly random labels on the ground truth of a table, 0 to 1.

    A class with a fraction f of the pixels, among C classes, has the intersection f / C and the union
    f + 1 / C - f / C.

    Examples:
        >>> round(chance_miou(Confusion.of(torch.tensor([[5, 0], [0, 5]]))), 4)
        0.3333
    """
    counts = table.table.sum(1).double()
    fraction = counts[counts > 0] / counts.sum()
    even = 1 / len(counts)
    return float((fraction * even / (fraction + even - fraction * even)).mean())


@dataclass(frozen=True)
class _Seen:
    """The predictions of one method for the pixels of known class of one image.

    Attributes:
        method: the heat-map method.
        target: (N,) labels, 0 for the background, then the classes.
        hottest: (N,) number of the class of the highest score, from 1.
        label: (N,) `hottest`, or 0 where a background word has a higher score.
        score: (N,) highest score of the classes.
        by_rule: (N,) `label`, or 0 where the published rule gives background; None where it is not measured.
    """

    method: str
    target: Tensor
    hottest: Tensor
    label: Tensor
    score: Tensor
    by_rule: Tensor | None = field(default=None)


def _thresholds(
    model: ImageTextModel, task: WordsTask, known: Iterable[Pair], words: Mapping[str, VocabularyVectors]
) -> Mapping[str, float | None]:
    """Method -> the level of highest mIoU on other labelled images."""
    tables = {method: LevelTables(task.names) for method in words}
    for seen in _seen(model, task, known, words):
        tables[seen.method].add(seen.target, seen.label, seen.score)
    if not all(table.at(0).pixels for table in tables.values()):
        raise ValueError("found no images to choose the threshold on; expected at least one with labels")
    return {method: LEVELS[table.best()[0]] for method, table in tables.items()}


def _empty(method: str, task: WordsTask, threshold: float | None, by_rule: bool) -> WordsAccuracy:
    names = ("background", *task.names)
    separate = task.first == 1 and (threshold is not None or bool(task.vocabulary.background))
    whole = Confusion(names) if separate else None
    return WordsAccuracy(method, Confusion(task.names), whole, threshold, Confusion(names) if by_rule else None)


def _count(found: WordsAccuracy, seen: _Seen, task: WordsTask) -> None:
    there = seen.target > 0
    found.objects.add(seen.hottest[there] - 1, seen.target[there] - 1, ignore=None)
    if found.whole is not None:
        low = seen.score.new_full((), -2.0 if found.threshold is None else found.threshold)
        found.whole.add(torch.where(seen.score >= low, seen.label, 0), seen.target, ignore=None)
    if found.by_rule is not None and seen.by_rule is not None:
        found.by_rule.add(seen.by_rule, seen.target, ignore=None)
    found.images += 1


def _seen(
    model: ImageTextModel,
    task: WordsTask,
    pairs: Iterable[Pair],
    words: Mapping[str, VocabularyVectors],
    by_rule: bool = False,
) -> Iterator[_Seen]:
    """The predictions for each image by each method."""
    for source, labels in pairs:
        image = load_image(source)
        target, counted = _target(image, labels, task)
        features = model.encode_images([image], task.size, "whole", list(words))
        objects = _objects(model, image, features) if by_rule else None
        box, size = features.boxes[0].tolist(), image.size
        for method, vectors in words.items():
            scores = class_scores(features.dense[method][0], vectors)
            classes, beyond = scores[: len(task.names)], scores[len(task.names) :]
            score, hottest = (values[counted] for values in _hottest(classes, box, size))
            label = hottest + 1
            if len(beyond):
                label = torch.where(_hottest(beyond, box, size)[0][counted] > score, 0, label)
            ruled = None
            if objects is not None:
                sure = _surest(scores, box, size)[counted] >= SURE
                ruled = torch.where(sure | (objects[counted] > 0), label, 0)
            yield _Seen(method, target, hottest + 1, label, score, ruled)


def _target(image: Image.Image, labels: NDArray[np.generic], task: WordsTask) -> tuple[Tensor, Tensor]:
    """(N,) labels of the counted pixels, 0 for the background, and (height, width) bool, True where counted."""
    known = torch.from_numpy(np.asarray(labels).astype(np.int64))
    if tuple(known.shape) != (image.height, image.width):
        found = " x ".join(map(str, reversed(known.shape)))
        raise ValueError(
            f"labels of {found} pixels for an image of {image.width} x {image.height}; expected the same size"
        )
    counted = known != IGNORED
    target = known[counted] + (1 - task.first)
    if target.numel() and not 0 <= int(target.min()) <= int(target.max()) <= len(task.names):
        last = len(task.names) - 1 + task.first
        raise ValueError(f"found a label that is not a class; expected 0 to {last}, or {IGNORED}")
    return target, counted


def _hottest(scores: Tensor, box: Sequence[float], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(height, width) highest score at each pixel and the number of its class, a few classes at a time."""
    best = torch.full((size[1], size[0]), -torch.inf)
    number = torch.zeros(size[1], size[0], dtype=torch.long)
    for start, maps in _enlarged(scores, box, size):
        score, index = maps.max(0)
        higher = score > best
        best, number = torch.where(higher, score, best), torch.where(higher, index + start, number)
    return best, number


def _surest(scores: Tensor, box: Sequence[float], size: tuple[int, int]) -> Tensor:
    """(height, width) highest probability at each pixel, by the softmax of `SCALE` times the scores."""
    best, total = torch.full((size[1], size[0]), -torch.inf), torch.full((size[1], size[0]), -torch.inf)
    for _, maps in _enlarged(scores, box, size):
        best = torch.maximum(best, maps.amax(0) * SCALE)
        total = torch.logaddexp(total, (maps * SCALE).logsumexp(0))
    return (best - total).exp()


def _enlarged(scores: Tensor, box: Sequence[float], size: tuple[int, int]) -> Iterator[tuple[int, Tensor]]:
    """Number of the first of some classes, and their maps at the image's size."""
    for start in range(0, len(scores), _AT_ONCE):
        yield start, at_image_size(scores[start : start + _AT_ONCE], box, *size)


def _objects(model: ImageTextModel, image: Image.Image, features: ImageFeatures) -> Tensor:
    """(height, width) logit of CLIP-DINOiser's background layer, above 0 on objects."""
    clip, head = model.clip, model.dinoiser
    if clip is None or head is None:
        raise ValueError(f"{model.name} has no CLIP-DINOiser layers; load them")
    longer = max(features.grid) * clip.patch  # the size at which the pooling method encodes the image
    own = clip.encode([image], min(longer, MAXIMUM_SIDE), "whole", [MIDDLE])
    with torch.no_grad():
        logits = head.objects(own.dense[MIDDLE])  # (1, H, W)
    return at_image_size(logits, own.boxes[0].tolist(), *image.size)[0]
