"""`dinoclip classify`: which of these labels fits each image best."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dinoclip_viz.cli.answer import Answer, Failure, check_some, open_images, table
from dinoclip_viz.cli.loading import model_of
from dinoclip_viz.cli.parser import add_device, add_levels

SUMMARY = "classify images by the label that fits best, without training"
NONE = "none of these"
AT_ONCE = 8  # images in memory at a time: one may have 40 megapixels


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="file or http(s) address")
    parser.add_argument("--labels", required=True, metavar="A,B,C", help="names to choose from, commas between them")
    parser.add_argument(
        "--template",
        action="append",
        metavar="T",
        help='prompt with one "{}", may be repeated; default: the model\'s',
    )
    parser.add_argument("--none", action="store_true", help=f'let "{NONE}" be an answer; one label is then enough')
    parser.add_argument("--temperature", type=float, default=1.0, help="above 1 evens probabilities out (%(default)s)")
    parser.add_argument(
        "--model", metavar="NAME", default="playground", help="image-text model, also an adapted one (%(default)s)"
    )
    parser.add_argument("--guide", metavar="NAME", help="a DINO next to a CLIP; it changes no probability")
    add_levels(parser)
    add_device(parser)


def run(arguments: Namespace) -> Answer:
    """The best label and all probabilities of each image."""
    from dataclasses import replace

    from dinoclip_viz.encoders import concatenate
    from dinoclip_viz.tasks.zero_shot.classify import check_labels, classify, classify_or_none

    labels = check_labels(arguments.labels.split(","))
    if len(labels) < 2 and not arguments.none:
        raise ValueError(f"--labels has {labels[0]!r} alone; expected two labels or more, or --none with one")
    if arguments.none and NONE in labels:
        raise ValueError(f"--labels has {NONE!r}, which --none adds; omit one of them")
    model = model_of(arguments, arguments.model, arguments.guide)
    names: list[str] = []
    failed: list[Failure] = []
    parts = []
    for start in range(0, len(arguments.images), AT_ONCE):
        found, images, missed = open_images(arguments.images[start : start + AT_ONCE], arguments.levels)
        failed += missed
        if images:
            features = model.encode_to_classify(images)
            parts.append(replace(features, patches=features.patches[:, :1, :1]))  # patches are not asked for
            names += found
    check_some(len(names), failed)
    ask = classify_or_none if arguments.none else classify
    chances = ask(model, concatenate(parts), labels, arguments.template, arguments.temperature).tolist()
    shown = [*labels, NONE] if arguments.none else labels
    scores: list[dict[str, float]] = [dict(zip(shown, row, strict=True)) for row in chances]
    results = [
        {"image": name, "label": max(row.items(), key=lambda item: item[1])[0], "scores": row}
        for name, row in zip(names, scores, strict=True)
    ]
    lines = [
        [name, *(f"{label} {chance:.3f}" for label, chance in sorted(row.items(), key=lambda item: -item[1])[:5])]
        for name, row in zip(names, scores, strict=True)
    ]
    return Answer({"results": results}, table(lines), failed)
