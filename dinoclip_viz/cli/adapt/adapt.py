"""`dinoclip adapt`: a model learns a classifier of named classes from unlabelled images."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.adapt.names import class_names_of
from dinoclip_viz.cli.answer import Answer, Failure, table
from dinoclip_viz.cli.loading import computed, encoder_of, model_of
from dinoclip_viz.cli.parser import add_device, add_encoding, add_levels, output_folder
from dinoclip_viz.disk import locked, replacing, write_text

if TYPE_CHECKING:
    from PIL import Image

    from dinoclip_viz.adapt.diagnostics import Comparison
    from dinoclip_viz.adapt.inputs import Progress, Unlabelled
    from dinoclip_viz.data import Source
    from dinoclip_viz.models import ImageTextModel

SUMMARY = "adapt a model to unlabelled images of named classes"
METHODS = ("stata", "transclip", "zlap", "nola-labeller", "nola")
REPORT, CHANGED, CONFIDENCE = "report.json", "changed.webp", "confidence.webp"
SHOWN = 60  # images on the contact sheet


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("source", metavar="SOURCE", help="folder of images or other source, or a feature store")
    parser.add_argument(
        "--labels", required=True, metavar="A,B|FILE", help="class names, or a text file with one class per line"
    )
    parser.add_argument(
        "--method", choices=METHODS, default=METHODS[0],
        help="stata, transclip and zlap take seconds and read stores too; nola tunes a CLIP on the images, "
        "nola-labeller trains a network on a DINO's features (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--descriptions", metavar="FILE.json", help="class -> list of sentences, as JSON; or playground"
    )
    parser.add_argument(
        "--model", metavar="NAME", default="playground-clip", help="image-text model to adapt (%(default)s)"
    )
    parser.add_argument("--guide", metavar="NAME", help="DINO of nola and nola-labeller; default: the model's own")
    parser.add_argument("--seed", type=int, metavar="S", help="of nola and nola-labeller (0)")
    parser.add_argument("--out", required=True, type=output_folder, metavar="FOLDER", help="of the adapted model")
    add_levels(parser)
    add_encoding(parser)
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """Where the adapted model is, and how many labels it changed."""
    from dinoclip_viz.adapt.adapt import adapt, answers, zero_shot
    from dinoclip_viz.adapt.descriptions import descriptions_of
    from dinoclip_viz.adapt.diagnostics import compare
    from dinoclip_viz.adapt.inputs import gather

    names = class_names_of(arguments.labels)
    described = descriptions_of(arguments.descriptions, names)
    if arguments.seed is not None and not arguments.method.startswith("nola"):
        raise ValueError(f"{arguments.method} has no random numbers; omit --seed")
    source = _source(arguments)
    model = model_of(arguments, arguments.model)
    guide = encoder_of(arguments, arguments.guide) if arguments.guide else None
    with locked(arguments.out):
        with _Bar() as progress:
            unlabelled = gather(model, source, progress)
            adapted = adapt(
                model, unlabelled, names, arguments.method, described, guide, arguments.seed or 0, progress,
                arguments.out,
            )  # fmt: skip
        comparison = compare(zero_shot(model, unlabelled, names), answers(adapted, unlabelled), names)
        _write_report(comparison, unlabelled, arguments)
    return _answer(arguments, model, comparison, unlabelled)


def _source(arguments: Namespace) -> str | Source:
    """The source with its levels; the name of a feature store itself."""
    from dinoclip_viz.data import open_source
    from dinoclip_viz.data.levels import with_levels
    from dinoclip_viz.store import store_folders

    name: str = arguments.source
    if store_folders(name):
        if arguments.levels is not None or arguments.encoding != "utf-8":
            raise ValueError(f"{name} is a feature store, whose images were read already; omit --levels and --encoding")
        return name
    return with_levels(open_source(name, encoding=arguments.encoding), arguments.levels)


def _answer(arguments: Namespace, model: ImageTextModel, comparison: Comparison, unlabelled: Unlabelled) -> Answer:
    failed = [Failure(key, reason) for key, reason in unlabelled.failed]
    result = {
        "out": str(arguments.out),
        "model": arguments.model,
        "method": arguments.method,
        "classes": len(comparison.class_names),
        "images": len(unlabelled),
        "agreement": comparison.agreement,
        "changed": len(comparison.changes),
        "files": {"report": REPORT, "confidence": CONFIDENCE, "changed": CHANGED if len(comparison.changes) else None},
        **computed(model.images, model.texts),
    }
    rows = [["class", "images before", "after"]]
    counts = zip(comparison.class_names, comparison.count_before, comparison.count_after, strict=True)
    rows += [[name, str(old), str(new)] for name, old, new in counts]
    text = (
        f"{table(rows)}\n{len(comparison.changes)} of {len(unlabelled)} labels changed; "
        f"dinoclip classify IMAGE --model {arguments.out} --labels ..."
    )
    return Answer(result, text, failed, listed_as="failures")


def _write_report(comparison: Comparison, unlabelled: Unlabelled, arguments: Namespace) -> None:
    """Write report.json, the histograms of confidence, and the contact sheet of the images that changed."""
    import json

    from dinoclip_viz.images import ImageError
    from dinoclip_viz.viz import confidence_chart, contact_sheet, figure_to_image

    out: Path = arguments.out
    content = {"method": arguments.method, "model": arguments.model, **comparison.json(unlabelled.keys)}
    write_text(out / REPORT, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    chart = confidence_chart(comparison.edges, comparison.confidence_before, comparison.confidence_after)
    with replacing(out / CONFIDENCE) as aside:
        figure_to_image(chart).save(aside)
    (out / CHANGED).unlink(missing_ok=True)  # of an earlier run
    images: list[Image.Image | str] = []
    titles: list[str] = []
    for one in comparison.listed()[:SHOWN]:
        try:
            images.append(unlabelled.image(one.row))
        except ImageError:  # a grey tile stands for it
            images.append(unlabelled.keys[one.row])
        titles.append(f"{one.before} {one.confidence_before:.2f}\n> {one.after} {one.confidence:.2f}")
    if images:
        with replacing(out / CHANGED) as aside:
            contact_sheet(images, titles, columns=6).save(aside)


class _Bar:
    """A progress bar on standard error, from fractions and lines."""

    def __enter__(self) -> Progress:
        from tqdm import tqdm

        self._bar = tqdm(total=100, unit="%", dynamic_ncols=True, disable=None)
        return self._show

    def _show(self, fraction: float, line: str) -> None:
        self._bar.set_description(line, refresh=False)
        self._bar.update(max(0.0, round(100 * fraction, 1) - self._bar.n))

    def __exit__(self, *_: object) -> None:
        self._bar.close()
