"""`dinoclip heatmap`: where in a picture each prompt is, as raw cosines."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.parser import output_file, picture_file, whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

SUMMARY = "show where in a picture each prompt is"
SHOWN = 384  # least longer side in pixels of a picture in the result


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("image", metavar="IMAGE", help="file or http(s) address")
    parser.add_argument(
        "--prompt", action="append", required=True, metavar="TEXT", help="taken as typed; may be repeated"
    )
    parser.add_argument("--out", required=True, type=picture_file, metavar="FILE", help="picture to write")
    parser.add_argument(
        "--array", type=output_file, metavar="FILE.npy", help="write float32 (prompts, height, width), raw cosines"
    )
    parser.add_argument("--method", metavar="M", help="heat-map method; by default the best measured for the model")
    parser.add_argument("--model", metavar="NAME", default="playground", help="image-text model (%(default)s)")
    parser.add_argument("--guide", metavar="NAME", help="a DINO whose patches pool CLIP's")
    parser.add_argument("--size", type=whole_number, metavar="PX", help="longer side at which the picture is encoded")
    parser.add_argument("--low", type=float, help="cosine of the first colour; by default the lowest of all prompts")
    parser.add_argument("--high", type=float, help="cosine of the last colour; by default the highest of all prompts")


def run(arguments: Namespace) -> Answer:
    """Range and peak of each prompt's map; the picture and the array are written."""
    import numpy as np

    from dinoclip_viz.images import load_image
    from dinoclip_viz.models import load_model
    from dinoclip_viz.tasks.heatmap import heatmap

    image = load_image(arguments.image)
    model = load_model(arguments.model, arguments.guide)
    method = model.check_method(arguments.method)
    maps: NDArray[np.float32] = heatmap(model, image, arguments.prompt, method, arguments.size).numpy()
    low, high = _range(maps, arguments.low, arguments.high)
    drawn = _draw(image, arguments.prompt, maps, low, high)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    drawn.save(arguments.out)
    if arguments.array:
        arguments.array.parent.mkdir(parents=True, exist_ok=True)
        with open(arguments.array, "wb") as file:  # np.save would add .npy to another name
            np.save(file, maps.astype(np.float32, copy=False))
    rows = []
    for prompt, values in zip(arguments.prompt, maps, strict=True):
        y, x = (int(place) for place in np.unravel_index(values.argmax(), values.shape))
        rows.append({"prompt": prompt, "lowest": float(values.min()), "highest": float(values.max()), "peak": [x, y]})
    lines = [
        [str(row["prompt"]), f"{row['lowest']:.3f} to {row['highest']:.3f}", f"peak {row['peak']}"] for row in rows
    ]
    written = [str(path) for path in (arguments.out, arguments.array) if path]
    result = {
        "image": arguments.image,
        "method": method,
        "prompts": rows,
        "low": low,
        "high": high,
        "out": str(arguments.out),
        "array": str(arguments.array) if arguments.array else None,
    }
    return Answer(result, f"{table(lines)}\n{method}\nwrote {' and '.join(written)}")


def _range(maps: NDArray[np.float32], low: float | None, high: float | None) -> tuple[float, float]:
    """The ends of the colour scale, one for all prompts."""
    lowest, highest = float(maps.min()), float(maps.max())
    first = lowest if low is None else low
    last = max(highest, first + 0.01) if high is None else high  # a flat map still needs a scale
    if not first < last:
        raise ValueError(
            f"--low {first:g} is not below --high {last:g}; the cosines are {lowest:.3f} to {highest:.3f}: "
            "give ends around them"
        )
    return first, last


def _draw(
    image: Image.Image, prompts: Sequence[str], maps: NDArray[np.float32], low: float, high: float
) -> Image.Image:
    """The picture, then each prompt's map over it, with the one colour scale below."""
    from dinoclip_viz.viz import enlarge, heat_overlay, picture_grid, scale_bar, with_legend

    picture = enlarge(image, SHOWN, smooth=True)
    overlays = [heat_overlay(picture, values, low, high) for values in maps]
    captions = ["picture", *prompts]
    sheet = picture_grid([picture, *overlays], captions, columns=min(4, len(captions)), cell=SHOWN)
    return with_legend(sheet, scale_bar(low, high, "magma", "cosine similarity, raw", width=max(sheet.width, 96)))
