"""`dinoclip evaluate segmentation`: semantic segmentation by linear heads on frozen patches, or open-vocabulary."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, table
from dinoclip_viz.cli.loading import computed, encoder_of
from dinoclip_viz.cli.open_vocabulary.evaluate import (
    WORDS_ALONE,
    add_words_arguments,
    by_words,
    method_name,
    percent,
    refuse_options,
)
from dinoclip_viz.cli.parser import add_device, add_levels, add_sharp
from dinoclip_viz.cli.probes.patch_inputs import DATA, SIZE, TRAIN, add_dense_arguments, chosen_encoders, usable_pairs

if TYPE_CHECKING:
    from dinoclip_viz.data.labels.sources import TruthSource
    from dinoclip_viz.tasks.probes.confusion import Confusion

SUMMARY = "measure semantic segmentation by linear heads on patches, or open-vocabulary: mIoU"
LINEAR = "linear"
LINEAR_ALONE = ("encoder", "train", "train_split", "truth", "save", "sharp")
"""Options that mean something for --method linear alone."""
MEASURES = {"miou": "mIoU", "accuracy": "pixel accuracy", "class_accuracy": "mean class accuracy"}


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "--method",
        action="append",
        type=method_name,
        metavar="M",
        help="linear: a layer on frozen patches, fitted on --train (the default); a heat-map method, or all: class "
        "names as prompts, nothing is fitted; may be repeated",
    )
    add_dense_arguments(parser, "a playground, a folder of VOC or ADE20k, or images/ with masks/")
    parser.add_argument("--truth", choices=("class", "parts"), help="linear: kind of labels to predict (class)")
    parser.add_argument("--per-class", action="store_true", help="the IoU of each class too")
    add_words_arguments(parser)
    parser.set_defaults(data=None, train=None, size=None)
    add_sharp(parser, "linear: maps")
    add_levels(parser)
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """mIoU, pixel accuracy and mean class accuracy of each encoder's linear head, or of each heat-map method."""
    methods = arguments.method or [LINEAR if arguments.dataset is None else "all"]
    if LINEAR not in methods:
        refuse_options(arguments, LINEAR_ALONE, "--method linear")
        return by_words(arguments, methods)
    if set(methods) != {LINEAR}:
        raise ValueError("--method linear is fitted and stands alone; omit it with heat-map methods")
    refuse_options(arguments, WORDS_ALONE, "heat-map methods, such as --method all")
    usual = {"data": DATA, "train": TRAIN, "size": SIZE, "truth": "class"}
    return _linear(
        Namespace(**{**vars(arguments), **{k: v for k, v in usual.items() if getattr(arguments, k) is None}})
    )


def _linear(arguments: Namespace) -> Answer:
    from dinoclip_viz.data.labels.sources import open_truths
    from dinoclip_viz.data.levels import with_levels

    encoders = chosen_encoders(arguments)
    train = with_levels(open_truths(arguments.train, arguments.train_split, training=True), arguments.levels)
    data = with_levels(open_truths(arguments.data, arguments.split), arguments.levels)
    if train.names(arguments.truth) != data.names(arguments.truth):
        raise ValueError(
            f"{train.name} and {data.name} have different classes; expected the same ones to fit on and to measure"
        )
    failed: list[Failure] = []
    results = [_measured(arguments, name, train, data, failed) for name in encoders]
    return Answer({"results": results}, _text(results, arguments.per_class), failed)


def _measured(
    arguments: Namespace, name: str, train: TruthSource, data: TruthSource, failed: list[Failure]
) -> Mapping[str, object]:
    from dinoclip_viz.tasks.probes.head_evaluation import encoded, segmentation_confusion
    from dinoclip_viz.tasks.probes.patch_head import PatchHead
    from dinoclip_viz.tasks.probes.sharp import sharp_confusion

    encoder, kind = encoder_of(arguments, name), arguments.truth
    head = PatchHead(names=train.names(kind))
    head.fit(encoded(encoder, usable_pairs(train, kind, arguments.limit, failed), arguments.size), name, arguments.size)
    asked = usable_pairs(data, kind, arguments.limit, failed)
    if arguments.sharp:
        counted = sharp_confusion(head, encoder, asked, arguments.size, arguments.sharp)
    else:
        counted = segmentation_confusion(head, encoded(encoder, asked, arguments.size))
    if arguments.save:
        head.figures = counted.figures()
        head.save(arguments.save)
    return {**_row(arguments, name, train, data, head.images_, counted), **computed(encoder)}


def _row(
    arguments: Namespace, name: str, train: TruthSource, data: TruthSource, fitted: int, counted: Confusion
) -> Mapping[str, object]:
    row: dict[str, object] = {
        "method": LINEAR,
        "encoder": name,
        "truth": arguments.truth,
        "train": train.name,
        "data": data.name,
        "size": arguments.size,
        "train_images": fitted,
        "pixels": counted.pixels,
        "classes": len(counted.per_class()),
        **counted.figures(),
    }
    if arguments.sharp:
        row["sharp"] = arguments.sharp
    if arguments.per_class:
        row["per_class"] = counted.per_class()
    return row


def _text(results: Sequence[Mapping[str, object]], per_class: bool) -> str:
    first = results[0]
    head = (
        f"{first['truth']} by a linear layer on frozen patches at {first['size']} px; fitted on {first['train']}, "
        f"measured on {first['data']}, %"
    )
    rows = [["encoder", *MEASURES.values()]]
    rows += [[str(row["encoder"]), *(percent(row[measure]) for measure in MEASURES)] for row in results]
    text = f"{head}\n{table(rows)}"
    listed = [row["per_class"] for row in results] if per_class else []
    several = [one for one in listed if isinstance(one, Mapping)]
    if several:
        names = ["IoU, %", *(str(row["encoder"]) for row in results)]
        text += "\n\n" + table([names, *([name, *(percent(one[name]) for one in several)] for name in several[0])])
    return text
