"""The verbs and their options; whatever is wrong with the words ends in one line and exit code 2."""

from __future__ import annotations

import argparse
import importlib
import math
import sys
from pathlib import Path
from typing import NoReturn

from dinoclip_viz import __version__
from dinoclip_viz.encoders.devices import AUTO, DTYPES, device_word, dtype_word

VERBS = {
    "demo": "demo",
    "models": "models",
    "classify": "zero_shot.classify",
    "pca": "pca.pca",
    "heatmap": "open_vocabulary.heatmap",
    "match": "correspondence.match",
    "propagate": "propagation.propagate",
    "tokens": "tokens",
    "embed": "embed",
    "reinforce": "reinforce",
    "train": "train",
    "dinoiser": "open_vocabulary.dinoiser",
    "adapt": "adapt.adapt",
    "describe": "adapt.describe",
    "search": "retrieval.search",
    "dedupe": "retrieval.dedupe",
    "curate": "curate.curate",
    "report": "report",
    "ask": "vlm.ask",
    "afford": "affordance.afford",
}
"""Verb -> the module that runs it."""

PLAYGROUND_VERBS = {"draw": "playground.draw", "train": "playground.train", "measure": "playground.measure"}
EVALUATE_VERBS = {
    "retrieval": "retrieval.evaluate",
    "zero-shot": "zero_shot.evaluate",
    "domains": "zero_shot.domains",
    "alignment": "retrieval.alignment",
    "correspondence": "correspondence.evaluate",
    "segmentation": "probes.segmentation",
    "depth": "probes.depth",
    "knn": "probes.knn",
    "linear": "probes.linear",
    "instances": "retrieval.instances",
    "frozen": "probes.frozen",
    "affordance": "affordance.evaluate",
    "detection": "vlm.detection",
    "captions": "vlm.captions",
    "answers": "vlm.answers",
    "propagation": "propagation.evaluate",
}
SHARP = ("guided", "trained", "bilinear", "anyup")
IMAGE_FILES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
ANIMATION_FILES = (".gif", ".mp4")

_DETAILS = """\
exit codes: 0 done; 1 some inputs failed and are listed, the rest done; 2 bad usage or nothing could be done.
NAME is a catalogue name (`dinoclip models`), a hub id or a local folder; the playground works offline."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line that names the help."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        print(f"{self.prog}: {' '.join(message.split())}; see `{self.prog} --help`", file=sys.stderr)
        raise SystemExit(2)


def build_parser() -> Parser:
    """The parser of all verbs; it sets `run` to the verb's function."""
    parser = Parser("dinoclip", description="See, question and align the features of frozen vision models.")
    parser.epilog, parser.formatter_class = _DETAILS, argparse.RawDescriptionHelpFormatter
    parser.allow_abbrev = False
    parser.add_argument("--version", action="version", version=f"dinoclip {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True, parser_class=Parser)
    for verb, module in VERBS.items():
        _add(verbs, verb, module)
    summary = "draw the playground's scenes, train its models, measure them"
    playground = verbs.add_parser("playground", help=summary, description=_sentence(summary), allow_abbrev=False)
    below = playground.add_subparsers(title="verbs", metavar="VERB", required=True, parser_class=Parser)
    for verb, module in PLAYGROUND_VERBS.items():
        _add(below, verb, module)
    summary = "measure models on data of your own"
    evaluate = verbs.add_parser("evaluate", help=summary, description=_sentence(summary), allow_abbrev=False)
    below = evaluate.add_subparsers(title="verbs", metavar="VERB", required=True, parser_class=Parser)
    for verb, module in EVALUATE_VERBS.items():
        _add(below, verb, module)
    return parser


def whole_number(text: str) -> int:
    """The number 1 or more that the text is."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too small; expected 1 or more")
    return number


whole_number.__name__ = "whole number"


def levels(text: str) -> tuple[float, float] | str:
    """The values LOW,HIGH that become black and white, or "auto"."""
    if text == "auto":
        return text
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not low < high or not math.isfinite(high - low):
        raise argparse.ArgumentTypeError(f"{text!r} are no levels; expected auto, or LOW,HIGH such as 0,4095")
    return low, high


def add_levels(parser: argparse.ArgumentParser) -> None:
    """The option of every verb that reads images."""
    parser.add_argument(
        "--levels",
        type=levels,
        metavar="auto|LOW,HIGH",
        help="for images of more than 8 bits: LOW becomes black and HIGH white; auto: an image's lowest and highest",
    )


def add_sharp(parser: argparse.ArgumentParser, maps: str = "maps") -> None:
    """The option of every verb whose maps can follow the edges of an image; `maps` names them in the help."""
    parser.add_argument(
        "--sharp", nargs="?", const=SHARP[0], choices=SHARP,
        help=f"{maps} at the image's resolution, along its edges; without a method: {SHARP[0]}",
    )  # fmt: skip


def add_device(parser: argparse.ArgumentParser, progress: bool = False) -> None:
    """The options of every verb that runs a model.

    Args:
        parser: of the verb.
        progress: whether the verb shows its progress; device and dtype are then printed as a model is loaded, for
            other verbs with the answer.
    """
    parser.add_argument(
        "--device", type=device, default=AUTO, metavar="auto|cpu|cuda|cuda:N|mps",
        help="device to compute on; auto: cuda, else mps, else cpu",
    )  # fmt: skip
    parser.add_argument(
        "--dtype", type=dtype, default=AUTO, metavar="|".join((AUTO, *DTYPES)),
        help="type to compute in; auto: bfloat16 on a CUDA GPU or a CPU with AMX, else float32; the embedded models "
        "float32",
    )  # fmt: skip
    parser.set_defaults(computing=[], progress=progress)


def device(text: str) -> str:
    """The word for a device."""
    try:
        return device_word(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def dtype(text: str) -> str:
    """The word for a dtype."""
    try:
        return dtype_word(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_encoding(parser: argparse.ArgumentParser) -> None:
    """The option of every verb that reads lists of captions or labels."""
    parser.add_argument(
        "--encoding", default="utf-8", metavar="NAME", help="of a list of captions, such as latin-1 (%(default)s)"
    )


def check_actors(arguments: argparse.Namespace) -> None:
    """Check that `--actors` is given with `--engine ray` only.

    Raises:
        ValueError: it does not.
    """
    if arguments.actors and arguments.engine != "ray":
        raise ValueError("--actors requires --engine ray; remove it, or add --engine ray")


def image_file(text: str) -> Path:
    """The path of an image to write."""
    path = output_file(text)
    if path.suffix.lower() not in IMAGE_FILES:
        raise argparse.ArgumentTypeError(f"{text!r} is no image file; expected a name in {', '.join(IMAGE_FILES)}")
    return path


def image_or_animation_file(text: str) -> Path:
    """The path of an image or of an animation to write."""
    path = output_file(text)
    endings = (*IMAGE_FILES, *ANIMATION_FILES)
    if path.suffix.lower() not in endings:
        raise argparse.ArgumentTypeError(f"{text!r} is no image file; expected a name in {', '.join(endings)}")
    return path


def output_file(text: str) -> Path:
    """The path of a file to write."""
    path = Path(text).expanduser()
    if not text.strip() or path.is_dir():
        found = "a folder" if text.strip() else "no name"
        raise argparse.ArgumentTypeError(f"{text!r} is {found}; expected the name of a file to write")
    return path


def output_folder(text: str) -> Path:
    """The path of a folder to write to."""
    path = Path(text).expanduser()
    if not text.strip() or (path.exists() and not path.is_dir()):
        found = "a file" if text.strip() else "no name"
        raise argparse.ArgumentTypeError(
            f"{text!r} is {found}; expected a folder, which is created where it is missing"
        )
    return path


def _add(verbs: argparse._SubParsersAction[Parser], verb: str, home: str) -> None:
    module = importlib.import_module(f"dinoclip_viz.cli.{home}")
    parser = verbs.add_parser(verb, help=module.SUMMARY, description=_sentence(module.SUMMARY), allow_abbrev=False)
    module.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--verbose", action="store_true", help="show logs on standard error")
    parser.set_defaults(run=module.run)


def _sentence(summary: str) -> str:
    return summary[0].upper() + summary[1:].replace("%", "%%") + "."
