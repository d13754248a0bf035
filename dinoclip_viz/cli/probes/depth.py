"""`dinoclip evaluate depth`: depth estimated by heads on frozen patches, or by whole models."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, table
from dinoclip_viz.cli.loading import computed, depth_model_of, encoder_of
from dinoclip_viz.cli.parser import add_device, add_levels, add_sharp
from dinoclip_viz.cli.probes.patch_inputs import add_dense_arguments, chosen_encoders, usable_pairs

if TYPE_CHECKING:
    from dinoclip_viz.data.labels.sources import TruthSource
    from dinoclip_viz.tasks.probes.depth import DepthErrors

SUMMARY = "measure depth estimated by linear heads on patches, or by a depth model"
MEASURES = {"rmse": "RMSE, m", "absrel": "AbsRel", "log10": "log10", "delta1": "delta < 1.25, %"}
BINS = 64


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    add_dense_arguments(parser, "a playground, NYU Depth's list, or images/ with depth/")
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="a depth model of the hub or a folder, such as facebook/dpt-dinov2-small-nyu; may be repeated; "
        "no encoder then, unless named",
    )
    parser.add_argument(
        "--bins", type=int, default=BINS, metavar="K", help="depths a head chooses from; 0: regression (%(default)s)"
    )
    parser.add_argument(
        "--spacing",
        choices=("log", "uniform"),
        default="log",
        help="of the bins (%(default)s); DINOv2's figures for NYU: --spacing uniform --bins 256",
    )
    parser.add_argument("--crop", choices=("none", "eigen"), default="none", help="part that counts (%(default)s)")
    add_sharp(parser, "maps of heads")
    add_levels(parser)
    add_device(parser, progress=True)


def run(arguments: Namespace) -> Answer:
    """RMSE, AbsRel, log10 and delta < 1.25 of each encoder's head, with CLS next to the patches, and of each model."""
    from dinoclip_viz.data.labels.sources import open_truths
    from dinoclip_viz.data.levels import with_levels

    encoders = chosen_encoders(arguments) if arguments.encoder or not arguments.model else []
    if arguments.save and not encoders:
        raise ValueError("--save writes a fitted head, but only whole models are measured; name an --encoder")
    if arguments.sharp and not encoders:
        raise ValueError("--sharp is for the maps of heads, but only whole models are measured; name an --encoder")
    data = with_levels(open_truths(arguments.data, arguments.split), arguments.levels)
    failed: list[Failure] = []
    results = []
    if encoders:
        train = with_levels(open_truths(arguments.train, arguments.train_split, training=True), arguments.levels)
        results = [_probed(arguments, name, train, data, failed) for name in encoders]
    results += [_answered(arguments, name, data, failed) for name in dict.fromkeys(arguments.model or ())]
    return Answer({"results": results}, _text(results, arguments.size), failed)


def _probed(
    arguments: Namespace, name: str, train: TruthSource, data: TruthSource, failed: list[Failure]
) -> Mapping[str, object]:
    from dinoclip_viz.tasks.probes.head_evaluation import depth_errors, encoded
    from dinoclip_viz.tasks.probes.patch_head import PatchHead
    from dinoclip_viz.tasks.probes.sharp import sharp_depth_errors

    encoder = encoder_of(arguments, name)
    head = PatchHead(depth=train.depth_range, bins=arguments.bins, spacing=arguments.spacing, cls=True)
    head.fit(
        encoded(encoder, usable_pairs(train, "depth", arguments.limit, failed), arguments.size), name, arguments.size
    )
    asked, errors = usable_pairs(data, "depth", arguments.limit, failed), _errors(arguments, data)
    if arguments.sharp:
        errors = sharp_depth_errors(head, encoder, asked, arguments.size, arguments.sharp, errors)
    else:
        errors = depth_errors(head, encoded(encoder, asked, arguments.size), errors)
    if arguments.save:
        head.figures = errors.figures()
        head.save(arguments.save)
    about = {"encoder": name, "train": train.name, "train_images": head.images_, "size": arguments.size}
    about |= {"sharp": arguments.sharp} if arguments.sharp else {}
    return {**about, **_figures(data, errors), **computed(encoder)}


def _answered(arguments: Namespace, name: str, data: TruthSource, failed: list[Failure]) -> Mapping[str, object]:
    import torch

    from dinoclip_viz.tasks.probes.depth import aligned

    model, errors = depth_model_of(arguments, name), _errors(arguments, data)
    for image, truth in usable_pairs(data, "depth", arguments.limit, failed):
        found = model(image)
        if not model.metric:
            found = aligned(found, truth, errors.counted(torch.from_numpy(truth)))
        errors.add(found, truth)
    return {"model": name, "aligned": not model.metric, **_figures(data, errors), **computed(model)}


def _errors(arguments: Namespace, data: TruthSource) -> DepthErrors:
    from dinoclip_viz.tasks.probes.depth import EIGEN_CROP, DepthErrors

    low, high = data.depth_range
    return DepthErrors(low, high, EIGEN_CROP if arguments.crop == "eigen" else None)


def _figures(data: TruthSource, errors: DepthErrors) -> Mapping[str, object]:
    about = {"data": data.name, "low": errors.low, "high": errors.high}
    return {**about, "images": errors.images, **errors.figures()}


def _text(results: Sequence[Mapping[str, object]], size: int) -> str:
    first = results[0]
    head = f"depth above {first['low']:g} m and up to {first['high']:g} m, measured on {first['data']}"
    rows = [["by", *MEASURES.values()]]
    for row in results:
        by = f"{row['model']}{', scale and shift from the truth' if row['aligned'] else ''}" if "model" in row else (
            f"linear on {row['encoder']} at {size} px"
        )  # fmt: skip
        rows.append([by, *(_shown(name, row[name]) for name in MEASURES)])
    return f"{head}\n{table(rows)}"


def _shown(name: str, value: object) -> str:
    if not isinstance(value, float):
        return ""
    return f"{100 * value:.1f}" if name == "delta1" else f"{value:.3f}"
