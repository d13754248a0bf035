"""`dinoclip embed`: a data source through frozen encoders into a feature store."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, check_some
from dinoclip_viz.cli.loading import computed, encoder_of, text_encoder_of
from dinoclip_viz.cli.parser import add_device, add_encoding, add_levels, check_actors, output_folder, whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dinoclip_viz.encoders.base import ImageEncoder
    from dinoclip_viz.pipeline.embedding import Engine

SUMMARY = "encode images and captions into a feature store, resumable"

_SOURCE = """folder of images, captions file (.json, .jsonl, .csv, .tsv, COCO, Karpathy, Flickr), tar shards,
hub:NAME, or playground:SEED:COUNT[:SIZE[:OBJECTS]]"""


def patch_grid(text: str) -> str | int | None:
    """None for "none", "full", or the number of averaged patches per side."""
    if text in ("none", "full"):
        return None if text == "none" else text
    if not text.isdigit() or not int(text):
        raise ArgumentTypeError(f"{text!r} is no patch grid; expected none, full or a number such as 4")
    return int(text)


def batch_size(text: str) -> int | str:
    """A number of images, or "auto"."""
    return text if text == "auto" else whole_number(text)


batch_size.__name__ = "batch size"


def workers(text: str) -> int:
    """The number 0 or more that the text is."""
    if not text.isdigit():
        raise ArgumentTypeError(f"{text!r} is no number of processes; expected 0 or more")
    return int(text)


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("source", metavar="SOURCE", help=_SOURCE)
    parser.add_argument("--encoder", action="append", metavar="NAME", help="may be repeated (playground-dino)")
    parser.add_argument("--texts", metavar="MODEL", help="model whose text tower encodes the captions")
    parser.add_argument(
        "--text-tokens",
        action="store_true",
        help="store the captions' token vectors too, for train --recipe freeze-align",
    )
    parser.add_argument("--out", required=True, type=output_folder, metavar="STORE", help="folder of the store")
    parser.add_argument(
        "--engine", choices=["serial", "ray"], default="serial", help="this process, or Ray, extra scale (%(default)s)"
    )
    parser.add_argument(
        "--actors", type=whole_number, metavar="N", help="with --engine ray: copies of the encoders, one per GPU (2)"
    )
    parser.add_argument("--split", metavar="S", help="part of the data set, where it has parts")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="where a captions file's images are")
    parser.add_argument("--size", type=whole_number, metavar="PX", help="side of the square crop (the published one)")
    parser.add_argument(
        "--patches", type=patch_grid, default=None, metavar="GRID", help="none, full, or N for N x N averages (none)"
    )
    parser.add_argument(
        "--batch-size", type=batch_size, default="auto", metavar="N|auto", help="images per forward pass (%(default)s)"
    )
    parser.add_argument(
        "--workers",
        type=workers,
        metavar="N",
        help="processes that decode, 0 for threads (one per CPU with a GPU, else 0)",
    )
    parser.add_argument(
        "--decode",
        choices=["exact", "scaled"],
        default="exact",
        help="JPEGs: exact, or at a reduced scale, faster (%(default)s)",
    )
    parser.add_argument("--compile", action="store_true", help="compile models on CUDA first, for long runs")
    parser.add_argument("--shard-size", type=whole_number, metavar="N", help="images per shard (2048 or fewer)")
    add_levels(parser)
    add_encoding(parser)
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """How many images were encoded, how fast, and which could not be read."""
    from tqdm import tqdm

    from dinoclip_viz.data import open_source
    from dinoclip_viz.pipeline import embed

    engine = _engine(arguments)
    if arguments.text_tokens and not arguments.texts:
        raise ValueError("--text-tokens without --texts; expected the text encoder of the captions: add --texts MODEL")
    source = open_source(arguments.source, arguments.split, arguments.images, encoding=arguments.encoding)
    encoders = [encoder_of(arguments, name) for name in arguments.encoder or ["playground-dino"]]
    texts = text_encoder_of(arguments, arguments.texts) if arguments.texts else None
    started: list[bool] = []
    with tqdm(total=source.count, unit="images", dynamic_ncols=True) as bar:

        def watch(done: int, count: int | None) -> None:
            if not started:
                started.append(True)
                bar.initial = bar.n = done  # what an earlier run did counts in no rate
            bar.update(done - bar.n)

        report = embed(
            source,
            encoders,
            arguments.out,
            texts,
            arguments.size,
            arguments.patches,
            arguments.batch_size,
            arguments.workers,
            arguments.shard_size,
            watch,
            arguments.levels,
            arguments.decode,
            arguments.compile,
            engine,
            arguments.text_tokens,
        )
    failed = [Failure(key, reason) for key, reason in report.failed]
    check_some(report.images, failed)
    result = {
        "images": report.images,
        "captions": report.captions,
        "failed": len(failed),
        "seconds": round(report.seconds, 2),
        "images_per_second": round(report.images_per_second, 2),
        "stores": [str(folder) for folder in report.stores],
        **_computed(encoders),
    }
    text = (
        f"{report.images} images and {report.captions} captions in {', '.join(map(str, report.stores))}; "
        f"{report.encoded} encoded now, {report.images_per_second:.1f} a second, {len(failed)} failed"
    )
    return Answer(result, text, failed, listed_as="failures")


def _engine(arguments: Namespace) -> Engine | None:
    check_actors(arguments)
    if arguments.engine == "serial":
        return None
    if arguments.compile or arguments.workers:
        raise ValueError("--compile and --workers require --engine serial; remove them")
    from dinoclip_viz.scale import RayEngine

    return RayEngine(arguments.actors or 2)


def _computed(encoders: Sequence[ImageEncoder]) -> dict[str, str]:
    """Device and dtype of the encoders, for JSON; those of each store where they differ."""
    each = [computed(encoder) for encoder in encoders]
    return {
        key: ", ".join(one[key] for one in (each if len({one[key] for one in each}) > 1 else each[:1]))
        for key in each[0]
    }
