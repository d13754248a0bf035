"""`dinoclip evaluate propagation`: J and F of propagated masks, as DAVIS 2017 measures them, and errors of points."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, check_some, table
from dinoclip_viz.cli.loading import computed, encoder_of
from dinoclip_viz.cli.parser import add_device, whole_number
from dinoclip_viz.cli.propagation.options import add_settings, settings_of

if TYPE_CHECKING:
    from dinoclip_viz.data.videos import LabelledClip
    from dinoclip_viz.encoders.base import ImageEncoder
    from dinoclip_viz.tasks.propagation.evaluation import ClipAccuracy
    from dinoclip_viz.tasks.propagation.settings import PropagationSettings

SUMMARY = "measure propagated masks by DAVIS' J and F, and followed points"
ENCODERS = ("playground-dino", "random:playground-dino")
REPEATED = "first mask repeated"
COLUMNS = {
    "j_and_f": "J&F", "j_mean": "J mean", "j_recall": "recall", "j_decay": "decay",
    "f_mean": "F mean", "f_recall": "recall", "f_decay": "decay",
    "point_error": "point error", "point_median": "median", "points_within": "within",
}  # fmt: skip
"""Key of a figure -> head of its column, all in %."""


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "source", nargs="?", default="playground", metavar="SOURCE",
        help="playground, playground:SEED:CLIPS, or the folder of DAVIS 2017 (%(default)s)",
    )  # fmt: skip
    named = ", ".join(ENCODERS)
    parser.add_argument("--encoder", action="append", metavar="NAME", help=f"may be repeated ({named})")
    parser.add_argument("--split", metavar="S", help="of DAVIS: val or train (val)")
    parser.add_argument("--limit", type=whole_number, metavar="N", help="the first N clips")
    parser.add_argument("--frames", type=whole_number, metavar="N", help="per clip of the playground (24)")
    parser.add_argument("--per-clip", action="store_true", help="each clip's figures too")
    add_settings(parser)
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """For each encoder J, F and the errors of points, next to those of the first mask in every frame."""
    from dinoclip_viz.data.videos import open_clips

    source = open_clips(arguments.source, arguments.split, arguments.frames)
    settings = settings_of(arguments)
    encoders = {name: encoder_of(arguments, name) for name in dict.fromkeys(arguments.encoder or ENCODERS)}
    methods: dict[str, ImageEncoder | None] = {REPEATED: None, **encoders}
    clips = _shown(source.clips(), min(arguments.limit or source.count, source.count), source.name)
    scores, failed = _scores(clips, methods, settings)
    check_some(len(scores[REPEATED]), failed)
    results = []
    for name, encoder in methods.items():
        row: dict[str, object] = {"method": name, **_figures(scores[name], arguments.per_clip)}
        results.append(row if encoder is None else row | computed(encoder))
    done = len(scores[REPEATED])
    return Answer(
        {"data": source.name, "clips": done, "settings": asdict(settings), "results": results},
        _text(source.name, done, results),
        failed,
        kind="clip",
    )


def _shown(clips: Iterator[LabelledClip], count: int, name: str) -> Iterator[LabelledClip]:
    """The first clips, with a progress bar."""
    from tqdm import tqdm

    yield from tqdm(islice(clips, count), total=count, unit="clips", dynamic_ncols=True, desc=name, disable=None)


def _scores(
    clips: Iterator[LabelledClip], methods: Mapping[str, ImageEncoder | None], settings: PropagationSettings
) -> tuple[dict[str, list[ClipAccuracy]], list[Failure]]:
    """The accuracy of each method on each clip, and the clips that could not be used by every method."""
    from dinoclip_viz.tasks.propagation.evaluation import clip_accuracy

    scores: dict[str, list[ClipAccuracy]] = {name: [] for name in methods}
    failed: list[Failure] = []
    for clip in clips:
        try:
            found = {name: clip_accuracy(clip, encoder, settings) for name, encoder in methods.items()}
        except ValueError as error:  # an ImageError too
            failed.append(Failure(clip.key, f"{clip.key}: {str(error).removeprefix(f'{clip.key}: ')}"))
            continue
        for name, one in found.items():
            scores[name].append(one)
    return scores, failed


def _figures(scores: Sequence[ClipAccuracy], per_clip: bool) -> dict[str, object]:
    """The figures of all clips together, and of each."""
    from dinoclip_viz.tasks.propagation.evaluation import together

    whole = together(list(scores))
    found: dict[str, object] = {"objects": len(whole.objects), **whole.figures()}
    if per_clip:
        found["per_clip"] = [{"clip": one.objects[0].clip, **one.figures()} for one in scores]
    return found


def _text(name: str, clips: int, results: Sequence[Mapping[str, object]]) -> str:
    """The figures next to each other, the clips' below."""
    shown = {key: head for key, head in COLUMNS.items() if any(key in result for result in results)}
    rows = [[str(result["method"]), *_cells(result, shown)] for result in results]
    lines = [f"{name}: {clips} clips, {results[0]['objects']} objects", table([["method", *shown.values()], *rows])]
    for result in results:
        each = result.get("per_clip")
        if isinstance(each, list):
            below = [[one["clip"], *_cells(one, shown)] for one in each]
            lines += ["", table([[str(result["method"]), *shown.values()], *below])]
    notes = ["all in %; recall: frames above 50, decay: first quarter of the frames minus the last"]
    if "point_error" in shown:
        notes.append("points: mean and median distance in % of the frame's side; within: 1, 2, 4, 8, 16 of 256 pixels")
    return "\n".join([*lines, *notes])


def _cells(figures: Mapping[str, object], shown: Mapping[str, str]) -> list[str]:
    values = [figures.get(key) for key in shown]
    return [f"{100 * value:.1f}" if isinstance(value, float) else "-" for value in values]
