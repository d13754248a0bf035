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
        "--threads", type=whole_number, default=1, metavar="N", help="of each training on a CPU (%(default)s)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="STAGE",
        help="clip, dino, text, siglip, projector, heads, words, upsampler, paligemma or affordance; default: all",
    )
    parser.add_argument("--continue", action="store_true", dest="again", help="start from the embedded weights")
    parser.add_argument("--layouts", type=whole_number, metavar="N", help="training layouts; fewer for a trial")
    parser.add_argument("--scale", type=float, default=1.0, metavar="X", help="fraction of the steps (%(default)s)")
    parser.add_argument("--install", action="store_true", help="replace the embedded models by the trained ones")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (%(default)s)")


def run(arguments: Namespace) -> Answer:
    """Where the trained models are."""
    from dinoclip_viz.encoders.devices import chosen_device
    from dinoclip_viz.playground.recipe.train import LAYOUTS, Run, train_all

    logging.getLogger("dinoclip_viz").setLevel(logging.INFO)  # it takes hours: show how far it is
    arguments.out.mkdir(parents=True, exist_ok=True)
    job = Run(
        arguments.out, str(chosen_device(arguments.device)), arguments.threads, arguments.again,
        arguments.layouts or LAYOUTS, arguments.scale,
    )  # fmt: skip
    finished = train_all(job, arguments.only, arguments.install)
    return Answer({"out": str(arguments.out), "models": finished}, table([*finished.items()]))
