"""`dinoclip evaluate answers`: short answers to questions about images, by exact match."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, check_some, table
from dinoclip_viz.cli.loading import computed
from dinoclip_viz.cli.vlm.inputs import (
    add_evaluation_arguments,
    held_out_scenes,
    loaded,
    percent,
    source_file,
    vlm_of,
)

if TYPE_CHECKING:
    from dinoclip_viz.playground.held_out import HeldOut
    from dinoclip_viz.vlm.model import VisionLanguageModel

SUMMARY = "measure short answers of a vision-language model by exact match"
ALL = "all"  # kind of questions without one


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    add_evaluation_arguments(
        parser, 'JSON lines {"image", "question", "answer"}, with an optional "kind", or playground:SEED:COUNT'
    )


def run(arguments: Namespace) -> Answer:
    """Accuracy of each kind of question, and that of always giving its most frequent answer."""
    scenes = held_out_scenes(arguments)
    return _listed(arguments) if scenes is None else _scenes(arguments, scenes)


def _scenes(arguments: Namespace, scenes: list[HeldOut]) -> Answer:
    from tqdm import tqdm

    from dinoclip_viz.tasks.vlm.scenes import answer_figures

    model = vlm_of(arguments)
    total = sum(len(one.asked) for one in scenes)
    with tqdm(total=total, unit="questions", dynamic_ncols=True, desc=arguments.source, disable=None) as bar:
        kinds = answer_figures(model, scenes, bar.update)
    return _answer(arguments, model, kinds, [])


def _listed(arguments: Namespace) -> Answer:
    from tqdm import tqdm

    from dinoclip_viz.data.questions import read_questions
    from dinoclip_viz.tasks.vlm.answers import score_answers_by_kind
    from dinoclip_viz.tasks.vlm.measures import answers_to

    path = source_file(arguments, 'JSON lines {"image", "question", "answer"}')
    questions = read_questions(path, arguments.image_folder, arguments.encoding)
    model = vlm_of(arguments)
    failed: list[Failure] = []
    answers: list[str] = []
    expected: list[tuple[str, ...]] = []
    kinds: list[str] = []
    with tqdm(unit="questions", dynamic_ncols=True, desc=arguments.source, disable=None) as bar:
        for some, images in loaded(questions, lambda one: one.sample, arguments, failed):
            answers += answers_to(model, images, [one.question for one in some], bar.update)
            expected += [one.answers for one in some]
            kinds += [one.kind or ALL for one in some]
    check_some(len(answers), failed)
    scores = score_answers_by_kind(kinds, answers, expected)
    return _answer(arguments, model, {kind: {**asdict(one), "gain": one.gain} for kind, one in scores.items()}, failed)


def _answer(
    arguments: Namespace,
    model: VisionLanguageModel,
    kinds: Mapping[str, Mapping[str, float | str]],
    failed: list[Failure],
) -> Answer:
    result = {"data": arguments.source, "model": arguments.model, "kinds": kinds, **computed(model)}
    rows = [["kind", "questions", "right, %", "most frequent answer", "it is right, %", "gain"]]
    for kind, one in kinds.items():
        gain = f"{100 * float(one['gain']):+.1f}"
        cells = [str(one["questions"]), percent(one["accuracy"]), str(one["frequent"])]
        rows.append([kind, *cells, percent(one["frequent_accuracy"]), gain])
    return Answer({"results": [result]}, table(rows), failed)
