"""`dinoclip reinforce`: views, further captions and teachers' embeddings of captioned images, stored for training."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, check_some
from dinoclip_viz.cli.embed import batch_size
from dinoclip_viz.cli.loading import encoder_of, show_device
from dinoclip_viz.cli.parser import add_device, add_encoding, add_levels, output_folder, whole_number

if TYPE_CHECKING:
    from dinoclip_viz.encoders.base import ImageEncoder, TextEncoder
    from dinoclip_viz.reinforce import Augmentation, ReinforceReport

SUMMARY = "store views, further captions and teachers' embeddings of captioned images, resumable"
FORMATS = ("store", "datacompdr")
GIVEN_BY_SHARDS = ("views", "captioner", "captions", "seed", "scale", "flip", "operations", "magnitude")


def area(text: str) -> tuple[float, float]:
    """Lowest and highest area of "LOW,HIGH"."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not 0 < low <= high <= 1:
        raise ArgumentTypeError(f"{text!r} is no range of areas; expected LOW,HIGH such as 0.08,1")
    return low, high


def probability(text: str) -> float:
    """A number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f"{text!r} is no probability; expected 0 to 1")
    return value


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("source", metavar="SOURCE", help="captioned images, as for `dinoclip embed`")
    parser.add_argument(
        "--shards", type=Path, metavar="FOLDER",
        help="tar shards of SOURCE in DataCompDR's layout: their views, captions and vectors of the named teachers are "
        "read, and only the student is run",
    )  # fmt: skip
    parser.add_argument(
        "--teacher", action="append", default=[], metavar="NAME", help="image-text model; may be repeated"
    )
    parser.add_argument("--student", metavar="NAME", help="image encoder to train on; its features are stored as well")
    parser.add_argument("--out", required=True, type=output_folder, metavar="STORE", help="folder of the store")
    parser.add_argument("--views", type=int, metavar="K", help="random views per image (8, or the store's)")
    parser.add_argument(
        "--captioner", metavar="NAME",
        help="image-to-text model of transformers for further captions; none; or scenes, those of the playground's "
        "scenes (scenes for the playground, else none)",
    )  # fmt: skip
    parser.add_argument("--captions", type=whole_number, metavar="N", help="captions per image by the captioner (5)")
    parser.add_argument("--seed", type=int, metavar="S", help="of views and captions (0, or the store's)")
    parser.add_argument("--size", type=whole_number, metavar="PX", help="side of the views (the first encoder's)")
    parser.add_argument("--scale", type=area, metavar="LOW,HIGH", help="area of a view's crop (0.08,1)")
    parser.add_argument("--flip", type=probability, metavar="P", help="probability of a horizontal flip (0)")
    parser.add_argument("--operations", type=int, metavar="N", help="operations of RandAugment per view (2)")
    parser.add_argument("--magnitude", type=int, metavar="M", help="magnitude of the operations, 0 to 30 (9)")
    parser.add_argument(
        "--format", choices=FORMATS, default="store",
        help="datacompdr: the store, and tar shards in DataCompDR's layout in its folder datacompdr (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--split", metavar="S", help="part of the data set, where it has parts")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="where a captions file's images are")
    parser.add_argument(
        "--batch-size", type=batch_size, default="auto", metavar="N|auto", help="images per forward pass (%(default)s)"
    )
    parser.add_argument("--shard-size", type=whole_number, metavar="N", help="images per shard (512)")
    add_levels(parser)
    add_encoding(parser)
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """How many images were reinforced, and which could not be."""
    if arguments.shards is not None:
        _read_shards(arguments)
        if arguments.student is None:
            return _what_was_read(arguments)
    from tqdm import tqdm

    from dinoclip_viz.data import open_source
    from dinoclip_viz.reinforce import ReinforcedStore, reinforce, write_datacompdr

    source = open_source(arguments.source, arguments.split, arguments.images, encoding=arguments.encoding)
    teachers = [_teacher(arguments, name) for name in arguments.teacher]
    student = encoder_of(arguments, arguments.student) if arguments.student else None
    with tqdm(total=source.count, unit="images", dynamic_ncols=True) as bar:
        report = reinforce(
            source, teachers, arguments.out, student, arguments.views,
            arguments.captioner, arguments.captions, arguments.seed, _augmentation(arguments, teachers, student),
            arguments.batch_size, arguments.shard_size, lambda done, count: _show(bar, done),
            arguments.levels,
        )  # fmt: skip
    shards: list[Path] = []
    if arguments.format == "datacompdr":
        shards = write_datacompdr(ReinforcedStore.open(report.store), report.store / "datacompdr")
    return _answer(report, shards)


def _read_shards(arguments: Namespace) -> None:
    """Read the shards into the store; afterwards only the student is left to run."""
    from dinoclip_viz.reinforce import import_datacompdr

    given = ["--" + name for name in GIVEN_BY_SHARDS if getattr(arguments, name) is not None]
    if given:
        raise ValueError(f"{arguments.shards} has its own views and captions; expected no {', '.join(given)}")
    chosen = {"size": arguments.size, "shard_size": arguments.shard_size}
    options = {name: value for name, value in chosen.items() if value is not None}
    import_datacompdr(arguments.shards, arguments.teacher, arguments.out, arguments.source, **options)
    arguments.teacher = []


def _what_was_read(arguments: Namespace) -> Answer:
    from dinoclip_viz.reinforce import ReinforcedStore

    store = ReinforcedStore.open(arguments.out)
    views, teachers = store.settings.views, [teacher.settings.encoder for teacher in store.teachers]
    result = {"store": str(store.path), "images": len(store), "views": views, "teachers": teachers}
    text = f"{len(store)} images, {views} views each, and vectors by {', '.join(teachers)} in {store.path}"
    return Answer(result, text + "; --student NAME adds an encoder to train on")


def _show(bar: object, done: int) -> None:
    bar.update(done - bar.n)  # type: ignore[attr-defined]


def _teacher(arguments: Namespace, name: str) -> tuple[ImageEncoder, TextEncoder]:
    from dinoclip_viz.encoders import load_pair

    images, texts = load_pair(name, arguments.device, arguments.dtype)
    show_device(arguments, name, {"images": images, "texts": texts})
    return images, texts


def _augmentation(
    arguments: Namespace, teachers: list[tuple[ImageEncoder, TextEncoder]], student: ImageEncoder | None
) -> Augmentation | None:
    """The settings of the views that the options ask for; None for those of the store, or the defaults.

    Raises:
        ValueError: a setting is out of its range.
    """
    from dinoclip_viz.reinforce import Augmentation
    from dinoclip_viz.reinforce.settings import MANIFEST, read_manifest

    names = ("size", "scale", "flip", "operations", "magnitude")
    asked = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    if not asked:
        return None
    if (arguments.out / MANIFEST).is_file():
        return replace(read_manifest(arguments.out).settings.augmentation, **asked)
    first = teachers[0][0] if teachers else student
    return replace(Augmentation(size=first.size) if first is not None else Augmentation(), **asked)


def _answer(report: ReinforceReport, shards: list[Path]) -> Answer:
    failed = [Failure(key, reason) for key, reason in report.failed]
    check_some(report.images, failed)
    result: dict[str, object] = {
        "store": str(report.store),
        "images": report.images,
        "views": report.views,
        "captions": report.captions,
        "failed": len(failed),
        "encoded": report.encoded,
        "seconds": round(report.seconds, 2),
        "teachers": list(report.teachers),
        "students": list(report.students),
        **({"shards": [str(file) for file in shards]} if shards else {}),
    }
    encoders = ", ".join((*report.teachers, *report.students))
    text = (
        f"{report.images} images, {report.views} views each, and {report.captions} captions by {encoders} in "
        f"{report.store}; {report.encoded} encoded now, {len(failed)} failed"
    )
    return Answer(
        result,
        text + (f"; {len(shards)} tar shard{'s' * (len(shards) != 1)}" if shards else ""),
        failed,
        listed_as="failures",
    )
