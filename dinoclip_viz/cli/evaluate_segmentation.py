"""`dinoclip evaluate segmentation`: how well the class of every pixel is told from frozen patch tokens."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, table
from dinoclip_viz.cli.dense_inputs import add_dense_arguments, chosen_encoders, usable_pairs

if TYPE_CHECKING:
    from dinoclip_viz.data.truths import TruthSource
    from dinoclip_viz.tasks.confusion import Confusion

SUMMARY = "measure how well patches tell classes or parts: mIoU over every pixel"
METHODS = ("linear",)
MEASURES = {"miou": "mIoU", "accuracy": "pixel accuracy", "class_accuracy": "mean class accuracy"}


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "--method", choices=METHODS, default="linear", help="linear: a layer on frozen patches (%(default)s)"
    )
    add_dense_arguments(parser, "a playground, a folder of VOC or ADE20k, or images/ with masks/")
    parser.add_argument("--truth", choices=("class", "parts"), default="class", help="what to tell (%(default)s)")
    parser.add_argument("--per-class", action="store_true", help="the IoU of each class too")


def run(arguments: Namespace) -> Answer:
    """mIoU, pixel accuracy and mean class accuracy of each encoder's linear head."""
    from dinoclip_viz.data.truths import open_truths

    encoders = chosen_encoders(arguments)
    train = open_truths(arguments.train, arguments.train_split, training=True)
    data = open_truths(arguments.data, arguments.split)
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
    from dinoclip_viz.encoders import load_encoder
    from dinoclip_viz.tasks.patch_probe import PatchHead, encoded, segmentation_confusion

    encoder, kind = load_encoder(name), arguments.truth
    head = PatchHead(names=train.names(kind))
    head.fit(encoded(encoder, usable_pairs(train, kind, arguments.limit, failed), arguments.size), name, arguments.size)
    counted = segmentation_confusion(
        head, encoded(encoder, usable_pairs(data, kind, arguments.limit, failed), arguments.size)
    )
    if arguments.save:
        head.figures = counted.figures()
        head.save(arguments.save)
    return _row(arguments, name, train, data, head.pictures_, counted)


def _row(
    arguments: Namespace, name: str, train: TruthSource, data: TruthSource, fitted: int, counted: Confusion
) -> Mapping[str, object]:
    row: dict[str, object] = {
        "method": arguments.method,
        "encoder": name,
        "truth": arguments.truth,
        "train": train.name,
        "data": data.name,
        "size": arguments.size,
        "train_pictures": fitted,
        "pixels": counted.pixels,
        "classes": len(counted.per_class()),
        **counted.figures(),
    }
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
    rows += [[str(row["encoder"]), *(_percent(row[measure]) for measure in MEASURES)] for row in results]
    text = f"{head}\n{table(rows)}"
    listed = [row["per_class"] for row in results] if per_class else []
    several = [one for one in listed if isinstance(one, Mapping)]
    if several:
        names = ["IoU, %", *(str(row["encoder"]) for row in results)]
        text += "\n\n" + table([names, *([name, *(_percent(one[name]) for one in several)] for name in several[0])])
    return text


def _percent(value: object) -> str:
    return f"{100 * value:.1f}" if isinstance(value, float) else ""
