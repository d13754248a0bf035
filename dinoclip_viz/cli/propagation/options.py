"""The options of the propagation that both of its verbs have."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING

from dinoclip_viz.cli.parser import SHARP, whole_number

if TYPE_CHECKING:
    from dinoclip_viz.tasks.propagation.settings import PropagationSettings


def add_settings(parser: ArgumentParser) -> None:
    """The options of `settings_of`."""
    parser.add_argument("--size", type=whole_number, metavar="PX", help="longer side at which frames are encoded")
    parser.add_argument("--context", type=count, default=7, metavar="N", help="earlier frames compared (%(default)s)")
    parser.add_argument(
        "--neighbourhood", type=count, metavar="N",
        help="largest distance in patches between compared patches; 0: no limit (a fifth of the grid)",
    )  # fmt: skip
    parser.add_argument("--topk", type=whole_number, default=5, metavar="K", help="nearest patches (%(default)s)")
    parser.add_argument(
        "--temperature", type=positive, default=0.1, metavar="T", help="of the softmax over cosines (%(default)s)"
    )
    parser.add_argument(
        "--sharp", choices=SHARP, default=SHARP[0],
        help="how labels of patches become masks; bilinear is DINO's protocol (%(default)s)",
    )  # fmt: skip


def settings_of(arguments: Namespace) -> PropagationSettings:
    """The settings of the options of `add_settings`."""
    from dinoclip_viz.tasks.propagation.settings import PropagationSettings

    names = ("context", "neighbourhood", "topk", "temperature", "size", "sharp")
    return PropagationSettings(**{name: getattr(arguments, name) for name in names})


def count(text: str) -> int:
    """The number 0 or more that the text is."""
    number = int(text)
    if number < 0:
        raise ArgumentTypeError(f"{number} is too small; expected 0 or more")
    return number


def positive(text: str) -> float:
    """The number above 0 that the text is."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise ArgumentTypeError(f"{text} is out of range; expected a number above 0")
    return number


count.__name__ = "whole number"
positive.__name__ = "number"
