"""`dinoclip evaluate affordance`: maps of verbs against masks or heat maps, by AGD20K's protocol."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.loading import encoder_of, model_of, show_device, text_encoder_of
from dinoclip_viz.cli.parser import SHARP, add_device, whole_number

if TYPE_CHECKING:
    from dinoclip_viz.affordance.evaluation import Predict
    from dinoclip_viz.affordance.metrics import Summary
    from dinoclip_viz.data.affordances.base import AffordanceImage, AffordanceSource

SUMMARY = "measure maps of verbs: KLD, SIM, NSS, average precision and mIoU"
MODEL, DATA, HEATMAPS = "playground-affordance", "playground:3000:300", "playground"
METHODS = ("maskclip", "text-to-dino")
MEASURES = (("kld", "KLD"), ("sim", "SIM"), ("nss", "NSS"), ("ap", "AP %"), ("miou", "mIoU %"))
PERCENT = ("ap", "miou")
TRAINED, NEIGHBOURS, OBJECTS = "trained on one example per class", "nearest labelled patches", "mask of the object"
FOR_DRAWS = ("encoder", "texts", "head", "steps")


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "source", nargs="?", default=DATA, metavar="SOURCE",
        help="playground:SEED:COUNT, agd20k:FOLDER or umd:FOLDER (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--split", metavar="S", help="AGD20K: Seen or Unseen; UMD: category or novel (the first)")
    parser.add_argument("--model", metavar="NAME", help=f"trained model ({MODEL})")
    parser.add_argument(
        "--draws", type=whole_number, metavar="N",
        help="train N models, each on another example per class of the source, in place of --model",
    )  # fmt: skip
    parser.add_argument("--encoder", metavar="NAME", help="of images, with --draws (playground-dino)")
    parser.add_argument("--texts", metavar="NAME", help="of verbs, with --draws (playground-clip)")
    parser.add_argument("--head", choices=("ooal", "film"), help="with --draws (ooal)")
    parser.add_argument("--steps", type=whole_number, metavar="N", help="of each training, with --draws")
    parser.add_argument(
        "--heatmaps", metavar="NAME", help="image-text model whose heat maps of the verbs are measured too; none "
        f"omits them ({HEATMAPS} on the playground, else none)",
    )  # fmt: skip
    parser.add_argument(
        "--sharp", choices=(*SHARP, "none"), help="how trained maps follow edges (guided; on blurred targets none)"
    )
    parser.add_argument("--limit", type=whole_number, metavar="N", help="the first N images")
    parser.add_argument("--per-verb", action="store_true", help="the figures of each verb too")
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """The measures of each method, over all pairs of an image and a verb that it answers."""
    from dinoclip_viz.affordance.evaluation import measure
    from dinoclip_viz.data.affordances.opening import open_affordances

    _check(arguments)
    source = open_affordances(arguments.source, arguments.split)
    sharp = arguments.sharp or (SHARP[0] if source.hard else "none")
    predictors = _trained(arguments, source, None if sharp == "none" else sharp) | _untrained(arguments, source)
    summaries = measure(predictors, _images(source, arguments.limit), source.hard)
    rows = list(_rows(summaries, arguments.per_verb))
    result = {"data": source.name, "images": arguments.limit or source.count, "sharp": sharp, "results": rows}
    return Answer(result, _text(source.name, rows))


def _check(arguments: Namespace) -> None:
    """Nothing, if the options fit each other."""
    if arguments.draws and arguments.model:
        raise ValueError("--draws trains models, but --model names one; omit one of them")
    given = [name for name in FOR_DRAWS if getattr(arguments, name) is not None]
    if given and not arguments.draws:
        raise ValueError(f"--{given[0]} is for trainings; add --draws N, such as --draws 1")


def _trained(arguments: Namespace, source: AffordanceSource, sharp: str | None) -> dict[str, Predict]:
    """The given model; or those of each draw, and the transfer of labels from the same examples."""
    from dinoclip_viz.affordance.evaluation import by_model
    from dinoclip_viz.affordance.example import AffordanceExample
    from dinoclip_viz.affordance.fitting import fit_affordance
    from dinoclip_viz.affordance.loading import load_affordance
    from dinoclip_viz.affordance.neighbours import transfer_labels

    if not arguments.draws:
        name = arguments.model or MODEL
        model = load_affordance(name, arguments.device, arguments.dtype)
        show_device(arguments, name, {"images": model.encoder, "texts": model.words.encoder})
        return {name: by_model(model, sharp)}
    encoder = encoder_of(arguments, arguments.encoder or "playground-dino")
    texts = text_encoder_of(arguments, arguments.texts or "playground-clip")
    found: dict[str, Predict] = {}
    for draw in range(arguments.draws):
        examples = [AffordanceExample(one.image, one.targets, one.name) for one in source.examples(draw)]
        with _fitting(arguments, draw) as passed:
            head = arguments.head or "ooal"
            model = fit_affordance(examples, encoder, texts, head, arguments.steps, draw, passed)
        found[f"{TRAINED}, draw {draw}"] = by_model(model, sharp)
        found[f"{NEIGHBOURS}, draw {draw}"] = by_model(transfer_labels(examples, encoder, model.settings.size), sharp)
    return found


def _untrained(arguments: Namespace, source: AffordanceSource) -> dict[str, Predict]:
    """Heat maps with the verb as prompt, and where objects are known, the map of their masks."""
    from dinoclip_viz.affordance.evaluation import by_heatmaps, by_objects

    drawn = arguments.source.startswith("playground")
    name = arguments.heatmaps or (HEATMAPS if drawn else "none")
    found: dict[str, Predict] = {}
    if name != "none":
        model = model_of(arguments, name)
        served = [method for method in METHODS if method in model.methods] or [model.default_method]
        found |= {f"heat map of {name}, {method}": by_heatmaps(model, method) for method in served}
    return found | ({OBJECTS: by_objects} if source.hard else {})


def _images(source: AffordanceSource, limit: int | None) -> Iterator[AffordanceImage]:
    from itertools import islice

    from tqdm import tqdm

    with tqdm(total=limit or source.count, unit="images", dynamic_ncols=True, desc=source.name, disable=None) as bar:
        for one in islice(source.images(), limit):
            yield one
            bar.update()


@contextmanager
def _fitting(arguments: Namespace, draw: int) -> Iterator[Callable[[int, int, float], None]]:
    """A bar of the steps of a training."""
    from tqdm import tqdm

    with tqdm(unit="steps", dynamic_ncols=True, desc=f"draw {draw + 1} of {arguments.draws}", disable=None) as bar:

        def passed(step: int, steps: int, loss: float) -> None:
            bar.total = steps
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
            bar.update(step - bar.n)

        yield passed


def _rows(summaries: Mapping[str, Summary], per_verb: bool) -> Iterator[dict[str, object]]:
    """One row per method; several draws of one become their mean and standard deviation."""
    grouped: dict[str, list[Summary]] = {}
    for name, summary in summaries.items():
        grouped.setdefault(name.partition(", draw ")[0], []).append(summary)
    for name, several in grouped.items():
        yield {"method": name, "draws": len(several), **_mean([one.figures() for one in several])}
        if per_verb:
            for verb in several[0].by_verb():
                yield {"method": name, "verb": verb, **_mean([one.by_verb()[verb] for one in several])}


def _mean(several: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each figure, and of several the standard deviation as NAME_sd."""
    import statistics

    found = {name: statistics.fmean(one[name] for one in several) for name in several[0]}
    if len(several) > 1:
        found |= {f"{name}_sd": statistics.stdev(one[name] for one in several) for name, _ in MEASURES if name in found}
    return found


def _text(name: str, rows: Sequence[Mapping[str, object]]) -> str:
    """The figures side by side."""
    shown = [(key, title) for key, title in MEASURES if key in rows[0]]
    lines = [["method", "verb", *(title for _, title in shown), "maps"]]
    for row in rows:
        maps = row["maps"]
        cells = [_cell(row, key) for key, _ in shown]
        lines.append(
            [str(row["method"]), str(row.get("verb", "all")), *cells, f"{maps:.0f}" if isinstance(maps, float) else ""]
        )
    return f"{name}\n{table(lines)}"


def _cell(row: Mapping[str, object], key: str) -> str:
    value, spread = row[key], row.get(f"{key}_sd")
    scale, digits = (100, 1) if key in PERCENT else (1, 3)
    if not isinstance(value, float):
        return "-"
    more = f" +- {scale * spread:.{digits}f}" if isinstance(spread, float) else ""
    return f"{scale * value:.{digits}f}{more}"
