"""The half of `dinoclip evaluate segmentation` that fits nothing: class names as prompts, every method side by side."""

from __future__ import annotations

import csv
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, table
from dinoclip_viz.cli.loading import computed, model_of
from dinoclip_viz.cli.parser import output_file
from dinoclip_viz.cli.probes.patch_inputs import usable_pairs
from dinoclip_viz.disk import replacing

if TYPE_CHECKING:
    from dinoclip_viz.data.labels.segmentation_sets import SegmentationSet
    from dinoclip_viz.data.labels.sources import TruthSource
    from dinoclip_viz.models import ImageTextModel
    from dinoclip_viz.tasks.open_vocabulary.accuracy import WordsAccuracy, WordsTask
    from dinoclip_viz.tasks.probes.confusion import Confusion

DATASETS = (
    "voc20", "voc21", "context59", "context60", "coco-object", "coco-stuff", "cityscapes", "ade20k", "playground",
    "folder",
)  # fmt: skip
PLAYGROUND, KNOWN_PLAYGROUND = "playground:3006:300:192", "playground:1700:100:192"
PHOTOGRAPHS = 448  # pixels of the longer side at which photographs are encoded
KNOWN = 100  # images of a training part that the threshold is chosen on
NEAR_CHANCE = 1.5  # times the mIoU of labels drawn by chance
WORDS_ALONE = ("model", "guide", "dinoiser", "dataset", "templates", "known", "confusion", "background_rule")
"""Options that mean something for heat-map methods alone."""


def add_words_arguments(parser: ArgumentParser) -> None:
    """The options of the half."""
    group = parser.add_argument_group(
        "open-vocabulary segmentation (a heat-map method as --method)",
        f"--data is {PLAYGROUND} by default, encoded at the images' own size; photographs are at {PHOTOGRAPHS} px",
    )
    group.add_argument("--model", metavar="NAME", help="image-text model (playground)")
    group.add_argument("--guide", metavar="NAME", help="the DINO whose patch similarities guide the method")
    group.add_argument("--dinoiser", metavar="FILE", help="CLIP-DINOiser's trained layers for the model's CLIP")
    group.add_argument(
        "--dataset", choices=DATASETS, help="data set that --data is (playground); folder: with names of its own"
    )
    group.add_argument(
        "--templates", choices=("none", "openai", "own"), help="prompts as they are, in CLIP's 80 templates, or in "
        "the model's own (none for playground and folder, else openai)",
    )  # fmt: skip
    group.add_argument(
        "--known", metavar="SOURCE", help="other images, on which the background's threshold is chosen; none chooses "
        f"none ({KNOWN_PLAYGROUND}; of a benchmark {KNOWN} images of its training part)",
    )  # fmt: skip
    group.add_argument(
        "--background-rule", action="store_true", default=None, help="CLIP-DINOiser's published rule too"
    )
    group.add_argument(
        "--confusion", type=output_file, metavar="FILE.csv", help="write how pixels were taken for others"
    )


def method_name(text: str) -> str:
    """linear, all, or the name of a heat-map method."""
    from dinoclip_viz.models import HEATMAP_METHODS

    known = ("linear", "all", *HEATMAP_METHODS)
    if text not in known:
        raise ArgumentTypeError(f"invalid choice: {text!r} (choose from {', '.join(known)})")
    return text


def refuse_options(arguments: Namespace, names: Sequence[str], where: str) -> None:
    """Nothing, if none of the options was given.

    Raises:
        ValueError: one was, and it would have no effect.
    """
    given = [name for name in names if getattr(arguments, name) is not None]
    if given:
        raise ValueError(f"--{given[0].replace('_', '-')} goes with {where}; omit it here")


def by_words(arguments: Namespace, methods: Sequence[str]) -> Answer:
    """MIoU over objects and with the background, pixel accuracy and mean class accuracy of each method.

    Raises:
        ValueError: an invalid source, model or method.
    """
    from dinoclip_viz.tasks.open_vocabulary.accuracy import measure_words

    asked, data = _measured_on(arguments)
    known = _chosen_on(arguments, asked, data)
    if arguments.background_rule and not asked.with_background:
        raise ValueError(f"{asked.name} counts no background, so --background-rule does not apply; omit it")
    model = model_of(arguments, arguments.model or "playground", arguments.guide, arguments.dinoiser)
    wanted = None if "all" in methods else list(dict.fromkeys(map(model.check_method, methods)))
    task = _task(arguments, asked, model)
    failed: list[Failure] = []
    seen = None if known is None else usable_pairs(known, "class", _limit(arguments, known), failed)
    pairs = usable_pairs(data, "class", arguments.limit, failed)
    found = measure_words(model, task, pairs, seen, wanted, bool(arguments.background_rule))
    names = (model.name, data.name, known.name if known else None)
    how = computed(model.images, model.texts)
    rows = [{**_row(arguments, asked, one, names), **how} for one in found.values()]
    if arguments.confusion:
        _write(arguments.confusion, found)
    text = _text(arguments, asked, rows, list(found.values()))
    return Answer({"results": rows, "published": dict(asked.published)}, text, failed)


def percent(value: object) -> str:
    """A share as %, or a dash where there is none."""
    return f"{100 * value:.1f}" if isinstance(value, float) else "-"


def _measured_on(arguments: Namespace) -> tuple[SegmentationSet, TruthSource]:
    """The benchmark's row and the images that are measured."""
    from dinoclip_viz.data.labels.segmentation_sets import SEGMENTATION_SETS, open_segmentation, segmentation_set

    name = arguments.dataset or "playground"
    if arguments.data is None and name != "playground":
        layout = "images/ and masks/" if name == "folder" else SEGMENTATION_SETS[name].layout
        raise ValueError(f"--data is missing; expected the folder of {name}, with {layout}")
    data = open_segmentation(name, PLAYGROUND if arguments.data is None else arguments.data, arguments.split)
    return segmentation_set(name, data), data


def _chosen_on(arguments: Namespace, asked: SegmentationSet, data: TruthSource) -> TruthSource | None:
    """The images on which the threshold is chosen; None where there is no background or no threshold is wanted."""
    from dinoclip_viz.data.base import SourceError
    from dinoclip_viz.data.labels.segmentation_sets import open_segmentation

    if not asked.with_background:
        if arguments.known is not None:
            raise ValueError(f"{asked.name} counts no background, which --known is for; omit it")
        return None
    place = arguments.known
    if place == "none" or (place is None and asked.name == "folder"):
        return None
    if place is None and asked.name == "playground":
        place = KNOWN_PLAYGROUND
    try:
        known = open_segmentation(asked.name, place or arguments.data, asked.training or None)
    except SourceError as error:
        if place:
            raise
        raise ValueError(f"no threshold can be chosen: {error}; name --known SOURCE, or --known none") from error
    if known.name == data.name or _seed(known) == _seed(data) != "":
        raise ValueError(f"--known and --data share images, {data.name}; a threshold is chosen on others")
    if known.names("class") != data.names("class"):
        raise ValueError(f"{known.name} and {data.name} have different classes; expected the same ones")
    return known


def _seed(source: TruthSource) -> str:
    """The seed of playground scenes, which distinguishes them; "" for images of a disk."""
    return source.name.split(":")[1] if source.name.startswith("playground:") else ""


def _limit(arguments: Namespace, known: TruthSource) -> int | None:
    """How many images the threshold is chosen on."""
    usual = None if known.name.startswith("playground:") or arguments.known is not None else KNOWN
    return min((number for number in (usual, arguments.limit) if number is not None), default=None)


def _task(arguments: Namespace, asked: SegmentationSet, model: ImageTextModel) -> WordsTask:
    from dinoclip_viz.tasks.open_vocabulary.accuracy import WordsTask
    from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary
    from dinoclip_viz.tasks.zero_shot.class_lists import template_set

    beyond = asked.background
    vocabulary = Vocabulary(
        (*asked.classes, *beyond), (*asked.prompts, *((word,) for word in beyond)), frozenset(beyond)
    )
    which = _templates(arguments, asked)
    templates = {"none": None, "own": model.texts.templates}.get(which) if which != "openai" else template_set(which)
    return WordsTask(vocabulary, asked.first, templates, _size(arguments, asked))


def _templates(arguments: Namespace, asked: SegmentationSet) -> str:
    return str(arguments.templates or asked.templates)


def _size(arguments: Namespace, asked: SegmentationSet) -> int | None:
    """The size asked for; the playground's images as they are, photographs at the usual size."""
    return arguments.size or (None if asked.name == "playground" else PHOTOGRAPHS)


def _row(
    arguments: Namespace, asked: SegmentationSet, found: WordsAccuracy, names: tuple[str, str, str | None]
) -> dict[str, object]:
    from dinoclip_viz.data.labels.segmentation_sets import PUBLISHED_AS
    from dinoclip_viz.tasks.open_vocabulary.accuracy import chance_miou

    figures = found.objects.figures()
    system = PUBLISHED_AS.get(found.method, "")
    row: dict[str, object] = {
        "method": found.method,
        "model": names[0],
        "dataset": asked.name,
        "data": names[1],
        "images": found.images,
        "classes": len(asked.classes),
        "templates": _templates(arguments, asked),
        "size": _size(arguments, asked),
        "miou": figures["miou"],
        "miou_with_background": found.whole.miou if found.whole else None,
        "accuracy": figures["accuracy"],
        "class_accuracy": figures["class_accuracy"],
        "threshold": found.threshold,
        "known": names[2],
        "chance_miou": chance_miou(found.objects),
        "published": asked.published.get(system),
        "published_as": system if system in asked.published else None,
    }
    if found.by_rule is not None:
        row["miou_with_background_rule"] = found.by_rule.miou
    if arguments.per_class:
        row["per_class"] = _counted(asked, found).per_class()
    return row


def _counted(asked: SegmentationSet, found: WordsAccuracy) -> Confusion:
    """The table behind the benchmark's own figure: with the background where it counts and was predicted."""
    return found.whole if found.whole is not None and asked.with_background else found.objects


def _text(
    arguments: Namespace, asked: SegmentationSet, rows: Sequence[Mapping[str, object]], found: Sequence[WordsAccuracy]
) -> str:
    first = rows[0]
    size = "the images' own size" if first["size"] is None else f"{first['size']} px"
    how = {"none": "as typed", "openai": "in CLIP's 80 templates", "own": "in the model's templates"}
    head = (
        f"{asked.name}: {first['classes']} class names {how[str(first['templates'])]} as prompts of {first['model']}; "
        f"{first['images']} images of {first['data']} at {size}; %"
    )
    columns = {"miou": "mIoU, objects", "miou_with_background": "mIoU with background"}
    columns |= {"miou_with_background_rule": "by CLIP-DINOiser's rule"} if "miou_with_background_rule" in first else {}
    columns |= {"accuracy": "pixel accuracy", "class_accuracy": "mean class accuracy"}
    lines = [["method", *columns.values(), "threshold", *(["published"] if asked.published else [])]]
    for row in rows:
        level = row["threshold"]
        cells = [percent(row[name]) for name in columns] + [f"{level:.2f}" if isinstance(level, float) else "-"]
        lines.append([str(row["method"]), *cells, *([_published(asked, row)] if asked.published else [])])
    even = 1 / len(asked.classes)
    share = {"miou": first["chance_miou"], "accuracy": even, "class_accuracy": even}
    lines.append(["chance", *(percent(share.get(name)) for name in columns), "-", *(["-"] if asked.published else [])])
    parts = [head, table(lines), *_notes(asked, rows)]
    if arguments.per_class:
        tables = [_counted(asked, one).per_class() for one in found]
        names = dict.fromkeys(name for one in tables for name in one)
        listed = [[name, *(percent(one.get(name)) for one in tables)] for name in names]
        parts.append("\n" + table([["IoU, %", *(one.method for one in found)], *listed]))
    return "\n".join(parts)


def _published(asked: SegmentationSet, row: Mapping[str, object]) -> str:
    return f"{percent(row['published'])} ({row['published_as']})" if row["published_as"] else "-"


def _notes(asked: SegmentationSet, rows: Sequence[Mapping[str, object]]) -> list[str]:
    """What has to be known to read the table."""
    notes = []
    if asked.published:
        which = "mIoU with background" if asked.with_background else "mIoU, objects"
        others = [f"{system} {percent(figure)}" for system, figure in asked.published.items()]
        notes.append(
            f"published, for comparison with {which}: {', '.join(others)}; ViT-B/16 at their own sizes and prompts"
        )
    if asked.with_background:
        known = rows[0]["known"]
        told = f"pixels below the threshold, the best of a hundred on {known}, are background" if known else ""
        if asked.background:
            told += f"{' and ' if told else 'background are '}pixels assigned to: {', '.join(asked.background)}"
        notes.append(told or "no threshold was chosen, so no background is predicted: give --known SOURCE")
    near = [str(row["method"]) for row in rows if _near_chance(row)]
    if near:
        notes.append(f"near chance, below {NEAR_CHANCE:g} times its mIoU: {', '.join(near)}")
    return notes


def _near_chance(row: Mapping[str, object]) -> bool:
    found, even = row["miou"], row["chance_miou"]
    return isinstance(found, float) and isinstance(even, float) and found < NEAR_CHANCE * even


def _write(file: Path, found: Mapping[str, WordsAccuracy]) -> None:
    """Pixels by method and true class, a column each class that they were taken for."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as aside, aside.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        for number, (method, one) in enumerate(found.items()):
            counted = one.objects if one.whole is None else one.whole
            if not number:
                writer.writerow(["method", "truth", *counted.names])
            rows = zip(counted.names, counted.table[:, :-1].tolist(), strict=True)
            writer.writerows([method, name, *counts] for name, counts in rows)
