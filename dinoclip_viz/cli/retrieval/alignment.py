"""`dinoclip evaluate alignment`: how similar two encoders' features of the same images are."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.parser import whole_number

SUMMARY = "measure how similar two encoders' features of the same images are"


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--images", required=True, metavar="STORE", help="features of one encoder")
    parser.add_argument("--targets", required=True, metavar="STORE", help="another's, of the same images")
    parser.add_argument("-k", type=whole_number, default=10, metavar="K", help="neighbours (%(default)s)")


def run(arguments: Namespace) -> Answer:
    """CKA and shared neighbours of the targets with both kinds of the images' vectors; the gap to the captions."""
    from dinoclip_viz.cli.retrieval.inputs import check_same_images
    from dinoclip_viz.store import FeatureStore
    from dinoclip_viz.tasks.retrieval.alignment import linear_cka, modality_gap, mutual_neighbours

    images, targets = FeatureStore.open(arguments.images), FeatureStore.open(arguments.targets)
    check_same_images(images, targets)
    result: dict[str, object] = {
        "images": images.settings.encoder,
        "targets": targets.settings.encoder,
        "count": len(images),
        "k": arguments.k,
        "dtypes": [images.settings.dtype, targets.settings.dtype],
    }
    lines = [
        ["images", str(len(images))],
        ["mutual neighbours by chance", f"{arguments.k / max(len(images) - 1, 1):.4f}"],
    ]
    for name, vectors in (("pooled", images.pooled), ("mean", images.mean)):
        if vectors is None:
            continue
        values = {
            "linear_cka": linear_cka(vectors, targets.pooled),
            "mutual_neighbours": mutual_neighbours(vectors, targets.pooled, arguments.k),
        }
        result[name] = values
        lines += [[f"{name}, {key.replace('_', ' ')}", f"{value:.4f}"] for key, value in values.items()]
    if targets.texts is not None and targets.text_to_image is not None and targets.text_space == targets.space:
        gap = modality_gap(targets.pooled, targets.texts, targets.text_to_image)
        result["modality_gap"] = {"distance": gap.distance, "paired_cosine": gap.paired_cosine}
        lines += [["modality gap", f"{gap.distance:.4f}"], ["paired cosine", f"{gap.paired_cosine:.4f}"]]
    return Answer(result, table(lines))
