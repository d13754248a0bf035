"""`dinoclip evaluate instances`: how well frozen features find other images of the very same object."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, table
from dinoclip_viz.cli.loading import encoder_of
from dinoclip_viz.cli.parser import add_device, add_encoding, add_levels, whole_number
from dinoclip_viz.cli.probes.vector_inputs import ENCODERS, Images, check_spaces, chosen_encoders, encoded, seen

if TYPE_CHECKING:
    from torch import Tensor

    from dinoclip_viz.data.retrieval.instances import InstanceSet
    from dinoclip_viz.encoders.base import ImageEncoder
    from dinoclip_viz.tasks.retrieval.instances import Relevant

SUMMARY = "measure instance retrieval by the revisited Oxford and Paris protocol"
DEFAULT, DISTRACTORS = "playground:3001:500:96:1", "playground:3002:1000:96:1"
MEASURES = ("mAP", "mP@1", "mP@5", "mP@10")


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "source",
        nargs="?",
        default=DEFAULT,
        metavar="SOURCE",
        help="folder of gnd_roxford5k.json or gnd_rparis6k.json and jpg/, or playground:SEED:COUNT[:SIZE[:OBJECTS]], "
        "whose scenes are seen in three views each (%(default)s)",
    )
    parser.add_argument("--encoder", action="append", metavar="NAME", help=f"may be repeated ({', '.join(ENCODERS)})")
    parser.add_argument(
        "--distractors",
        metavar="SOURCE",
        help=f"data set or store of other images for the gallery; none: no more ({DISTRACTORS} with playground scenes)",
    )
    parser.add_argument("--features", choices=("pooled", "mean"), default="pooled", help="(%(default)s)")
    parser.add_argument("--size", type=whole_number, metavar="PX", help="side of the square crop (the published one)")
    add_levels(parser)
    add_encoding(parser)
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """MAP and mP@1, 5, 10 of each encoder, by the easy, the medium and the hard protocol."""
    from dinoclip_viz.data.levels import with_levels
    from dinoclip_viz.tasks.retrieval.instances import instance_retrieval

    instances, usual = _opened(arguments.source)
    distractors = arguments.distractors or usual
    names = chosen_encoders(arguments.encoder, [distractors] if distractors else [])
    sizes = {name: arguments.size for name in names}
    encoders = _encoders(arguments, names, distractors)
    queries, failed = encoded(with_levels(instances.queries, arguments.levels), encoders, sizes, None, labels=False)
    galleries, missed = encoded(with_levels(instances.gallery, arguments.levels), encoders, sizes, None, labels=False)
    failed += [failure for failure in missed if failure not in failed]
    others, missed = _distractors(distractors, encoders, sizes, arguments)
    failed += [failure for failure in missed if failure not in failed]
    results = []
    for asked, known, more in zip(queries, galleries, others, strict=True):
        truth = _of_those_read(instances.truth, asked.numbers, known.numbers)
        vectors = _joined(known, more, arguments.features)
        found = instance_retrieval(asked.vectors(arguments.features), vectors, truth)
        results.append(
            {
                "encoder": asked.encoder, "data": instances.name, "distractors": distractors or "",
                "features": arguments.features, "queries": len(asked.numbers), "gallery": len(vectors), **found,
                "device": asked.device, "dtype": asked.dtype,
            }
        )  # fmt: skip
    return Answer({"results": results}, _text(results), failed)


def _opened(source: str) -> tuple[InstanceSet, str]:
    """The data set, and the usual distractors."""
    from dinoclip_viz.data import SourceError
    from dinoclip_viz.data.playground import playground_of
    from dinoclip_viz.data.retrieval.instances import drawn_instances
    from dinoclip_viz.data.retrieval.oxford import open_oxford

    if source.split(":", maxsplit=1)[0] == "playground":
        return drawn_instances(playground_of(source)), DISTRACTORS
    if not Path(source).expanduser().exists():
        raise SourceError(
            f"{source[:200]!r}: no such file; expected a folder of gnd_roxford5k.json and jpg/, or a playground"
        )
    return open_oxford(source), ""


def _encoders(arguments: Namespace, names: Sequence[str], distractors: str) -> dict[str, ImageEncoder]:
    """Name -> encoder; in the dtype of the distractors, where these are a store."""
    from dinoclip_viz.store import FeatureStore, store_folders

    held = bool(distractors) and bool(store_folders(distractors))
    return {name: encoder_of(arguments, name, FeatureStore.open(distractors, name) if held else None) for name in names}


def _distractors(
    place: str, encoders: Mapping[str, ImageEncoder], sizes: Mapping[str, int | None], arguments: Namespace
) -> tuple[Sequence[Images | None], list[Failure]]:
    from dinoclip_viz.data import open_source
    from dinoclip_viz.data.levels import with_levels
    from dinoclip_viz.store import store_folders

    if place in ("", "none"):
        return [None] * len(encoders), []
    if store_folders(place):
        return seen((place, None), list(encoders), [], arguments, None, labels=False)
    source = with_levels(open_source(place, encoding=arguments.encoding), arguments.levels)
    return encoded(source, encoders, sizes, None, labels=False)


def _of_those_read(truth: Sequence[Relevant], queries: Sequence[int], gallery: Sequence[int]) -> list[Relevant]:
    """The lists of the queries that could be read, in rows of the gallery's images that could be."""
    row_of = {number: row for row, number in enumerate(gallery)}
    return [
        {name: [row_of[number] for number in rows if number in row_of] for name, rows in truth[query].items()}
        for query in queries
    ]


def _joined(known: Images, more: Images | None, features: str) -> Tensor:
    """(N, D) the gallery with the distractors behind it."""
    import torch

    from dinoclip_viz.tasks.retrieval.vectors import block

    parts = [known] if more is None else [known, more]
    for part in parts[1:]:
        check_spaces(known, part)
    vectors = [part.vectors(features) for part in parts]
    return torch.cat([block(one, 0, len(one)) for one in vectors])


def _text(results: Sequence[Mapping[str, object]]) -> str:
    first = results[0]
    protocols = [name for name in ("easy", "medium", "hard") if isinstance(first.get(name), Mapping)]
    rows = [["encoder", *(f"{measure} {name}" for name in protocols for measure in MEASURES)]]
    for result in results:
        cells = [str(result["encoder"])]
        for name in protocols:
            figures = result[name]
            cells += [f"{100 * figures[measure]:.1f}" for measure in MEASURES] if isinstance(figures, Mapping) else []
        rows.append(cells)
    beside = f", {first['distractors']} among them" if first["distractors"] not in ("", "none") else ""
    head = f"instance retrieval, %; {first['queries']} queries of {first['data']} in {first['gallery']} images{beside}"
    return f"{head}\n{table(rows)}"
