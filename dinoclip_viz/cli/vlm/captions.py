"""`dinoclip evaluate captions`: the objects and colours that captions name, against the ground truth or references."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, check_some, table
from dinoclip_viz.cli.loading import computed
from dinoclip_viz.cli.vlm.inputs import add_evaluation_arguments, held_out_scenes, loaded, percent, vlm_of

if TYPE_CHECKING:
    from dinoclip_viz.data import Sample
    from dinoclip_viz.playground.held_out import HeldOut
    from dinoclip_viz.tasks.vlm.captions import CaptionScore
    from dinoclip_viz.vlm.model import VisionLanguageModel

SUMMARY = "measure captions of a vision-language model by the objects that they name"
NOT_CIDER = "not CIDEr, for which no maintained package exists that needs no Java: F1 of the classes that captions name"


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    add_evaluation_arguments(parser, "data set with captions, such as captions_val2017.json, or playground:SEED:COUNT")
    parser.add_argument(
        "--classes", metavar="LIST", help="names to look for: coco, voc, imagenet or a text file (coco)"
    )
    parser.add_argument("--split", metavar="S", help="part of the data set, where it has parts")
    parser.description = f"{(parser.description or '').rstrip('.')}: {NOT_CIDER}."


def run(arguments: Namespace) -> Answer:
    """Precision, recall and F1 of the named classes, and on scenes the fraction of right colours."""
    scenes = held_out_scenes(arguments)
    if scenes is None:
        return _references(arguments)
    for option in ("classes", "split"):
        if getattr(arguments, option) is not None:
            raise ValueError(f"--{option} is for captions of photographs; omit it with the playground")
    return _scenes(arguments, scenes)


def _scenes(arguments: Namespace, scenes: list[HeldOut]) -> Answer:
    from tqdm import tqdm

    from dinoclip_viz.playground import CLASSES, COLOURS
    from dinoclip_viz.tasks.vlm.scenes import caption_score

    model = vlm_of(arguments)
    with tqdm(total=len(scenes), unit="images", dynamic_ncols=True, desc=arguments.source, disable=None) as bar:
        score = caption_score(model, scenes, CLASSES, tuple(COLOURS), bar.update)
    return _answer(arguments, model, arguments.source, score, [])


def _references(arguments: Namespace) -> Answer:
    from tqdm import tqdm

    from dinoclip_viz.data import open_source
    from dinoclip_viz.tasks.vlm.captions import COCO_SYNONYMS, ClassWords, score_captions_by_references
    from dinoclip_viz.tasks.vlm.measures import captions_of
    from dinoclip_viz.tasks.zero_shot.class_lists import class_list

    names = class_list(arguments.classes or "coco").names
    words = ClassWords(names, synonyms=COCO_SYNONYMS)
    source = open_source(arguments.source, arguments.split, arguments.image_folder, encoding=arguments.encoding)
    model = vlm_of(arguments)
    failed: list[Failure] = []
    captions: list[str] = []
    references: list[tuple[str, ...]] = []
    with tqdm(unit="images", dynamic_ncols=True, desc=source.name, disable=None) as bar:
        for some, images in loaded(source.samples(), _sample, arguments, failed):
            bare = [one for one in some if not one.captions]
            failed += [Failure(one.path or one.key, f"{one.key}: no caption; expected one or more") for one in bare]
            kept = [(one, image) for one, image in zip(some, images, strict=True) if one.captions]
            captions += captions_of(model, [image for _, image in kept], bar.update)
            references += [one.captions for one, _ in kept]
    check_some(len(captions), failed)
    return _answer(arguments, model, source.name, score_captions_by_references(captions, references, words), failed)


def _sample(one: Sample) -> Sample:
    return one


def _answer(
    arguments: Namespace, model: VisionLanguageModel, data: str, score: CaptionScore, failed: list[Failure]
) -> Answer:
    result: dict[str, object] = {"data": data, "model": arguments.model, "measure": NOT_CIDER}
    result |= {**asdict(score), "f1": score.f1, **computed(model)}
    rows = [
        ["", "%"],
        ["classes named: F1", percent(score.f1)],
        ["precision", percent(score.precision)],
        ["recall", percent(score.recall)],
    ]
    if score.colours_right is not None:
        rows.append(["colours right, of the named objects that are there", percent(score.colours_right)])
        rows.append(["colours stated", percent(score.colours_stated)])
    return Answer({"results": [result]}, f"{table(rows)}\n{score.captions} captions; {NOT_CIDER}", failed)
