"""`dinoclip report`: one HTML file on a folder of images, to send to a colleague."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure
from dinoclip_viz.cli.loading import computed, model_of
from dinoclip_viz.cli.parser import add_device, add_levels, output_file, whole_number

if TYPE_CHECKING:
    from dinoclip_viz.report.reading import Watch

SUMMARY = "write one HTML file that shows what a model finds in a folder of images"
SUFFIXES = (".html", ".htm")
PROJECTIONS = ("auto", "pca", "umap")


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("folder", metavar="FOLDER", help="of images, with its subfolders")
    parser.add_argument("--out", required=True, type=html_file, metavar="FILE.html", help="file to write")
    parser.add_argument(
        "--labels", metavar="A,B|FILE", help="zero-shot classification: names, or a text file with one per line"
    )
    parser.add_argument(
        "--prompt", "--prompts", action="extend", nargs="+", default=[], metavar="TEXT", dest="prompts",
        help="heat maps of one or more prompts, taken as typed",
    )  # fmt: skip
    parser.add_argument(
        "--pairs", action="append", nargs=2, default=[], metavar=("A", "B"),
        help="correspondences of two images of the folder, repeatable; by default of the most similar images",
    )  # fmt: skip
    parser.add_argument("--model", metavar="NAME", default="playground", help="image-text model (%(default)s)")
    parser.add_argument("--guide", metavar="NAME", help="a DINO for PCA, neighbours, correspondences and the map")
    parser.add_argument("--method", metavar="M", help="heat-map method; by default the best measured for the model")
    parser.add_argument(
        "--max-images", type=whole_number, default=100, metavar="N",
        help="most images, spread evenly over a larger folder (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--title", default="", metavar="TEXT", help="of the page; by default the folder's name")
    parser.add_argument(
        "--projection", choices=PROJECTIONS, default=PROJECTIONS[0],
        help="of the embedding map; auto: umap where umap-learn is installed and there are 16 images or more, else pca",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the embedding map (%(default)s)")
    add_levels(parser)
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """Where the report is, its size, and its images."""
    from dinoclip_viz.cli.adapt.names import class_names_of
    from dinoclip_viz.report.making import report
    from dinoclip_viz.report.selection import check_folder

    check_folder(Path(arguments.folder).expanduser())
    labels = class_names_of(arguments.labels) if arguments.labels is not None else []
    if arguments.method and not arguments.prompts:
        raise ValueError(f"--method {arguments.method} is for heat maps; add --prompt TEXT, or omit it")
    model = model_of(arguments, arguments.model, arguments.guide)
    pairs = [(first, second) for first, second in arguments.pairs]
    with _Bar() as watch:
        made = report(
            arguments.folder, arguments.out, model, labels, arguments.prompts, pairs, arguments.method,
            arguments.max_images, arguments.levels, arguments.title, arguments.projection,
            arguments.seed, watch,
        )  # fmt: skip
    vision = model.guide or model.images
    result = {
        "out": str(made.out),
        "images": made.images,
        "total": made.total,
        "sections": list(made.sections),
        "bytes": made.bytes,
        "seconds": round(made.seconds, 3),
        **computed(vision, model.texts),
    }
    of_all = f" of {made.total}" if made.total != made.images else ""
    lines = [f"{made.images}{of_all} images in {made.seconds:.1f} s, {made.bytes / 1e6:.1f} MB", f"wrote {made.out}"]
    return Answer(result, "\n".join(lines), [Failure(name, f"{name}: {reason}") for name, reason in made.failed])


def html_file(text: str) -> Path:
    """The path of an HTML file to write."""
    path = output_file(text)
    if path.suffix.lower() not in SUFFIXES:
        raise ArgumentTypeError(f"{text!r} is no HTML file; expected a name in {' or '.join(SUFFIXES)}")
    return path


class _Bar:
    """A progress bar on standard error for each step."""

    def __enter__(self) -> Watch:
        from tqdm import tqdm

        self._bar = tqdm(unit=" images", dynamic_ncols=True, disable=None)
        return self._show

    def _show(self, step: str, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.set_description(step, refresh=False)
        self._bar.n = done
        self._bar.refresh()

    def __exit__(self, *_: object) -> None:
        self._bar.close()
