"""`dinoclip match`: corresponding positions of two images."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer
from dinoclip_viz.cli.loading import encoder_of
from dinoclip_viz.cli.parser import add_device, add_levels, add_sharp, image_file, whole_number
from dinoclip_viz.disk import replacing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from dinoclip_viz.encoders.base import ImageFeatures

SUMMARY = "find corresponding positions of two images"
HEIGHT = 512  # in pixels, of each image in the result


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("first", metavar="A", help="file or http(s) address")
    parser.add_argument("second", metavar="B", help="likewise")
    parser.add_argument("--out", required=True, type=image_file, metavar="FILE", help="image to write")
    parser.add_argument("--encoder", metavar="NAME", default="playground-dino", help="vision encoder (%(default)s)")
    parser.add_argument("--count", type=whole_number, default=30, metavar="N", help="best matches (%(default)s)")
    parser.add_argument("--size", type=whole_number, metavar="PX", help="longer side at which images are encoded")
    parser.add_argument("--debias", type=whole_number, metavar="K", help="take K directions of position out first")
    parser.add_argument("--all", action="store_true", help="match all patches, not the foreground alone")
    parser.add_argument("--dense", action="store_true", help="draw the patches of both in common PCA colours below")
    add_sharp(parser, "maps of --dense")
    add_levels(parser)
    add_device(parser)


def run(arguments: Namespace) -> Answer:
    """The matches' positions and cosines, best first; the image is written."""
    from dinoclip_viz.images import load_image
    from dinoclip_viz.tasks.correspondence.match import encoded, match_features
    from dinoclip_viz.viz import match_image, side_by_side, with_legend

    if arguments.sharp and not arguments.dense:
        raise ValueError("--sharp draws the maps of --dense; add --dense, or omit it")
    images = [load_image(source, levels=arguments.levels) for source in (arguments.first, arguments.second)]
    encoder = encoder_of(arguments, arguments.encoder)
    a, b = encoded(encoder, images[0], images[1], arguments.size, arguments.debias)
    found = match_features(a, b, arguments.count, not arguments.all)
    names = [source.rsplit("/", 1)[-1] for source in (arguments.first, arguments.second)]
    note = "one colour per position: hue from left to right, lightness from top to bottom of the first image"
    image = match_image(images[0], images[1], found.a, found.b, names, HEIGHT, note)
    result: dict[str, object] = {
        "a": found.a.tolist(),
        "b": found.b.tolist(),
        "similarity": found.similarity.tolist(),
        "asked": arguments.count,
        "compared": list(found.compared),
        "images": [arguments.first, arguments.second],
        "encoder": arguments.encoder,
        "out": str(arguments.out),
    }
    if arguments.dense:
        colours, variance = _dense(a, b, images, arguments.sharp)
        titles = [f"{'features' if arguments.sharp else 'patches'} of {name}, common colours" for name in names]
        image = with_legend(image, side_by_side(colours, titles, max(16, HEIGHT // 16), HEIGHT))
        result["explained_variance"] = variance
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(arguments.out) as aside:
        image.save(aside)
    lines = [f"{len(found)} matches of {found.compared[0]} and {found.compared[1]} patches"]
    if len(found):
        best, worst = found.similarity[0].item(), found.similarity[-1].item()
        lines[0] += f", cosines from {best:.3f} to {worst:.3f}"
    if found.shortfall:
        result["shortfall"] = found.shortfall
        lines.append(found.shortfall)
    return Answer(result, "\n".join([*lines, f"wrote {arguments.out}"]))


def _dense(
    a: ImageFeatures, b: ImageFeatures, given: Sequence[Image.Image], sharp: str | None
) -> tuple[list[Image.Image], list[float]]:
    """The patches of both as images in common colours, and the fraction of variance of each component."""
    from dinoclip_viz.tasks.correspondence.colours import dense_colours
    from dinoclip_viz.tasks.upsampling import upsample_part
    from dinoclip_viz.viz import pca_image

    colours, _, pca = dense_colours(a, b)
    images = []
    for part, each, image in zip((a, b), colours, given, strict=True):
        width, height = (round(side) for side in (part.boxes[0, 2:] - part.boxes[0, :2]).tolist())
        size = max(1, round(width * HEIGHT / height)), HEIGHT
        if sharp:
            each = upsample_part(each, image, part.boxes[0].tolist(), (size[1], size[0]), sharp)  # noqa: PLW2901
        images.append(pca_image(each.numpy(), size))
    return images, pca.explained_variance_.tolist()
