"""`dinoclip evaluate knn`: k-NN classification by a gallery of labelled images."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.parser import add_device, add_encoding, add_levels, whole_number
from dinoclip_viz.cli.probes.vector_inputs import Images, add_labelled_arguments, labelled_pairs

if TYPE_CHECKING:
    from dinoclip_viz.tasks.probes.low_shot import Method, Shot

SUMMARY = "measure k-nearest-neighbour classification on frozen features"
KS = (10, 20, 100, 200)


def temperature(text: str) -> float:
    """The number above 0 that the text is, or inf."""
    number = float(text)
    if not number > 0:
        raise ArgumentTypeError(f"{text} is no temperature; expected more than 0, or inf for equal votes")
    return number


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    add_labelled_arguments(parser)
    parser.add_argument(
        "-k", action="append", type=whole_number, metavar="K", help="neighbours, may be repeated (10, 20, 100, 200)"
    )
    parser.add_argument(
        "--temperature",
        type=temperature,
        default=0.07,
        metavar="T",
        help="a vote weighs exp(cosine / T); inf gives every neighbour one vote (%(default)s)",
    )
    parser.add_argument("--features", choices=("pooled", "mean"), default="pooled", help="(%(default)s)")
    add_shots(parser)
    add_levels(parser)
    add_encoding(parser)
    add_device(parser, progress=True)


def add_shots(parser: ArgumentParser) -> None:
    """The option of low-shot curves."""
    parser.add_argument(
        "--shots",
        type=whole_number,
        nargs="+",
        metavar="N",
        help="a curve too: N known images of each class, such as 1 2 4 8 16; mean and deviation of five draws",
    )


def run(arguments: Namespace) -> Answer:
    """Accuracy of each encoder at each k, and its low-shot curve if one is asked for."""
    from dinoclip_viz.tasks.probes.knn import knn_accuracy

    pairs, failed = labelled_pairs(arguments)
    ks = sorted(set(arguments.k or KS))
    results = []
    for known, asked in pairs:
        vectors = known.vectors(arguments.features), asked.vectors(arguments.features)
        found = knn_accuracy(vectors[0], known.labels, vectors[1], asked.labels, ks, arguments.temperature)
        row: dict[str, object] = {**about(known, asked), "features": arguments.features}
        row |= {"temperature": _finite(arguments.temperature), **{f"k{k}": share for k, share in found.items()}}
        if arguments.shots:
            row["low_shot"] = curve(known, asked, arguments.features, arguments.shots, ("knn", "class_mean"))
        results.append(row)
    rows = [["encoder", *(f"k = {k}" for k in ks)]]
    rows += [[str(row["encoder"]), *(percent(row[f"k{k}"]) for k in ks)] for row in results]
    head = f"accuracy of k-NN, %; {sizes(pairs)}"
    return Answer({"results": results}, "\n".join([head, table(rows), *curves_text(results)]), failed)


def about(known: Images, asked: Images) -> dict[str, object]:
    """What was compared, for JSON."""
    return {
        "encoder": known.encoder,
        "gallery": known.data,
        "queries": asked.data,
        "gallery_images": len(known.labels),
        "query_images": len(asked.labels),
        "classes": len(set(known.labels)),
        "device": asked.device,
        "dtype": asked.dtype,
    }


def sizes(pairs: Sequence[tuple[Images, Images]]) -> str:
    """What was compared, in words."""
    known, asked = pairs[0]
    counts = f"{len(known.labels)} images of {len(set(known.labels))} classes of {known.data}"
    return f"known are {counts}; {len(asked.labels)} queries of {asked.data}"


def curve(
    known: Images, asked: Images, features: str, shots: Sequence[int], methods: Sequence[Method]
) -> list[dict[str, object]]:
    """The points of each method's low-shot curve, for JSON."""
    from dinoclip_viz.tasks.probes.low_shot import low_shot

    vectors = known.vectors(features), asked.vectors(features)
    ordered = sorted(set(shots))
    points: list[Shot] = low_shot(vectors[0], known.labels, vectors[1], asked.labels, ordered, methods=methods)
    return [dict(vars(point)) for point in points]


def curves_text(results: Sequence[Mapping[str, object]]) -> list[str]:
    """The curves as a table, one line per method and encoder; nothing where there are none."""
    lines: list[list[str]] = []
    names = {"knn": "k-NN", "class_mean": "nearest class mean", "linear": "linear probe"}
    for row in results:
        points = row.get("low_shot")
        for method, name in names.items():
            own = [point for point in points if point["method"] == method] if isinstance(points, list) else []
            if own and not lines:
                lines.append(["low-shot, %", "", *(f"{point['shots']} a class" for point in own)])
            cells = [f"{100 * point['mean']:.1f} ± {100 * point['deviation']:.1f}" for point in own]
            lines += [[str(row["encoder"]), name, *cells]] if own else []
    return ["", table(lines)] if lines else []


def percent(value: object) -> str:
    """A share with one decimal."""
    return f"{100 * value:.1f}" if isinstance(value, float) else "-"


def _finite(value: float) -> float | str:
    return value if value != float("inf") else "inf"
