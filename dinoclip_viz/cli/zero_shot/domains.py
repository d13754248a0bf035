"""`dinoclip evaluate domains`: zero-shot accuracy on scenes that look unlike the training images."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.loading import computed, model_of
from dinoclip_viz.cli.parser import add_device, whole_number

SUMMARY = "measure zero-shot classification on the playground's scenes in other domains"


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--model", metavar="NAME", default="playground-clip", help="image-text model (%(default)s)")
    parser.add_argument(
        "--domain", action="append", metavar="NAME", help="such as outline, night or fog; repeatable; default: all"
    )
    parser.add_argument("--seed", type=int, default=3000, help="1000 or more: not trained on (%(default)s)")
    parser.add_argument("--count", type=whole_number, default=500, help="scenes per domain (%(default)s)")
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """Top-1 accuracy of each domain, with the bare class names and with the model's templates."""
    from dinoclip_viz.playground import DOMAINS
    from dinoclip_viz.playground.recipe.measure import domains

    names = arguments.domain or list(DOMAINS)
    unknown = [name for name in names if name not in DOMAINS]
    if unknown:
        raise ValueError(f"--domain {unknown[0]} is unknown; expected one of {', '.join(DOMAINS)}")
    model = model_of(arguments, arguments.model)
    found = domains(model, arguments.seed, arguments.count, names)
    rows = [["domain", "looks", "top-1 %, templates", "top-1 %, bare names"]]
    for name, numbers in found.items():
        about = DOMAINS[name].about if name in DOMAINS else "as in training"
        shares = [f"{100 * numbers[key]:.1f}" for key in ("top1_templates", "top1_bare_names")]
        rows.append([name, about, *shares])
    result = {
        "model": arguments.model, "seed": arguments.seed, "images": arguments.count, "domains": found,
        **computed(model.images, model.texts),
    }  # fmt: skip
    return Answer({"results": [result]}, table(rows))
