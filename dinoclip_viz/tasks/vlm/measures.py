"""Measures of a vision-language model on annotated images, in batches of equal prompts.

A model is whatever has the methods of `Answering`; the objects of image i are `annotated[i]`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.tasks.vlm.answers import AnswerScore, score_answers_by_kind
from dinoclip_viz.tasks.vlm.boxes import box_iou, mask_iou, matched
from dinoclip_viz.tasks.vlm.detection import Detected, Prediction, Target

AT_ONCE = 32
"""Images of one prompt that a model receives at once."""
LEAST = 0.5
"""IoU from which a box counts as right."""

Watch = Callable[[int], object]
"""Called with the number of prompts answered since the last call."""


def nobody(count: int) -> None:
    """A `Watch` that does nothing."""


class Answering(Protocol):
    """The methods of a vision-language model that are measured; lists in, lists out."""

    def caption(self, images: list[Image.Image]) -> str | list[str]:
        """A caption of each image."""
        ...

    def answer(self, images: list[Image.Image], question: str) -> str | list[str]:
        """The answer to the question about each image."""
        ...

    def detect(self, images: list[Image.Image], names: str) -> Sequence[object]:
        """The `Detected` of each image."""
        ...

    def segment(self, images: list[Image.Image], names: str) -> Sequence[object]:
        """The `Detected` of each image, with masks."""
        ...


@dataclass(frozen=True, eq=False)
class Annotated:
    """The objects of an image.

    Attributes:
        targets: the objects.
        doubtful: classes that are neither there nor absent, such as those of hidden objects.
    """

    targets: tuple[Target, ...]
    doubtful: frozenset[str] = frozenset()

    def classes(self) -> list[str]:
        """The classes of the objects, each once, in the order of the objects."""
        return list(dict.fromkeys(one.label for one in self.targets))

    def of_class(self, name: str) -> list[Target]:
        """The objects of a class."""
        return [one for one in self.targets if one.label == name]


@dataclass(frozen=True)
class Expression:
    """A text that refers to one object of an image.

    Attributes:
        image: index of the image; text: such as "the red car left of the tree"; target: index of the object in it.
    """

    image: int
    text: str
    target: int


@dataclass(frozen=True)
class Question:
    """A question about an image.

    Attributes:
        image: index of the image; text: the question; expected: right answers; kind: what it asks for.
    """

    image: int
    text: str
    expected: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True)
class DetectionScore:
    """Detection of classes that are there, and of classes that are not.

    Attributes:
        objects: number of objects asked for; recall: fraction found with an IoU of at least .5, 0 to 1.
        mean_iou: mean over these objects of the IoU with the box matched to each, 0 for those without one.
        absent: number of questions for a class that is not there; refused: fraction of them with no box, 0 to 1.
    """

    objects: int
    recall: float
    mean_iou: float
    absent: int
    refused: float


@dataclass(frozen=True)
class ReferringScore:
    """Referring expressions: the most probable box against the object.

    Attributes:
        expressions: their number; accuracy: fraction with an IoU of at least .5, 0 to 1.
        chance: the accuracy of an object of the class at random.
    """

    expressions: int
    accuracy: float
    chance: float


@dataclass(frozen=True)
class SegmentationScore:
    """Segmentation of classes that are there.

    Attributes:
        objects: number of objects; mean_iou: mean over objects of the IoU with the mask matched to each, 0 to 1.
        alone, alone_iou: the same of those that are the only ones of their class in the image.
    """

    objects: int
    mean_iou: float
    alone: int
    alone_iou: float


def captions_of(model: Answering, images: Sequence[Image.Image], watch: Watch = nobody) -> list[str]:
    """A caption of each image."""
    return _asked(images, [""] * len(images), lambda some, _: model.caption(some), watch)


def answers_to(
    model: Answering, images: Sequence[Image.Image], questions: Sequence[str], watch: Watch = nobody
) -> list[str]:
    """The answer to each question about the image of the same index."""
    return _asked(images, questions, model.answer, watch)


def detect_each(
    model: Answering, images: Sequence[Image.Image], asked: Sequence[Sequence[str]], watch: Watch = nobody
) -> list[list[Prediction]]:
    """The detections of each image, one prompt per class, under the name of that class.

    Args:
        model: any with `detect`.
        images: B images.
        asked: class names of each image.
        watch: called with the number of prompts answered since the last call.
    """
    rows = [(number, name) for number, names in enumerate(asked) for name in names]
    found: list[list[Prediction]] = [[] for _ in images]
    several: list[list[Detected]] = _asked(
        [images[number] for number, _ in rows], [name for _, name in rows], model.detect, watch
    )
    for (number, name), detections in zip(rows, several, strict=True):
        found[number] += [Prediction.of(one, name) for one in detections]
    return found


def score_detection(
    found: Sequence[Sequence[Detected]], annotated: Sequence[Annotated], absent: Sequence[tuple[int, str]]
) -> DetectionScore:
    """Recall of the objects, crowds apart, and the fraction of absent classes for which nothing is returned.

    Args:
        found: detections of each image, of the classes there and of the absent ones.
        annotated: the images.
        absent: (index of an image, class that is not there), as asked for.

    Raises:
        ValueError: an absent class is there.
    """
    best: list[float] = []
    for detections, one in zip(found, annotated, strict=True):
        for name in one.classes():
            targets = [target for target in one.of_class(name) if not target.crowd]
            boxes = [each.box for each in detections if each.label == name]
            best += _matched_iou(box_iou(boxes, [target.box for target in targets]))
    refused = 0
    for number, name in absent:
        if annotated[number].of_class(name):
            raise ValueError(f"image {number} has a {name}; expected classes that are not there")
        refused += not any(each.label == name for each in found[number])
    recall = sum(value >= LEAST for value in best)
    return DetectionScore(len(best), _mean(recall, best), _mean(sum(best), best), len(absent), _mean(refused, absent))


def measure_referring(
    model: Answering,
    images: Sequence[Image.Image],
    annotated: Sequence[Annotated],
    expressions: Sequence[Expression],
    watch: Watch = nobody,
) -> ReferringScore:
    """How often the box with the highest score is that of the object an expression refers to."""
    found = _asked([images[one.image] for one in expressions], [one.text for one in expressions], model.detect, watch)
    right, chance = 0, 0.0
    for detections, one in zip(found, expressions, strict=True):
        target = annotated[one.image].targets[one.target]
        chance += 1 / len(annotated[one.image].of_class(target.label))
        best = max(detections, key=lambda each: each.score, default=None)
        right += best is not None and bool(box_iou([best.box], [target.box])[0, 0] >= LEAST)
    return ReferringScore(len(expressions), _mean(right, expressions), _mean(chance, expressions))


def measure_segmentation(
    model: Answering, images: Sequence[Image.Image], annotated: Sequence[Annotated], watch: Watch = nobody
) -> SegmentationScore:
    """Mean IoU of the masks with the objects of each class that is there; an object without a mask counts 0.

    Raises:
        ValueError: an object has no mask.
    """
    rows = [(number, name) for number, one in enumerate(annotated) for name in one.classes()]
    found = _asked([images[number] for number, _ in rows], [name for _, name in rows], model.segment, watch)
    best: list[float] = []
    alone: list[float] = []
    for detections, (number, name) in zip(found, rows, strict=True):
        masks = [each.mask for each in detections if each.mask is not None]
        overlaps = _matched_iou(_mask_ious(masks, [_mask(target) for target in annotated[number].of_class(name)]))
        best += overlaps
        alone += overlaps if len(overlaps) == 1 else []
    return SegmentationScore(len(best), _mean(sum(best), best), len(alone), _mean(sum(alone), alone))


def measure_answers(
    model: Answering, images: Sequence[Image.Image], questions: Sequence[Question], watch: Watch = nobody
) -> dict[str, AnswerScore]:
    """Kind of question -> its score by exact match.

    Raises:
        ValueError: no questions.
    """
    if not questions:
        raise ValueError("found no questions; expected one or more")
    answers = answers_to(model, [images[one.image] for one in questions], [one.text for one in questions], watch)
    return score_answers_by_kind([one.kind for one in questions], answers, [one.expected for one in questions])


def absent_classes(annotated: Sequence[Annotated], classes: Sequence[str], seed: int) -> list[tuple[int, str]]:
    """(index of an image, a class that is not there), one class at random per image.

    Args:
        annotated: the images.
        classes: all names.
        seed: of the choice; image i depends on the seed and i alone.
    """
    chosen = []
    for number, one in enumerate(annotated):
        there = {*one.classes(), *one.doubtful}
        options = [name for name in classes if name not in there]
        if options:
            draw = np.random.default_rng([seed, number])
            chosen.append((number, options[int(draw.integers(len(options)))]))
    return chosen


def _asked(
    images: Sequence[Image.Image],
    prompts: Sequence[str],
    ask: Callable[[list[Image.Image], str], object],
    watch: Watch,
) -> list[Any]:
    """The result of each image and prompt, asked in batches of one prompt."""
    results: dict[int, object] = {}
    for prompt, numbers in _batches(prompts):
        answers = cast("list[object]", ask([images[number] for number in numbers], prompt))
        results |= dict(zip(numbers, answers, strict=True))
        watch(len(numbers))
    return [results[number] for number in range(len(prompts))]


def _batches(prompts: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    """(prompt, indices), at most `AT_ONCE` at a time."""
    for prompt in Counter(prompts):
        numbers = [number for number, one in enumerate(prompts) if one == prompt]
        for start in range(0, len(numbers), AT_ONCE):
            yield prompt, numbers[start : start + AT_ONCE]


def _mask(target: Target) -> NDArray[np.bool_]:
    if target.mask is None:
        raise ValueError(f"a {target.label} has no mask; expected annotations with masks")
    return target.mask


def _mask_ious(masks: Sequence[NDArray[np.bool_]], targets: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    table = np.zeros((len(masks), len(targets)))
    for row, mask in enumerate(masks):
        table[row] = [mask_iou(mask, target) for target in targets]
    return table


def _matched_iou(iou: NDArray[np.float64]) -> list[float]:
    """(M) IoU of each object with the prediction that is matched to it, 0 without one."""
    best = [0.0] * iou.shape[1]
    for row, column in matched(iou, np.finfo(float).tiny):
        best[column] = float(iou[row, column])
    return best


def _mean(total: float, of: Sequence[object]) -> float:
    return total / len(of) if of else 0.0
