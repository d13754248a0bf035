"""`dinoclip playground train`: the whole recipe of the embedded models."""

from __future__ import annotations

import logging
from argparse import ArgumentParser, Namespace
from pathlib import Path

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.parser import output_folder, whole_number

SUMMARY = "train the embedded models anew; a stopped run resumes"


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "--out",
        type=output_folder,
        default=Path("runs/playground"),
        metavar="FOLDER",
        help="where models and progress are kept (%(default)s)",
    )
    parser.add_argument(
        "--threads", type=whole_number, default=1, metavar="N", help="of each of the two trainings (%(default)s)"
    )


def run(arguments: Namespace) -> Answer:
    """Where the trained models are."""
    from dinoclip_viz.playground.recipe.train import train_all

    logging.getLogger("dinoclip_viz").setLevel(logging.INFO)  # it takes hours: show how far it is
    arguments.out.mkdir(parents=True, exist_ok=True)
    finished = train_all(arguments.out, arguments.threads)
    return Answer({"out": str(arguments.out), "models": finished}, table([*finished.items()]))
