"""`dinoclip heatmap`: where in an image each prompt is, as raw cosines."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.loading import model_of
from dinoclip_viz.cli.parser import add_device, add_levels, add_sharp, image_file, output_file, whole_number
from dinoclip_viz.disk import replacing, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from dinoclip_viz.models import ImageTextModel

SUMMARY = "show where in an image each prompt is"
SHOWN = 384  # least longer side in pixels of an image in the result


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("image", metavar="IMAGE", help="file or http(s) address")
    parser.add_argument(
        "--prompt", action="append", required=True, metavar="TEXT", help="taken as typed; may be repeated"
    )
    parser.add_argument("--out", required=True, type=image_file, metavar="FILE", help="image to write")
    parser.add_argument(
        "--array", type=output_file, metavar="FILE.npy", help="write float32 (prompts, height, width), raw cosines"
    )
    parser.add_argument(
        "--masks",
        type=output_file,
        metavar="FILE.json",
        help="write hard masks: COCO's run lengths, boxes",
    )
    parser.add_argument(
        "--labels",
        type=output_file,
        metavar="FILE.png",
        help="write an image whose pixels are the prompt's number",
    )
    parser.add_argument(
        "--threshold", type=float, metavar="COSINE", help="pixels below it are in no mask; by default all are in one"
    )
    parser.add_argument(
        "--background",
        action="append",
        default=[],
        metavar="TEXT",
        help="pixels most similar to it are in no mask; repeatable",
    )
    parser.add_argument("--method", metavar="M", help="heat-map method; by default the best measured for the model")
    parser.add_argument("--model", metavar="NAME", default="playground", help="image-text model (%(default)s)")
    parser.add_argument("--guide", metavar="NAME", help="a DINO whose patches pool CLIP's")
    parser.add_argument("--dinoiser", metavar="FILE", help="CLIP-DINOiser's trained layers for the model's CLIP")
    parser.add_argument("--size", type=whole_number, metavar="PX", help="longer side at which the image is encoded")
    parser.add_argument(
        "--window",
        type=whole_number,
        metavar="PX",
        help="encode in windows of that side, half overlapping, for large images",
    )
    parser.add_argument("--refine", action="store_true", help="draw the maps to the image's edges (PAMR)")
    parser.add_argument("--low", type=float, help="cosine of the first colour; by default the lowest of all prompts")
    parser.add_argument("--high", type=float, help="cosine of the last colour; by default the highest of all prompts")
    add_sharp(parser)
    add_levels(parser)
    add_device(parser)


def run(arguments: Namespace) -> Answer:
    """Range and peak of each prompt's map; the image and the array are written."""
    import numpy as np

    from dinoclip_viz.images import load_image

    _check_masks(arguments)
    if arguments.sharp and arguments.window:
        raise ValueError("--sharp is for one pass, but --window encodes in several; omit one of them")
    image = load_image(arguments.image, levels=arguments.levels)
    model = model_of(arguments, arguments.model, arguments.guide, arguments.dinoiser)
    method = model.check_method(arguments.method)
    asked = [*arguments.prompt, *arguments.background]
    every = _maps(arguments, model, image, asked, method)
    maps = every[: len(arguments.prompt)]
    low, high = _range(maps, arguments.low, arguments.high)
    shares = _write_masks(arguments, every, method)
    drawn = _draw(image, arguments.prompt, maps, low, high)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(arguments.out) as aside:
        drawn.save(aside)
    if arguments.array:
        arguments.array.parent.mkdir(parents=True, exist_ok=True)
        with replacing(arguments.array) as aside, aside.open("wb") as file:  # np.save would add .npy to another name
            np.save(file, maps.astype(np.float32, copy=False))
    rows: list[dict[str, object]] = []
    for prompt, values in zip(arguments.prompt, maps, strict=True):
        y, x = (int(place) for place in np.unravel_index(values.argmax(), values.shape))
        rows.append({"prompt": prompt, "lowest": float(values.min()), "highest": float(values.max()), "peak": [x, y]})
        rows[-1] |= {"share": shares[prompt]} if prompt in shares else {}
    lines = [
        [str(row["prompt"]), f"{row['lowest']:.3f} to {row['highest']:.3f}", f"peak {row['peak']}"]
        + ([f"mask {row['share']:.1%}"] if "share" in row else [])
        for row in rows
    ]
    written = [str(path) for path in (arguments.out, arguments.array, arguments.masks, arguments.labels) if path]
    result = {
        "image": arguments.image,
        "method": method,
        "prompts": rows,
        "low": low,
        "high": high,
        "out": str(arguments.out),
        "array": str(arguments.array) if arguments.array else None,
    }
    result |= {"sharp": arguments.sharp} if arguments.sharp else {}
    result |= {name: str(path) for name, path in (("masks", arguments.masks), ("labels", arguments.labels)) if path}
    return Answer(result, f"{table(lines)}\n{method}\nwrote {' and '.join(written)}")


def _maps(
    arguments: Namespace, model: ImageTextModel, image: Image.Image, asked: Sequence[str], method: str
) -> NDArray[np.float32]:
    """(prompts, height, width) cosines, in one pass or in windows, drawn to the image's edges if that is wanted."""
    from dinoclip_viz.dense import refine
    from dinoclip_viz.tasks.open_vocabulary.heatmap import heatmap
    from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary, vocabulary_vectors
    from dinoclip_viz.tasks.open_vocabulary.windows import window_scores

    if arguments.window is None:
        maps = heatmap(model, image, asked, method, arguments.size, sharp=arguments.sharp)
    else:
        once = list(dict.fromkeys(asked))
        words = vocabulary_vectors(model, Vocabulary(tuple(once), tuple((text,) for text in once)), method)
        stride = max(1, arguments.window // 2)
        scores = window_scores(model, image, words, method, arguments.size, arguments.window, stride)
        maps = scores[[once.index(text) for text in asked]]
    found: NDArray[np.float32] = (refine(maps, image) if arguments.refine else maps).numpy()
    return found


def _check_masks(arguments: Namespace) -> None:
    """Nothing, if the options of masks come with a file for them."""
    import math

    if arguments.masks or arguments.labels:
        if arguments.threshold is not None and not math.isfinite(arguments.threshold):
            raise ValueError(f"--threshold is {arguments.threshold}; expected a cosine, -1 to 1")
        return
    for name in ("threshold", "background"):
        if getattr(arguments, name) not in (None, []):
            raise ValueError(f"--{name} is for hard masks; name a file for them with --masks or --labels")


def _write_masks(arguments: Namespace, maps: NDArray[np.float32], method: str) -> dict[str, float]:
    """Prompt -> fraction of the image that its mask covers, the files written; nothing where no file is named."""
    if not (arguments.masks or arguments.labels):
        return {}
    import json

    import torch

    from dinoclip_viz.tasks.open_vocabulary.masks import label_image, mask_record
    from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary, areas, hard_labels
    from dinoclip_viz.viz import class_palette

    asked = [*arguments.prompt, *arguments.background]
    names = tuple(dict.fromkeys(asked))  # a prompt that repeats is one class
    background = frozenset(arguments.background) - set(arguments.prompt)
    vocabulary = Vocabulary(names, tuple((name,) for name in names), background)
    scores = torch.from_numpy(maps[[asked.index(name) for name in names]])
    behind = [number for number, name in enumerate(names) if name in background]
    labels = hard_labels(scores, arguments.threshold, behind)
    kept = len(names) - len(behind)
    if arguments.labels:
        arguments.labels.parent.mkdir(parents=True, exist_ok=True)
        with replacing(arguments.labels) as aside:
            label_image(labels.numpy(), class_palette(kept).tolist()).save(aside, format="PNG")
    if arguments.masks:
        arguments.masks.parent.mkdir(parents=True, exist_ok=True)
        record = mask_record(labels.numpy(), vocabulary, method, arguments.threshold)
        write_text(arguments.masks, json.dumps(record, ensure_ascii=False))
    return dict(zip(names[:kept], areas(labels, len(names)), strict=False))


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
    """The image, then each prompt's map over it, with the one colour scale below."""
    from dinoclip_viz.viz import enlarge, heat_overlay, image_grid, scale_bar, with_legend

    enlarged = enlarge(image, SHOWN, smooth=True)
    overlays = [heat_overlay(enlarged, values, low, high) for values in maps]
    captions = ["image", *prompts]
    sheet = image_grid([enlarged, *overlays], captions, columns=min(4, len(captions)), cell=SHOWN)
    return with_legend(sheet, scale_bar(low, high, "magma", "cosine similarity, raw", width=max(sheet.width, 96)))
