"""`dinoclip evaluate correspondence`: how often matches land on the same part, and points where they belong."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, check_some, table
from dinoclip_viz.cli.loading import computed, encoder_of
from dinoclip_viz.cli.parser import add_device, add_levels, whole_number

if TYPE_CHECKING:
    from PIL import Image

    from dinoclip_viz.data.correspondence.pairs import DrawnPairs
    from dinoclip_viz.data.correspondence.spair import KeypointPair, SPairSource
    from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
    from dinoclip_viz.tasks.correspondence.accuracy import PartHits, PointHits

SUMMARY = "measure correspondences by the same part and by PCK"
DATA = "playground:3010:200"
ENCODERS = ("playground-dino", "random:playground-dino", "pixels")
PAIRS = 8  # in memory at a time


@dataclass(frozen=True)
class Score:
    """What one encoder made of one pair; `parts` is None where the ground truth has no part masks."""

    category: str
    points: PointHits
    parts: PartHits | None


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    named = ", ".join(ENCODERS)
    parser.add_argument("--encoder", action="append", metavar="NAME", help=f"may be repeated ({named})")
    parser.add_argument(
        "--data", default=DATA, metavar="PAIRS", help="playground:SEED:PAIRS, or SPair-71k's folder (%(default)s)"
    )
    parser.add_argument("--split", metavar="S", help="of SPair-71k: trn, val or test (test)")
    parser.add_argument("--limit", type=whole_number, metavar="N", help="the first N pairs")
    parser.add_argument(
        "--size",
        type=whole_number,
        metavar="PX",
        help="longer side at which images are encoded (the playground: 192, else the encoder's own)",
    )
    parser.add_argument(
        "--count", type=whole_number, default=30, metavar="N", help="best matches per pair (%(default)s)"
    )
    parser.add_argument("--debias", type=whole_number, metavar="K", help="take K directions of position out")
    parser.add_argument("--per-class", action="store_true", help="each class's figures too")
    add_levels(parser)
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """For each encoder the percentage of matches on the same part, with that of chance, and PCK."""
    from dinoclip_viz.data.correspondence.pairs import open_pairs
    from dinoclip_viz.data.levels import with_levels

    source = with_levels(open_pairs(arguments.data, arguments.split, arguments.size), arguments.levels)
    encoders = [encoder_of(arguments, name) for name in dict.fromkeys(arguments.encoder or ENCODERS)]
    scores, failed = _scores(encoders, source, arguments)
    check_some(len(scores[0]), failed)
    results = []
    for encoder, each in zip(encoders, scores, strict=True):
        row: dict[str, object] = {"encoder": encoder.name, **_figures(each), **computed(encoder)}
        if arguments.per_class:
            classes = sorted({score.category for score in each})
            row["per_class"] = [
                {"class": name, **_figures([score for score in each if score.category == name])} for name in classes
            ]
        results.append(row)
    return Answer(
        {
            "data": source.name,
            "pairs": len(scores[0]),
            "count": arguments.count,
            "size": arguments.size,
            "debias": arguments.debias,
            "results": results,
        },
        _text(source.name, len(scores[0]), results),
        failed,
        kind="pair",
    )


def _scores(
    encoders: Sequence[ImageEncoder], source: DrawnPairs | SPairSource, arguments: Namespace
) -> tuple[list[list[Score]], list[Failure]]:
    """The scores of each encoder, in the order of the pairs, and the pairs that could not be used."""
    from tqdm import tqdm

    from dinoclip_viz.data.correspondence.pairs import SIZE, DrawnPairs

    size = arguments.size or (SIZE if isinstance(source, DrawnPairs) else None)
    failed: list[Failure] = []
    scores: list[list[Score]] = [[] for _ in encoders]
    counted = min(arguments.limit or source.count, source.count)
    pairs = islice(source.pairs(), counted)
    with tqdm(total=counted, unit="pairs", dynamic_ncols=True, desc=source.name, disable=None) as bar:
        while some := list(islice(pairs, PAIRS)):
            usable = list(_opened(some, failed))
            images = [image for _, *both in usable for image in both]
            for encoder, rows in zip(encoders, scores, strict=True):
                features = encoder.encode_each(images, size) if images else []
                rows += [
                    _score(encoder, pair, features[2 * number : 2 * number + 2], arguments)
                    for number, (pair, *_) in enumerate(usable)
                ]
            bar.update(len(some))
    return scores, failed


def _opened(
    pairs: Sequence[KeypointPair], failed: list[Failure]
) -> Iterator[tuple[KeypointPair, Image.Image, Image.Image]]:
    """Each pair with its images; what cannot be opened, or has points off its image, joins the failed."""
    from dinoclip_viz.images import ImageError

    for pair in pairs:
        try:
            source, target = pair.source.load(), pair.target.load()
        except ImageError as error:
            failed.append(Failure(pair.key, str(error)))
            continue
        off = [point for point in pair.source_points.tolist() if not _inside(point, source.size)]
        if off:
            width, height = source.size
            failed.append(Failure(pair.key, f"the point {off[0]} lies off its image of {width} x {height} pixels"))
            continue
        yield pair, source, target


def _inside(point: Sequence[float], size: tuple[int, int]) -> bool:
    return 0 <= point[0] <= size[0] and 0 <= point[1] <= size[1]


def _score(encoder: ImageEncoder, pair: KeypointPair, features: Sequence[ImageFeatures], arguments: Namespace) -> Score:
    import torch

    from dinoclip_viz.tasks.correspondence.accuracy import PointHits, part_hits
    from dinoclip_viz.tasks.correspondence.match import encoded, match_features
    from dinoclip_viz.tasks.correspondence.transfer import transfer

    a, b = encoded(encoder, features[0], features[1], debias=arguments.debias)
    predicted = transfer(a, b, torch.from_numpy(pair.source_points))
    parts = None
    if pair.source_parts is not None and pair.target_parts is not None:
        parts = part_hits(match_features(a, b, arguments.count), pair.source_parts, pair.target_parts)
    return Score(pair.category, PointHits(predicted, torch.from_numpy(pair.target_points), pair.side), parts)


def _figures(scores: Sequence[Score]) -> dict[str, object]:
    """The figures of some pairs."""
    from dinoclip_viz.tasks.correspondence.accuracy import part_accuracy, pck_over_pairs

    points = [score.points for score in scores]
    hits = [score.parts for score in scores if score.parts is not None]
    seen = sum(len(each.target) for each in points)
    return {
        "pairs": len(scores),
        **(part_accuracy(hits) if hits else {}),
        "points": seen,
        "pck": pck_over_pairs(points) if seen else None,
    }


def _text(name: str, pairs: int, results: Sequence[dict[str, object]]) -> str:
    """The figures side by side, the classes' below."""
    head = ["pairs", "matches", "on object %", "same part %", "chance %"]
    head += ["points", "PCK@.05", "@.10", "@.15", "@.10 image"]
    rows = [_row(str(result["encoder"]), result) for result in results]
    lines = [f"{name}: {pairs} pairs", table([["encoder", *head], *rows])]
    for result in results:
        classes = result.get("per_class")
        if isinstance(classes, list):
            below = [_row(each["class"], each) for each in classes]
            lines += ["", table([[str(result["encoder"]), *head], *below])]
    notes = "PCK in % of the points, at fractions of the longer side of the object's box; @.10 image: mean over pairs"
    return "\n".join([*lines, notes])


def _row(name: str, figures: dict[str, object]) -> list[str]:
    shares = [_percent(figures.get(key)) for key in ("on_object", "same_part", "chance")]
    matches = figures.get("matches")
    pck = figures["pck"]
    if isinstance(pck, dict):
        found = [_percent(pck["per_point"][alpha]) for alpha in pck["per_point"]] + [_percent(pck["per_image"][0.1])]
    else:
        found = ["-"] * 4
    counted = f"{matches:.1f}" if isinstance(matches, float) else "-"
    return [name, str(figures["pairs"]), counted, *shares, str(figures["points"]), *found]


def _percent(share: object) -> str:
    return f"{100 * share:.1f}" if isinstance(share, float) else "-"
