"""`dinoclip pca`: the colours of patches, the same for every picture of a basis."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, check_some, open_images, table
from dinoclip_viz.cli.parser import output_file, picture_file, whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image
    from torch import Tensor

    from dinoclip_viz.tasks.pca import PatchPCA

SUMMARY = "colour the patches of pictures by their principal components"
SHOWN = 384  # least longer side in pixels of a picture in the result


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="file or http(s) address")
    parser.add_argument("--out", required=True, type=picture_file, metavar="FILE", help="picture to write")
    basis = parser.add_mutually_exclusive_group()
    basis.add_argument("--save-basis", type=output_file, metavar="FILE", help="write the fitted basis for other runs")
    basis.add_argument("--basis", metavar="FILE", help="use a saved basis: the same colours as in that run")
    parser.add_argument("--encoder", metavar="NAME", default="playground-dino", help="vision encoder (%(default)s)")
    parser.add_argument("--size", type=whole_number, metavar="PX", help="longer side at which pictures are encoded")
    parser.add_argument(
        "--subject", choices=("all", "foreground"), default="all", help="what the colours are fitted on (%(default)s)"
    )
    parser.add_argument("--flip", action="store_true", help="exchange foreground and background")


def run(arguments: Namespace) -> Answer:
    """Explained variance and each picture's share of foreground; the picture is written."""
    from dinoclip_viz.encoders import load_encoder
    from dinoclip_viz.tasks.pca import PatchPCA

    if arguments.basis and (arguments.flip or arguments.subject != "all"):
        raise ValueError("--flip and --subject belong to a fit, but --basis is fitted already; leave out one of them")
    pca = PatchPCA.load(arguments.basis) if arguments.basis else PatchPCA(3, arguments.subject, arguments.flip)
    if pca.components != 3:
        raise ValueError(f"{arguments.basis} has {pca.components} components; expected 3, which make a colour")
    names, images, failed = open_images(arguments.images)
    check_some(len(names), failed)
    features = load_encoder(arguments.encoder).encode_each(images, arguments.size, "whole")
    if not arguments.basis:
        pca.fit(features)
    fronts = pca.foreground(features)
    shares = [float(front.float().mean()) for front in fronts]
    if arguments.save_basis:
        arguments.save_basis.parent.mkdir(parents=True, exist_ok=True)
        pca.save(arguments.save_basis)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    _draw(names, images, pca, pca.transform(features), fronts).save(arguments.out)
    variance = pca.explained_variance_.tolist()
    lines = [[name, f"foreground {share:.1%}"] for name, share in zip(names, shares, strict=True)]
    explained = ", ".join(f"{share:.1%}" for share in variance)
    return Answer(
        {"explained_variance": variance, "foreground": shares, "images": names, "out": str(arguments.out)},
        f"{table(lines)}\nexplained variance {explained}\nwrote {arguments.out}",
        failed,
    )


def _draw(
    names: Sequence[str],
    images: Sequence[Image.Image],
    pca: PatchPCA,
    colours: Sequence[Tensor],
    fronts: Sequence[Tensor],
) -> Image.Image:
    """Each picture beside its colours, with what the colours mean below."""
    from dinoclip_viz.viz import enlarge, pca_picture, picture_grid, rgb_legend, side_by_side, with_legend

    pictures: list[Image.Image] = []
    captions: list[str] = []
    for name, image, colour, front in zip(names, images, colours, fronts, strict=True):
        picture = enlarge(image, SHOWN, smooth=True)
        shown = front[0].numpy() if pca.subject == "foreground" else None
        pictures += [picture, pca_picture(colour[0].numpy(), picture.size, foreground=shown)]
        captions += [name.rsplit("/", 1)[-1], "patches"]
    if len(images) == 1:
        sheet = side_by_side(pictures, captions, height=min(pictures[0].height, 1024))
    else:
        sheet = picture_grid(pictures, captions, columns=4, cell=SHOWN)
    channels = [f"component {index}" for index in (1, 2, 3)]
    note = "close colours mean alike features, in all pictures of this basis"
    return with_legend(sheet, rgb_legend(channels, note, width=max(sheet.width, 96)))
