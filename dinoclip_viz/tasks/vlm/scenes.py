"""Figures of a vision-language model on held-out scenes of the playground, whose objects are known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.tasks.vlm.captions import CaptionScore, ClassWords, score_captions
from dinoclip_viz.tasks.vlm.detection import Prediction, Target
from dinoclip_viz.tasks.vlm.measures import (
    Annotated,
    Answering,
    Expression,
    Question,
    Watch,
    absent_classes,
    captions_of,
    detect_each,
    measure_answers,
    measure_referring,
    measure_segmentation,
    nobody,
    score_detection,
)

ANSWER = "answer en "
"""Beginning of the prompts of questions."""


class ObjectLike(TypedDict):
    """One object of a scene, as in `playground.SceneObject`."""

    name: str
    colour: str
    box: list[int]


class SceneLike(Protocol):
    """What is read of a `playground.Scene`."""

    @property
    def image(self) -> Image.Image:
        """RGB image."""
        ...

    @property
    def instances(self) -> NDArray[np.uint8]:
        """(size, size), index into `objects` + 1."""
        ...

    @property
    def objects(self) -> Sequence[ObjectLike]:
        """The objects, hidden ones too."""
        ...


class AskedLike(Protocol):
    """What is read of a `playground.questions.Asked`."""

    @property
    def kind(self) -> str:
        """Of the question."""
        ...

    @property
    def prompt(self) -> str:
        """With `ANSWER` before the question."""
        ...

    @property
    def answer(self) -> str:
        """The expected text."""
        ...


class HeldOutLike(Protocol):
    """What is read of a `playground.held_out.HeldOut`."""

    @property
    def scene(self) -> SceneLike:
        """The scene."""
        ...

    @property
    def visible(self) -> Sequence[int]:
        """Indices of its visible objects."""
        ...

    @property
    def expressions(self) -> Sequence[tuple[str, int]]:
        """(text, index in `visible`)."""
        ...

    @property
    def asked(self) -> Sequence[AskedLike]:
        """Questions with short answers."""
        ...


def annotated(held: HeldOutLike) -> Annotated:
    """The visible objects of a scene, their colours and their masks; hidden ones are doubtful."""
    scene = held.scene
    targets = []
    for number in held.visible:
        known = scene.objects[number]
        x0, y0, x1, y1 = known["box"]
        mask = np.asarray(scene.instances == number + 1)
        targets.append(Target(known["name"], (x0, y0, x1, y1), known["colour"], mask=mask))
    return Annotated(tuple(targets), frozenset(one["name"] for one in scene.objects))


def caption_score(
    model: Answering, held: Sequence[HeldOutLike], classes: Sequence[str], colours: Sequence[str], watch: Watch = nobody
) -> CaptionScore:
    """Objects and colours named in the captions of scenes, against the visible objects.

    Args:
        model: a vision-language model.
        held: the scenes.
        classes, colours: words of the playground.
        watch: called with the number of scenes done since the last call.
    """
    captions = captions_of(model, _images(held), watch)
    there = [[(target.label, target.colour) for target in annotated(one).targets] for one in held]
    return score_captions(captions, there, ClassWords(classes, colours))


def detect_scenes(
    model: Answering, held: Sequence[HeldOutLike], classes: Sequence[str], seed: int, watch: Watch = nobody
) -> tuple[dict[str, float], list[Sequence[Target]], list[list[Prediction]]]:
    """Figures of detection, and the objects and detections of each scene, for average precision.

    Each class that is there is asked for, and one at random that is not.

    Args:
        model: a vision-language model.
        held: the scenes.
        classes: of the playground.
        seed: of the choice of absent classes.
        watch: called with the number of prompts answered since the last call.
    """
    known = [annotated(one) for one in held]
    absent = absent_classes(known, classes, seed)
    asked = [one.classes() for one in known]
    for number, name in absent:
        asked[number].append(name)
    found = detect_each(model, _images(held), asked, watch)
    return asdict(score_detection(found, known, absent)), [one.targets for one in known], found


def referring_figures(model: Answering, held: Sequence[HeldOutLike], watch: Watch = nobody) -> dict[str, float]:
    """Figures of referring expressions in scenes with several objects of a class, as in `measure_referring`."""
    known = [annotated(one) for one in held]
    expressions = [Expression(number, text, at) for number, one in enumerate(held) for text, at in one.expressions]
    return asdict(measure_referring(model, _images(held), known, expressions, watch))


def segmentation_figures(model: Answering, held: Sequence[HeldOutLike], watch: Watch = nobody) -> dict[str, float]:
    """Figures of segmentation of the classes that are there, as in `measure_segmentation`."""
    return asdict(measure_segmentation(model, _images(held), [annotated(one) for one in held], watch))


def answer_figures(
    model: Answering, held: Sequence[HeldOutLike], watch: Watch = nobody
) -> dict[str, dict[str, float | str]]:
    """Kind of question -> questions, accuracy, most frequent answer and its accuracy, and the gain over it.

    Numbers of all objects and those of the objects of one class are apart: the latter are mostly 1.

    Raises:
        ValueError: no scene has a question.
    """
    questions = [
        Question(number, asked.prompt.removeprefix(ANSWER), (asked.answer,), _kind(asked))
        for number, one in enumerate(held)
        for asked in one.asked
    ]
    scores = measure_answers(model, _images(held), questions, watch)
    return {kind: {**asdict(score), "gain": score.gain} for kind, score in scores.items()}


def _kind(asked: AskedLike) -> str:
    if asked.kind != "count":
        return asked.kind
    return "count, all objects" if {"objects", "things"} & set(asked.prompt.strip("?").split()) else "count, one class"


def _images(held: Sequence[HeldOutLike]) -> list[Image.Image]:
    return [one.scene.image for one in held]
