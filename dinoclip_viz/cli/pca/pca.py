"""`dinoclip pca`: the colours of patches, the same for every image of a basis."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, check_some
from dinoclip_viz.cli.loading import encoder_of
from dinoclip_viz.cli.parser import (
    ANIMATION_FILES,
    IMAGE_FILES,
    add_device,
    add_levels,
    add_sharp,
    image_or_animation_file,
    output_file,
    whole_number,
)
from dinoclip_viz.cli.pca.basis import (
    PARTS,
    basis_of,
    fraction_of_each,
    parts_of,
    summary_of,
    write_basis,
    write_legend,
)
from dinoclip_viz.cli.pca.sharp import sharp_colours, sharp_labels
from dinoclip_viz.disk import replacing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image
    from torch import Tensor

    from dinoclip_viz.tasks.pca.patch_pca import PatchPCA


SUMMARY = "colour the patches of images by their principal components"


SHOWN = 384  # least longer side in pixels of an image in the result


MOST_STILL = 64  # images on a sheet


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="file, http(s) address, folder of images, animated GIF or video"
    )
    parser.add_argument(
        "--out", required=True, type=image_or_animation_file, metavar="FILE",
        help="image to write; a name in .gif or .mp4 writes an animation, every frame in the same colours",
    )  # fmt: skip
    basis = parser.add_mutually_exclusive_group()
    basis.add_argument("--save-basis", type=output_file, metavar="FILE", help="write the fitted basis for other runs")
    basis.add_argument("--basis", metavar="FILE", help="use a saved basis: the same colours as in that run")
    parser.add_argument("--fit", metavar="STORE", help="fit the basis on all patches that a store keeps")
    parser.add_argument("--encoder", metavar="NAME", default="playground-dino", help="vision encoder (%(default)s)")
    parser.add_argument("--size", type=whole_number, metavar="PX", help="longer side at which images are encoded")
    parser.add_argument(
        "--subject", choices=("all", "foreground"), default="all", help="what the colours are fitted on (%(default)s)"
    )
    parser.add_argument("--flip", action="store_true", help="exchange foreground and background")
    segments = parser.add_mutually_exclusive_group()
    segments.add_argument("--segments", type=whole_number, metavar="K", help="draw K segments by k-means instead")
    segments.add_argument("--spectral", type=whole_number, metavar="K", help="the same by normalised cuts")
    parser.add_argument(
        "--legend", type=legend_file, metavar="FILE",
        help="write what the colours stand for: the parts that the foreground falls into; .json or an image",
    )  # fmt: skip
    parser.add_argument("--parts", type=whole_number, metavar="K", help=f"parts in the legend ({PARTS})")
    parser.add_argument("--names", metavar="A,B,C", help="names of the parts, the largest first")
    parser.add_argument("--every", type=whole_number, metavar="N", help="animation: take every N-th frame (1)")
    parser.add_argument("--frames", type=whole_number, metavar="N", help="animation: at most so many frames (300)")
    parser.add_argument("--seconds", type=float, metavar="S", help="animation: how long a frame stays (as it came)")
    add_sharp(parser)
    add_levels(parser)
    add_device(parser)


def run(arguments: Namespace) -> Answer:
    """Explained variance and each image's fraction of foreground; the image is written."""
    _check(arguments)
    if arguments.out.suffix.lower() in ANIMATION_FILES:
        from dinoclip_viz.cli.pca.animation import animate

        return animate(arguments)
    from dinoclip_viz.cli.pca.sources import stills

    pca, store = basis_of(arguments)
    names, images, failed = stills(arguments.images, MOST_STILL, arguments.levels)
    check_some(len(names), failed)
    features = encoder_of(arguments, arguments.encoder, store).encode_each(images, arguments.size, "whole")
    if not hasattr(pca, "space_"):
        pca.fit(features)
    fronts = pca.foreground(features)
    shares = [float(front.float().mean()) for front in fronts]
    result: dict[str, object] = {}
    count = arguments.segments or arguments.spectral
    if count:
        from dinoclip_viz.tasks.pca.segments import kmeans_segments, spectral_segments

        labels = (kmeans_segments if arguments.segments else spectral_segments)(features, count)
        result["segments"] = [fraction_of_each(each[0], count) for each in labels]
        sheet = _draw_segments(names, images, labels, count, arguments.sharp)
    else:
        sheet = _draw(names, images, pca, pca.transform(features), fronts, arguments.sharp)
    if arguments.sharp:
        result["sharp"] = arguments.sharp
    found = parts_of(arguments, pca, features)
    write_basis(arguments, pca)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(arguments.out) as aside:
        sheet.save(aside)
    write_legend(arguments, found, images)
    return summary_of(arguments, pca, names, shares, failed, found, result)


def legend_file(text: str) -> Path:
    """The path of a legend to write."""
    from argparse import ArgumentTypeError

    path = output_file(text)
    if path.suffix.lower() not in (".json", *IMAGE_FILES):
        expected = ", ".join((".json", *IMAGE_FILES))
        raise ArgumentTypeError(f"{text!r} is no legend; expected a name in {expected}")
    return path


def _check(arguments: Namespace) -> None:
    """Nothing, if the options go together.

    Raises:
        ValueError: they do not.
    """
    animated = arguments.out.suffix.lower() in ANIMATION_FILES
    if arguments.basis and (arguments.flip or arguments.subject != "all" or arguments.fit):
        raise ValueError("--flip, --subject and --fit belong to a fit, but --basis is fitted already; omit one of them")
    if (arguments.names or arguments.parts) and not arguments.legend:
        raise ValueError("--names and --parts belong to a legend; add --legend FILE, or omit them")
    if not animated and (arguments.every or arguments.frames or arguments.seconds is not None):
        endings = " or ".join(ANIMATION_FILES)
        raise ValueError(
            f"--every, --frames and --seconds belong to an animation, but --out is {arguments.out}; "
            f"expected a name in {endings}"
        )
    if animated and arguments.spectral:
        raise ValueError("--spectral cuts all patches at once, which no animation can wait for; use --segments K")


def _draw(
    names: Sequence[str],
    images: Sequence[Image.Image],
    pca: PatchPCA,
    colours: Sequence[Tensor],
    fronts: Sequence[Tensor],
    sharp: str | None,
) -> Image.Image:
    """Each image next to its colours, with what the colours mean below."""
    from dinoclip_viz.tasks.pca.colours import component_strips
    from dinoclip_viz.viz import component_legend, enlarge, pca_image, with_legend

    cells: list[Image.Image] = []
    for image, colour, front in zip(images, colours, fronts, strict=True):
        shown_image = enlarge(image, SHOWN, smooth=True)
        shown = front[0] if pca.subject == "foreground" else None
        values, shown = sharp_colours(image, colour[0], shown, sharp) if sharp else (colour[0], shown)
        mask = None if shown is None else shown.numpy()
        cells += [shown_image, pca_image(values.numpy(), shown_image.size, foreground=mask)]
    sheet = _sheet(names, cells, "sharp" if sharp else "patches")
    channels = [f"component {index}" for index in (1, 2, 3)]
    note = "similar colours mean similar features, in all images of this basis"
    return with_legend(
        sheet, component_legend(channels, component_strips(pca.colours), note, width=max(sheet.width, 96))
    )


def _draw_segments(
    names: Sequence[str], images: Sequence[Image.Image], labels: Sequence[Tensor], count: int, sharp: str | None
) -> Image.Image:
    """Each image next to its segments."""
    from dinoclip_viz.viz import class_legend, class_palette, enlarge, mask_overlay, with_legend

    palette = class_palette(count)
    cells: list[Image.Image] = []
    for image, label in zip(images, labels, strict=True):
        shown_image = enlarge(image, SHOWN, smooth=True)
        segments = sharp_labels(image, label[0], sharp) if sharp else label[0]
        cells += [shown_image, mask_overlay(shown_image, segments.numpy() + 1, palette, opacity=1)]
    sheet = _sheet(names, cells, "segments")
    words = [f"segment {index + 1}" for index in range(count)]
    return with_legend(sheet, class_legend(words, palette, width=max(sheet.width, 96)))


def _sheet(names: Sequence[str], images: Sequence[Image.Image], title: str) -> Image.Image:
    """Images in pairs, the first of each under its name."""
    from dinoclip_viz.viz import image_grid, side_by_side

    captions = [words for name in names for words in (name.rsplit("/", 1)[-1], title)]
    if len(names) == 1:
        return side_by_side(images, captions, height=min(images[0].height, 1024))
    return image_grid(images, captions, columns=4, cell=SHOWN)
