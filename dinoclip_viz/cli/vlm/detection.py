"""`dinoclip evaluate detection`: boxes of named classes against annotations, and on scenes referring and masks."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
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
    from dinoclip_viz.tasks.vlm.detection import Prediction, Target

SUMMARY = "measure detection by a vision-language model: average precision, recall, absent classes"
SEED = 0  # of the choice of absent classes
TITLES = {
    "AP": "AP (IoU .5 to .95)",
    "AP50": "AP at IoU .5",
    "AP75": "AP at IoU .75",
    "AR100": "AR (IoU .5 to .95)",
    "recall": "recall at IoU .5, classes that are there",
    "mean_iou": "mean IoU of their boxes",
    "refused": "nothing returned, classes that are absent",
}


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    add_evaluation_arguments(parser, "COCO's instance annotations (.json), or playground:SEED:COUNT[:SIZE[:OBJECTS]]")
    parser.add_argument(
        "--all-classes",
        action="store_true",
        help="COCO: ask each image for every class; by default for those that it shows and one that it does not",
    )
    parser.add_argument("--masks", action="store_true", help="playground: measure segmentation too")


def run(arguments: Namespace) -> Answer:
    """Figures of detection; on scenes those of referring expressions and of segmentation too."""
    from dinoclip_viz.tasks.vlm.detection import check_pycocotools

    check_pycocotools()
    scenes = held_out_scenes(arguments)
    if scenes is not None and arguments.all_classes:
        raise ValueError("--all-classes is for COCO's annotations; omit it with the playground")
    if scenes is None and arguments.masks:
        raise ValueError("--masks is for the playground's scenes; omit it with COCO's annotations")
    return _coco(arguments) if scenes is None else _scenes(arguments, scenes)


def _scenes(arguments: Namespace, scenes: list[HeldOut]) -> Answer:
    from tqdm import tqdm

    from dinoclip_viz.playground import CLASSES
    from dinoclip_viz.tasks.vlm.detection import average_precision
    from dinoclip_viz.tasks.vlm.scenes import detect_scenes, referring_figures, segmentation_figures

    model = vlm_of(arguments)
    result: dict[str, object] = {"data": arguments.source, "model": arguments.model, "images": len(scenes)}
    with tqdm(unit="prompts", dynamic_ncols=True, desc=arguments.source, disable=None) as bar:
        figures, targets, found = detect_scenes(model, scenes, CLASSES, SEED, bar.update)
        result |= {**average_precision(targets, found, CLASSES), **figures}
        result["referring"] = referring_figures(model, scenes, bar.update)
        result["segmentation"] = segmentation_figures(model, scenes, bar.update) if arguments.masks else None
    return Answer({"results": [{**result, **computed(model)}]}, _text(result))


def _coco(arguments: Namespace) -> Answer:
    from dataclasses import asdict

    from tqdm import tqdm

    from dinoclip_viz.data.labels.coco_boxes import BoxSource
    from dinoclip_viz.tasks.vlm.detection import Target, average_precision
    from dinoclip_viz.tasks.vlm.measures import Annotated, absent_classes, detect_each, score_detection

    path = source_file(arguments, "COCO's instance annotations (.json)")
    source = BoxSource(path, arguments.image_folder, arguments.encoding)
    classes, samples = source.read()
    model = vlm_of(arguments)
    failed: list[Failure] = []
    known: list[Annotated] = []
    found: list[list[Prediction]] = []
    absent: list[tuple[int, str]] = []
    with tqdm(unit="prompts", dynamic_ncols=True, desc=source.name, disable=None) as bar:
        for some, images in loaded(samples, lambda one: one.sample, arguments, failed):
            boxes = [tuple(Target(each.label, each.box, crowd=each.crowd) for each in one.boxes) for one in some]
            there = [Annotated(targets) for targets in boxes]
            asked = [one.classes() for one in there]
            missing = absent_classes(there, classes, SEED + len(known))
            for number, name in missing:
                asked[number].append(name)
            names = [list(classes)] * len(images) if arguments.all_classes else asked
            found += detect_each(model, images, names, bar.update)
            absent += [(number + len(known), name) for number, name in missing]
            known += there
    check_some(len(known), failed)
    targets: list[tuple[Target, ...]] = [one.targets for one in known]
    result: dict[str, object] = {"data": source.name, "model": arguments.model, "images": len(known)}
    result |= {"classes": len(classes), "all_classes": arguments.all_classes}
    result |= {**average_precision(targets, found, classes), **asdict(score_detection(found, known, absent))}
    return Answer({"results": [{**result, **computed(model)}]}, _text(result), failed)


def _text(result: Mapping[str, object]) -> str:
    rows = [["", "%"], *([title, percent(result[name])] for name, title in TITLES.items())]
    notes = [f"{result['images']} images, {result['objects']} objects, {result['absent']} absent classes"]
    if "all_classes" in result and not result["all_classes"]:
        notes.append(
            "asked for the classes of each image and one absent class; AP over all classes needs --all-classes"
        )
    referring, segmentation = result.get("referring"), result.get("segmentation")
    if isinstance(referring, Mapping) and referring["expressions"]:
        rows.append(["referring expressions at IoU .5", percent(referring["accuracy"])])
        rows.append(["an object of the class at random", percent(referring["chance"])])
        notes.append(f"{referring['expressions']} referring expressions")
    if isinstance(segmentation, Mapping):
        rows.append(["mean IoU of masks", percent(segmentation["mean_iou"])])
        rows.append(["the same, only ones of their class", percent(segmentation["alone_iou"])])
    return "\n".join([table(rows), *notes])
