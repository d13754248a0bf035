"""`dinoclip playground measure`: the accuracy of the embedded models on held-out scenes."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.loading import show_line
from dinoclip_viz.cli.parser import add_device, whole_number

SUMMARY = "measure the embedded models on held-out scenes"


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--seed", type=int, default=3000, help="1000 or more: not trained on (%(default)s)")
    parser.add_argument("--count", type=whole_number, default=1000, help="scenes per figure (%(default)s)")
    parser.add_argument(
        "--only", choices=("siglip", "text", "paligemma"), help="this model, which the other figures omit"
    )
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """All figures."""
    from dinoclip_viz.encoders.devices import chosen_device, chosen_dtype, description
    from dinoclip_viz.playground.recipe.measure import measure_all

    device = chosen_device(arguments.device)
    if arguments.only:
        return _further(arguments, str(device))
    dtype = chosen_dtype(arguments.dtype, device, "playground")
    show_line(arguments, f"the embedded models on {description(device, dtype)}")
    figures = measure_all(seed=arguments.seed, count=arguments.count, device=device, dtype=dtype)
    return Answer(figures, table(list(_lines(figures))))


def _further(arguments: Namespace, device: str) -> Answer:
    """The figures of one further model."""
    from dinoclip_viz.playground.recipe.paligemma.measure import measure_paligemma
    from dinoclip_viz.playground.recipe.siglip.measure import measure_siglip
    from dinoclip_viz.playground.recipe.text.measure import measure_text

    measures: Mapping[str, Callable[..., Mapping[str, object]]] = {
        "siglip": measure_siglip, "text": measure_text, "paligemma": measure_paligemma,
    }  # fmt: skip
    found = measures[arguments.only](seed=arguments.seed, count=arguments.count, device=device)
    return Answer(dict(found), table(list(_lines(found))))


def _lines(figures: Mapping[str, object], prefix: str = "") -> Iterator[list[str]]:
    """Name and value of each figure, nested names joined by dots."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{prefix}{name}.")
        else:
            yield [f"{prefix}{name}", f"{value:.4f}" if isinstance(value, float) else str(value)]
