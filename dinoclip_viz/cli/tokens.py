"""`dinoclip tokens`: norms of the patch tokens after every block, artefact tokens, and attention."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.loading import encoder_of
from dinoclip_viz.cli.parser import add_device, add_levels, image_file, whole_number
from dinoclip_viz.disk import replacing

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from dinoclip_viz.encoders.inside import Insides

SUMMARY = "token norms per layer, artefact tokens"
SHOWN = 320  # least longer side in pixels of the image on top
CELL, ATTENTION_CELL = 192, 160  # longer side of a map of norms, and of a head's


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("image", metavar="IMAGE", help="file or http(s) address")
    parser.add_argument("--out", required=True, type=image_file, metavar="FILE", help="image to write")
    parser.add_argument("--encoder", metavar="NAME", default="playground-dino", help="vision transformer (%(default)s)")
    parser.add_argument("--compare-with", metavar="NAME", help="a second one, shown at the side, as one with registers")
    parser.add_argument("--size", type=whole_number, metavar="PX", help="longer side at which the image is encoded")
    parser.add_argument(
        "--attention", action="store_true", help="draw the last block's attention per head, and the rollout"
    )
    parser.add_argument(
        "--scale",
        choices=("shared", "layer"),
        default="shared",
        help="one range of colours for all layers, or each layer its own (%(default)s)",
    )
    parser.add_argument(
        "--ratio", type=float, metavar="R", help="an artefact's norm is above so many times the median; 2.5 by default"
    )
    add_levels(parser)
    add_device(parser)


def run(arguments: Namespace) -> Answer:
    """Norms of each layer and the artefact tokens, with their positions; the image is written."""
    from dinoclip_viz.encoders.inside import look_inside
    from dinoclip_viz.images import load_image
    from dinoclip_viz.tasks.tokens import RATIO, artefact_tokens
    from dinoclip_viz.viz import enlarge, side_by_side, with_legend

    image = load_image(arguments.image, levels=arguments.levels)
    names = [arguments.encoder, *([arguments.compare_with] if arguments.compare_with else [])]
    results, panels = [], []
    for name in names:
        seen = look_inside(encoder_of(arguments, name), [image], arguments.size, attention=arguments.attention)
        found = artefact_tokens(seen.norms[0, -1], RATIO if arguments.ratio is None else arguments.ratio)
        results.append(_result(name, seen, found))
        panels.append(_panel(image, seen, found, arguments.scale))
    sheet = panels[0] if len(panels) == 1 else side_by_side(panels, names)
    sheet = with_legend(enlarge(image, SHOWN, smooth=True), sheet)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(arguments.out) as aside:
        sheet.save(aside)
    first = {"image": arguments.image, **results[0]}
    second = {"compared": results[1]} if len(results) > 1 else {}
    words = "\n\n".join(_words(result) for result in results)
    return Answer({**first, **second, "out": str(arguments.out)}, f"{words}\nwrote {arguments.out}")


def _result(name: str, seen: Insides, found: Tensor) -> dict[str, object]:
    """The summary of one encoder."""
    from dinoclip_viz.tasks.tokens import located, norm_summary

    layers = [asdict(layer) for layer in norm_summary(seen.norms)]
    for layer in layers:
        layer.pop("share_above")
    tokens = [asdict(token) for token in located(seen.norms[0, -1], found, seen.boxes[0])]
    return {
        "encoder": name,
        "grid": list(seen.grid),
        "layers": layers,
        "artefacts": tokens,
        "registers": seen.registers,
    }


def _words(result: dict[str, object]) -> str:
    """The same for people."""
    layers, tokens, grid = result["layers"], result["artefacts"], result["grid"]
    if not (isinstance(layers, list) and isinstance(tokens, list) and isinstance(grid, list)):
        raise TypeError("a result without layers, artefacts and grid")
    keys = ("mean", "median", "min", "max")
    rows = [["layer", *keys], *([str(layer["layer"]), *(f"{layer[key]:.3f}" for key in keys)] for layer in layers)]
    places = [f"row {token['row']}, column {token['column']}: norm {token['norm']:.1f}" for token in tokens]
    counted = f"{len(tokens)} artefact token{'' if len(tokens) == 1 else 's'} of {grid[0] * grid[1]}"
    head = f"{result['encoder']}: {grid[0]} x {grid[1]} patches, {result['registers']} register tokens"
    return "\n".join([head, table(rows), counted + (":" if places else ""), *places])


def _panel(image: Image.Image, seen: Insides, found: Tensor, scale: str) -> Image.Image:
    """Norm maps, histograms and, where it was read, attention, from top to bottom."""
    from dinoclip_viz import viz

    norms, marks = seen.norms[0].numpy(), found.numpy()
    sheet = viz.norm_maps(norms, marks, "layer" if scale == "layer" else "shared", cell=CELL)
    sheet = viz.with_legend(sheet, viz.figure_to_image(viz.norm_histograms(norms, marks)))
    if seen.attention is None or seen.rollout is None:
        return sheet
    heads = seen.attention.shape[1]
    if seen.queries:
        titles = [f"{query}, head {head + 1}" for query in seen.queries for head in range(heads)]
        maps = seen.attention[0].transpose(0, 1).flatten(0, 1).numpy()  # (Q * heads, H, W)
        sheet = viz.with_legend(sheet, viz.attention_maps(image, maps, titles, min(heads, 6), ATTENTION_CELL))
    title = "rollout to CLS" if seen.cls_norms is not None else "rollout, mean over patches: the model has no CLS"
    return viz.with_legend(sheet, viz.attention_maps(image, seen.rollout.numpy(), [title], 1, 2 * ATTENTION_CELL))
