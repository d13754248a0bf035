"""What the verbs of vision-language models share: options, the model, held-out scenes, and images read in parts."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dinoclip_viz.cli.answer import Failure
from dinoclip_viz.cli.loading import show_device
from dinoclip_viz.cli.parser import add_device, add_encoding, add_levels, whole_number

if TYPE_CHECKING:
    from PIL import Image

    from dinoclip_viz.data import Sample
    from dinoclip_viz.playground.held_out import HeldOut
    from dinoclip_viz.vlm.model import VisionLanguageModel

MODEL = "playground-paligemma"
SCENES = "playground:3000:300"
AT_ONCE = 128  # images in memory at a time

T = TypeVar("T")


def add_evaluation_arguments(parser: ArgumentParser, source: str) -> None:
    """The options of every evaluation; `source` describes SOURCE."""
    parser.add_argument("source", nargs="?", metavar="SOURCE", default=SCENES, help=f"{source} (%(default)s)")
    parser.add_argument("--model", metavar="NAME", default=MODEL, help="vision-language model (%(default)s)")
    parser.add_argument("--image-folder", type=Path, metavar="FOLDER", help="where the files of a list lie")
    parser.add_argument("--limit", type=whole_number, metavar="N", help="the first N images, scenes or questions")
    add_levels(parser)
    add_encoding(parser)
    add_device(parser, progress=True)


def vlm_of(arguments: Namespace, masks: str | None = None) -> VisionLanguageModel:
    """The vision-language model of `--model`.

    Args:
        arguments: with `--model` and the options of `add_device`.
        masks: path of a mask decoder's vae-oid.npz; None for the model's own.

    Raises:
        EncoderError: it cannot be loaded.
    """
    from dinoclip_viz.vlm import load_vlm

    model = load_vlm(arguments.model, arguments.device, arguments.dtype, masks)
    show_device(arguments, arguments.model, {"model": model})
    return model


def held_out_scenes(arguments: Namespace) -> list[HeldOut] | None:
    """The scenes of a name such as playground:3000:300, with their questions; None for another SOURCE.

    Raises:
        SourceError: the name is invalid, or options of files are given.
    """
    from dinoclip_viz.data import SourceError
    from dinoclip_viz.data.playground import playground_of
    from dinoclip_viz.playground.held_out import held_out

    name: str = arguments.source
    if name != "playground" and not name.startswith("playground:"):
        return None
    if arguments.image_folder is not None or arguments.encoding != "utf-8" or arguments.levels is not None:
        raise SourceError(f"{name} is synthetic scenes; omit --image-folder, --encoding and --levels")
    known = playground_of(name)
    count = known.count if arguments.limit is None else min(known.count, arguments.limit)
    return list(held_out(known.seed, count, known.size, known.objects))


def source_file(arguments: Namespace, expected: str) -> Path:
    """The path of SOURCE, a file.

    Raises:
        SourceError: there is none; `expected` states what is.
    """
    from dinoclip_viz.data import SourceError

    path = Path(arguments.source).expanduser()
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise SourceError(f"{arguments.source}: {found}; expected {expected} or playground:SEED:COUNT")
    if arguments.image_folder is not None and not arguments.image_folder.is_dir():
        raise SourceError(f"{arguments.image_folder}: no such folder; expected the folder of the images")
    return path


def loaded(
    items: Iterable[T], sample: Callable[[T], Sample], arguments: Namespace, failed: list[Failure]
) -> Iterator[tuple[list[T], list[Image.Image]]]:
    """Items with their images, at most `AT_ONCE` at a time.

    Args:
        items: of a list.
        sample: item -> what loads its image.
        arguments: with `--limit` and `--levels`.
        failed: receives the images that cannot be read.
    """
    from dinoclip_viz.images import ImageError

    wanted = iter(islice(items, arguments.limit))
    while some := list(islice(wanted, AT_ONCE)):
        kept: list[T] = []
        images: list[Image.Image] = []
        for item in some:
            one = sample(item)
            try:
                images.append(one.load(arguments.levels))
                kept.append(item)
            except ImageError as error:
                failed.append(Failure(one.path or one.key, str(error)))
        yield kept, images


def percent(fraction: object) -> str:
    """A fraction in per cent, "-" where there is none.

    Examples:
        >>> percent(0.5), percent(None)
        ('50.0', '-')
    """
    return f"{100 * fraction:.1f}" if isinstance(fraction, float) else "-"
