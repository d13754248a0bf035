"""`dinoclip curate`: which captions and images to train on."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from dinoclip_viz.cli.answer import Answer
from dinoclip_viz.cli.parser import add_device, add_encoding, output_file, output_folder, whole_number

SUMMARY = "choose pairs to train on: balanced by entries, or nearest to each concept"

_BALANCE, _CONCEPTS, _BUILD = "--by entries", "--by concepts", "--build-entries"
_MODES = {
    "entries": _BALANCE, "per_entry": _BALANCE, "size": _BALANCE, "tail": _BALANCE, "workers": _BALANCE,
    "seed": _BALANCE, "mend": _BALANCE,
    "prototypes": _CONCEPTS, "per_concept": _CONCEPTS, "queue": _CONCEPTS, "vectors": _CONCEPTS, "texts": _CONCEPTS,
    "encoder": _CONCEPTS, "template": _CONCEPTS,
    "unigrams": _BUILD, "bigrams": _BUILD, "bigram_count": _BUILD, "titles": _BUILD, "wordnet": _BUILD,
}  # fmt: skip
"""Option -> the way of curating that it belongs to."""


def number_above_0(text: str) -> float:
    """A number above 0, or "inf"."""
    number = float(text)
    if not number > 0:
        raise ArgumentTypeError(f"{text} is not above 0; expected a number of captions")
    return number


number_above_0.__name__ = "number"


def fraction(text: str) -> float:
    """A fraction above 0 and below 1."""
    number = float(text)
    if not 0 < number < 1:
        raise ArgumentTypeError(f"{text} is not between 0 and 1; expected a fraction such as .06")
    return number


def seed(text: str) -> int:
    """A whole number from 0 to 2^64 - 1."""
    if not text.isdigit() or int(text) >= 2**64:
        raise ArgumentTypeError(f"{text!r} is no seed; expected a whole number, 0 or more")
    return int(text)


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "captions", nargs="+", metavar="CAPTIONS", help="sources as of `dinoclip embed`; for --by concepts also a STORE"
    )
    parser.add_argument("--out", required=True, type=output_file, metavar="FILE", help="list, .jsonl, or entries")
    parser.add_argument("--by", choices=["entries", "concepts"], default="entries", help="(%(default)s)")
    parser.add_argument("--report", type=output_folder, metavar="FOLDER", help="for counts, figure and examples")
    parser.add_argument("--split", metavar="S", help="part of the data sets, where they have parts")
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="where a captions file's images are")
    _add_balance(parser)
    _add_concepts(parser)
    _add_build(parser)
    add_encoding(parser)
    add_device(parser, progress=True)


def _add_balance(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("by entries", "MetaCLIP's balancing; exactly one of T, N and F")
    group.add_argument("--entries", metavar="FILE", help="words and phrases, .json or .txt")
    target = group.add_mutually_exclusive_group()
    target.add_argument("--per-entry", type=number_above_0, metavar="T", help="captions per frequent entry, about")
    target.add_argument("--size", type=whole_number, metavar="N", help="captions to keep, expected")
    target.add_argument("--tail", type=fraction, metavar="F", help="fraction of matches that stay whole, such as .06")
    group.add_argument("--workers", type=whole_number, metavar="W", help="processes that match (1)")
    group.add_argument(
        "--seed", type=seed, metavar="S", help="of the draws (0); choose another for a list that was balanced before"
    )
    group.add_argument("--mend", action="store_true", help="isolate punctuation in entries too: St. Louis can match")


def _add_concepts(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("by concepts", "the pairs nearest to each prototype")
    group.add_argument(
        "--prototypes", metavar="FILE|LABELS",
        help="A,B,C, a class list, a file with one name per line, or vectors in .npy or .safetensors",
    )  # fmt: skip
    group.add_argument("--per-concept", type=whole_number, metavar="N", help="pairs per concept")
    group.add_argument("--queue", type=whole_number, metavar="Q", help="candidates per concept (25 N)")
    group.add_argument("--vectors", choices=["captions", "images"], help="of a STORE, to compare (captions)")
    group.add_argument("--texts", metavar="MODEL", help="text model (the store's; for captions playground-clip)")
    group.add_argument("--encoder", metavar="NAME", help="encoder, where STORE holds several stores")
    group.add_argument(
        "--template", action="append", metavar="T", help='prompt with one "{}", may be repeated (the model\'s)'
    )


def _add_build(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("entries", "with --build-entries, FILE of --out is a list of entries")
    group.add_argument("--build-entries", action="store_true", help="make entries from captions, titles and WordNet")
    group.add_argument("--unigrams", type=whole_number, metavar="N", help="words that occur N times or more")
    group.add_argument("--bigrams", type=float, metavar="PMI", help="bigrams of this PMI or more, in bits")
    group.add_argument("--bigram-count", type=whole_number, metavar="N", help="that occur N times or more (5)")
    group.add_argument("--titles", metavar="FILE", help="titles, one per line")
    group.add_argument("--wordnet", action="store_true", help="names of WordNet's synsets, through nltk")


def run(arguments: Namespace) -> Answer:
    """What was kept, or the entries that were built."""
    _check_options(arguments)
    if arguments.build_entries:
        from dinoclip_viz.cli.curate.entries import build

        return build(arguments)
    if arguments.out.suffix.lower() not in (".jsonl", ".ndjson"):
        raise ValueError(f"--out is {arguments.out}; expected a list, a name in .jsonl")
    if arguments.by == "concepts":
        from dinoclip_viz.cli.curate.concepts import cover

        return cover(arguments)
    from dinoclip_viz.cli.curate.balance import balance

    return balance(arguments)


def _check_options(arguments: Namespace) -> None:
    """Check that every given option belongs to the chosen way.

    Raises:
        ValueError: one does not.
    """
    mode = _BUILD if arguments.build_entries else f"--by {arguments.by}"
    for name, home in _MODES.items():
        if vars(arguments)[name] not in (None, False) and home != mode:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"{option} is for {home}, but {mode} was chosen; omit {option}, or use {home}")
    if arguments.build_entries and (arguments.by != "entries" or arguments.report):
        option = "--report" if arguments.report else "--by concepts"
        raise ValueError(f"{option} is not for --build-entries; omit one of them")
    if mode != _CONCEPTS and (arguments.device != "auto" or arguments.dtype != "auto"):
        raise ValueError(f"--device and --dtype are for {_CONCEPTS}: {mode} runs no model; omit them")
