"""`dinoclip afford`: which part of the objects in an image answers each verb."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.loading import show_device
from dinoclip_viz.cli.parser import SHARP, add_device, add_levels, image_file, output_file, whole_number
from dinoclip_viz.disk import replacing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

SUMMARY = "show which part of an object answers each verb"
MODEL = "playground-affordance"
SHOWN = 384  # least longer side in pixels of an image in the result


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("image", metavar="IMAGE", help="file or http(s) address")
    parser.add_argument(
        "--verb", action="append", nargs="+", required=True, metavar="V", help="such as cut or 'sit on'; repeatable"
    )
    parser.add_argument("--out", required=True, type=image_file, metavar="FIGURE", help="image to write")
    parser.add_argument(
        "--array", type=output_file, metavar="FILE.npy", help="write float32 (verbs, height, width), probabilities"
    )
    parser.add_argument("--model", metavar="NAME", default=MODEL, help="a trained model's name or folder (%(default)s)")
    parser.add_argument("--size", type=whole_number, metavar="PX", help="longer side at which the image is encoded")
    parser.add_argument(
        "--sharp", default=SHARP[0], choices=(*SHARP, "none"),
        help="how maps follow the image's edges; none: bilinear (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--high", type=float, default=1.0, help="probability of the last colour (%(default)s)")
    add_levels(parser)
    add_device(parser)


def run(arguments: Namespace) -> Answer:
    """Highest probability of each verb and its position; the figure and the array are written."""
    import numpy as np

    from dinoclip_viz.affordance.loading import load_affordance
    from dinoclip_viz.images import load_image

    if not 0 < arguments.high <= 1:
        raise ValueError(f"--high is {arguments.high:g}; expected a probability above 0, up to 1")
    verbs = list(dict.fromkeys(verb for some in arguments.verb for verb in some))
    image = load_image(arguments.image, levels=arguments.levels)
    model = load_affordance(arguments.model, arguments.device, arguments.dtype)
    show_device(arguments, arguments.model, {"images": model.encoder, "texts": model.words.encoder})
    maps = model.predict(image, verbs, arguments.size, None if arguments.sharp == "none" else arguments.sharp)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(arguments.out) as aside:
        _draw(image, verbs, maps, arguments.high).save(aside)
    if arguments.array:
        arguments.array.parent.mkdir(parents=True, exist_ok=True)
        with replacing(arguments.array) as aside, aside.open("wb") as file:  # np.save would add .npy to another name
            np.save(file, maps)
    rows = []
    for verb, values in zip(verbs, maps, strict=True):
        y, x = (int(position) for position in np.unravel_index(values.argmax(), values.shape))
        rows.append({"verb": verb, "highest": float(values.max()), "peak": [x, y], "trained": verb in model.verbs})
    lines = [
        [
            str(row["verb"]),
            f"highest {row['highest']:.3f}",
            f"at {row['peak']}",
            "" if row["trained"] else "new verb",
        ]
        for row in rows
    ]
    result = {
        "image": arguments.image, "model": arguments.model, "verbs": rows, "out": str(arguments.out),
        "array": str(arguments.array) if arguments.array else None,
    }  # fmt: skip
    written = " and ".join(str(path) for path in (arguments.out, arguments.array) if path)
    return Answer(result, f"{table(lines)}\nwrote {written}")


def _draw(image: Image.Image, verbs: Sequence[str], maps: NDArray[np.float32], high: float) -> Image.Image:
    """The image, then each verb's map over it, with the one colour scale below."""
    from dinoclip_viz.viz import enlarge, heat_overlay, image_grid, scale_bar, with_legend

    enlarged = enlarge(image, SHOWN, smooth=True)
    overlays = [heat_overlay(enlarged, values, 0, high) for values in maps]
    captions = ["image", *verbs]
    sheet = image_grid([enlarged, *overlays], captions, columns=min(4, len(captions)), cell=SHOWN)
    return with_legend(sheet, scale_bar(0, high, "magma", "probability", width=max(sheet.width, 96)))
