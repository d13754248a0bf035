"""How well heat maps of class names find known masks: over the pixels of objects, and with the background apart."""

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
from dinoclip_viz.images import MAXIMUM_SIDE
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.tasks.open_vocabulary.heatmap import at_image_size
from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary, VocabularyVectors, class_scores, vocabulary_vectors
from dinoclip_viz.tasks.probes.confusion import Confusion

IGNORED = 255
"""Label of a pixel whose class is not known; it counts nowhere."""
LEVELS = tuple(round(-0.2 + 0.01 * step, 2) for step in range(100))
"""Cosines that are tried as the threshold of the background."""
SCALE, SURE = 100.0, 0.99
"""CLIP-DINOiser's rule: what a cosine is multiplied with, and the softmax above which a place is no background."""

Pair = tuple[Image.Image, NDArray[np.generic]]

_AT_ONCE = 16  # classes whose maps are in memory at the image's size


@dataclass(frozen=True)
class WordsTask:
    """What is asked of an image, and how its truth is numbered.

    Attributes:
        vocabulary: the classes in the order of the labels, then words of the background, if there are any.
        first: label of the first class in the truth: 1 where label 0 is the background, else 0.
        templates: prompt templates with one {} each; None takes the prompts as they are.
        size: longer side in pixels at which images are encoded, as in `ImageEncoder.encode`.

    Raises:
        ValueError: a first label that is neither, or a word of the background before a class.
    """

    vocabulary: Vocabulary
    first: int = 1
    templates: Sequence[str] | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        if self.first not in (0, 1):
            raise ValueError(f"first is {self.first}; expected 0, or 1 where label 0 is the background")
        if self.vocabulary.background & set(self.vocabulary.names[: len(self.names)]):
            raise ValueError("words of the background stand before classes; expected them after all classes")

    @property
    def names(self) -> tuple[str, ...]:
        """The classes without the words of the background."""
        return self.vocabulary.names[: len(self.vocabulary.names) - len(self.vocabulary.background)]


@dataclass
class WordsAccuracy:
    """What a method's maps find.

    Attributes:
        method: the heat-map method.
        objects: pixels of the classes alone: each takes the class whose map is hottest.
        whole: every pixel, the background as class 0; None where it was not asked for.
        threshold: cosine below which a place is background in `whole`; None where words of the background alone tell.
        by_rule: every pixel, the background by CLIP-DINOiser's published rule; None where it was not asked for.
        images: how many were measured.
    """

    method: str
    objects: Confusion
    whole: Confusion | None = None
    threshold: float | None = None
    by_rule: Confusion | None = None
    images: int = 0


class LevelTables:
    """Confusion tables with the background, one for each of many thresholds, filled image by image.

    Args:
        names: of the classes after the background.
        levels: thresholds in rising order.

    Raises:
        ValueError: no level, or levels that do not rise.

    Examples:
        >>> tables = LevelTables(["cat"], (0.0, 0.5))
        >>> tables.add(torch.tensor([0, 1]), torch.tensor([1, 1]), torch.tensor([0.3, 0.7])).best()
        (1, 1.0)
    """

    def __init__(self, names: Sequence[str], levels: Sequence[float] = LEVELS) -> None:
        self.names, self.levels = ("background", *names), tuple(levels)
        self._ends = torch.tensor(self.levels)
        if not self.levels or bool((self._ends.diff() <= 0).any()):
            raise ValueError(f"the thresholds {self.levels}; expected one or more in rising order")
        count = len(self.names)
        self._passed = torch.zeros(len(self.levels) + 1, count, count, dtype=torch.long)

    def add(self, truth: Tensor, label: Tensor, score: Tensor) -> LevelTables:
        """Count pixels.

        Args:
            truth: (N,) labels, 0 for the background; label: (N,) of the hottest class, 0 where a word of the background
                is hottest; score: (N,) of the hottest class.
        """
        step = torch.bucketize(score.contiguous(), self._ends, right=True)  # how many levels the pixel passes
        count = len(self.names)
        places = (step * count + truth.long()) * count + label.long()
        self._passed += torch.bincount(places, minlength=self._passed.numel()).view_as(self._passed)
        return self

    def at(self, number: int) -> Confusion:
        """The table at one level: pixels that score below it are background.

        Args:
            number: of the level.
        """
        table = self._passed[number + 1 :].sum(0)  # (C, C) the pixels that pass more than that many levels
        table[:, 0] += self._passed[: number + 1].sum((0, 2))
        return Confusion.of(table, self.names)

    def best(self) -> tuple[int, float]:
        """Number of the level of highest mIoU, the lowest of equals, and that mIoU."""
        mious = [self.at(number).miou for number in range(len(self.levels))]
        number = max(range(len(mious)), key=mious.__getitem__)
        return number, mious[number]


def measure_words(
    model: ImageTextModel,
    task: WordsTask,
    pairs: Iterable[Pair],
    known: Iterable[Pair] | None = None,
    methods: Sequence[str] | None = None,
    by_rule: bool = False,
) -> dict[str, WordsAccuracy]:
    """Method -> what its maps find in images of known truth, all methods from one encoding of each image.

    Memory does not grow with the number of images.

    Args:
        model: an image-text model.
        task: the classes, and how the truth is numbered.
        pairs: images with their labels (height, width); `IGNORED` is of no class.
        known: further images, never those that are measured, on which each method's threshold is chosen: the one of
            `LEVELS` with the highest mIoU. Without, only words of the background tell what it is, if there are any.
        methods: heat-map methods; None takes all that the model serves.
        by_rule: count CLIP-DINOiser's background rule too, which costs a further pass of the CLIP: a place is
            background where the softmax of `SCALE` times the cosines is below `SURE` and the trained background layer
            sees no object (Wysoczańska et al., ECCV 2024). It is published for Pascal VOC and COCO-Object alone.

    Raises:
        ValueError: no image, a truth of another size, a method that is not served, a background where label 0 is
            none, or the rule without CLIP-DINOiser's layers.
    """
    wanted = dict.fromkeys(map(model.check_method, model.methods if methods is None else methods))
    if not wanted:
        raise ValueError(f"{model.name} serves no heat-map method: its patches are not comparable with text")
    if (known is not None or by_rule) and task.first == 0:
        raise ValueError("the truth has no background, which is label 0 where first is 1; leave known and by_rule out")
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
        raise ValueError("no image was given; expected at least one with truth")
    return found


def chance_miou(table: Confusion) -> float:
    """The mIoU that labels drawn evenly by chance would have on the truth of a table, 0 to 1.

    A class with share f of the pixels, among C, overlaps by f / C in a union of f + 1 / C - f / C.

    Examples:
        >>> round(chance_miou(Confusion.of(torch.tensor([[5, 0], [0, 5]]))), 4)
        0.3333
    """
    counts = table.table.sum(1).double()
    share = counts[counts > 0] / counts.sum()
    even = 1 / len(counts)
    return float((share * even / (share + even - share * even)).mean())


@dataclass(frozen=True)
class _Seen:
    """An image by one method, pixels of known class alone, in a row.

    Attributes:
        truth: (N,) 0 for the background, then the classes; hottest: (N,) number of the hottest class from 1 on.
        label: `hottest`, or 0 where a word of the background is hotter; score: (N,) of the hottest class.
        by_rule: (N,) `label`, or 0 where the published rule says background; None where it was not asked for.
    """

    method: str
    truth: Tensor
    hottest: Tensor
    label: Tensor
    score: Tensor
    by_rule: Tensor | None = field(default=None)


def _thresholds(
    model: ImageTextModel, task: WordsTask, known: Iterable[Pair], words: Mapping[str, VocabularyVectors]
) -> Mapping[str, float | None]:
    """Method -> the level of highest mIoU on the known images."""
    tables = {method: LevelTables(task.names) for method in words}
    for seen in _seen(model, task, known, words):
        tables[seen.method].add(seen.truth, seen.label, seen.score)
    if not all(table.at(0).pixels for table in tables.values()):
        raise ValueError("no image to choose the threshold on; expected at least one with truth")
    return {method: LEVELS[table.best()[0]] for method, table in tables.items()}


def _empty(method: str, task: WordsTask, threshold: float | None, by_rule: bool) -> WordsAccuracy:
    names = ("background", *task.names)
    told = task.first == 1 and (threshold is not None or bool(task.vocabulary.background))
    whole = Confusion(names) if told else None
    return WordsAccuracy(method, Confusion(task.names), whole, threshold, Confusion(names) if by_rule else None)


def _count(found: WordsAccuracy, seen: _Seen, task: WordsTask) -> None:
    there = seen.truth > 0
    found.objects.add(seen.hottest[there] - 1, seen.truth[there] - 1, ignore=None)
    if found.whole is not None:
        low = seen.score.new_full((), -2.0 if found.threshold is None else found.threshold)
        found.whole.add(torch.where(seen.score >= low, seen.label, 0), seen.truth, ignore=None)
    if found.by_rule is not None and seen.by_rule is not None:
        found.by_rule.add(seen.by_rule, seen.truth, ignore=None)
    found.images += 1


def _seen(
    model: ImageTextModel,
    task: WordsTask,
    pairs: Iterable[Pair],
    words: Mapping[str, VocabularyVectors],
    by_rule: bool = False,
) -> Iterator[_Seen]:
    """Each image by each method."""
    for image, labels in pairs:
        truth, counted = _truth(image, labels, task)
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
            yield _Seen(method, truth, hottest + 1, label, score, ruled)


def _truth(image: Image.Image, labels: NDArray[np.generic], task: WordsTask) -> tuple[Tensor, Tensor]:
    """(N,) labels of the pixels that count, 0 for the background, and (height, width) bool which ones they are."""
    known = torch.from_numpy(np.asarray(labels).astype(np.int64))
    if tuple(known.shape) != (image.height, image.width):
        found = " x ".join(map(str, reversed(known.shape)))
        raise ValueError(
            f"an image of {image.width} x {image.height} pixels with a truth of {found}; expected the same"
        )
    counted = known != IGNORED
    truth = known[counted] + (1 - task.first)
    if truth.numel() and not 0 <= int(truth.min()) <= int(truth.max()) <= len(task.names):
        last = len(task.names) - 1 + task.first
        raise ValueError(f"the truth holds a label that is no class; expected 0 to {last}, or {IGNORED}")
    return truth, counted


def _hottest(scores: Tensor, box: Sequence[float], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(height, width) the highest score at each pixel, and the number of its class, a few classes' maps at a time."""
    best = torch.full((size[1], size[0]), -torch.inf)
    number = torch.zeros(size[1], size[0], dtype=torch.long)
    for start, maps in _enlarged(scores, box, size):
        score, index = maps.max(0)
        higher = score > best
        best, number = torch.where(higher, score, best), torch.where(higher, index + start, number)
    return best, number


def _surest(scores: Tensor, box: Sequence[float], size: tuple[int, int]) -> Tensor:
    """(height, width) the largest probability at each pixel: softmax of `SCALE` times the scores."""
    best, total = torch.full((size[1], size[0]), -torch.inf), torch.full((size[1], size[0]), -torch.inf)
    for _, maps in _enlarged(scores, box, size):
        best = torch.maximum(best, maps.amax(0) * SCALE)
        total = torch.logaddexp(total, (maps * SCALE).logsumexp(0))
    return (best - total).exp()


def _enlarged(scores: Tensor, box: Sequence[float], size: tuple[int, int]) -> Iterator[tuple[int, Tensor]]:
    """The number of the first of some classes, and their maps at the image's size, all of which the box covers."""
    for start in range(0, len(scores), _AT_ONCE):
        yield start, at_image_size(scores[start : start + _AT_ONCE], box, *size)


def _objects(model: ImageTextModel, image: Image.Image, features: ImageFeatures) -> Tensor:
    """(height, width) CLIP-DINOiser's background layer: a logit, above 0 where an object is."""
    clip, head = model.clip, model.dinoiser
    if clip is None or head is None:
        raise ValueError(f"{model.name} has no CLIP-DINOiser layers; load them")
    longer = max(features.grid) * clip.patch  # as the method that pools by these layers sees the image
    own = clip.encode([image], min(longer, MAXIMUM_SIDE), "whole", [MIDDLE])
    with torch.no_grad():
        logits = head.objects(own.dense[MIDDLE])  # (1, H, W)
    return at_image_size(logits, own.boxes[0].tolist(), *image.size)[0]
