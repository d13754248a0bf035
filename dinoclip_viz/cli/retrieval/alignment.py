"""`dinoclip evaluate alignment`: how similar encoders' features of the same images and captions are."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, table
from dinoclip_viz.cli.parser import whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dinoclip_viz.store import FeatureStore
    from dinoclip_viz.tasks.retrieval.pairing import PairScore

SUMMARY = "measure how similar encoders' features of the same images are, and which image and text encoders fit"
_HEADER = ("rank", "images", "features", "texts", "debiased CKA", "95 % interval", "CKA", "mutual neighbours")


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument(
        "stores", nargs="*", metavar="STORE", help="stores of the same images: every image and text encoder is compared"
    )
    parser.add_argument("--images", metavar="STORE", help="features of one encoder, with --targets in place of STORE")
    parser.add_argument("--targets", metavar="STORE", help="another's, of the same images")
    parser.add_argument("-k", type=whole_number, metavar="K", help="neighbours (2 N^(1/3); 10 with --images)")
    parser.add_argument(
        "--limit",
        type=whole_number,
        default=5000,
        metavar="N",
        help="images of which STOREs are compared (%(default)s)",
    )


def run(arguments: Namespace) -> Answer:
    """CKA and mutual neighbours: of every image and text encoder of some stores, ranked, or of two image encoders."""
    if bool(arguments.images) != bool(arguments.targets):
        raise ValueError("--images and --targets go together; expected both stores, or STORE... alone")
    if bool(arguments.images) == bool(arguments.stores):
        raise ValueError("expected STORE..., or --images and --targets in place of them")
    return _two(arguments) if arguments.images else _every(arguments)


def opened_stores(paths: Sequence[str]) -> list[FeatureStore]:
    """The stores at some paths, each a store or a folder of several.

    Raises:
        ValueError: a store is missing, or two of them hold different images.
    """
    from dinoclip_viz.cli.retrieval.inputs import check_same_images
    from dinoclip_viz.store import FeatureStore, store_folders

    stores = [FeatureStore.open(folder) for path in paths for folder in store_folders(path) or [Path(path)]]
    for store in stores[1:]:
        check_same_images(stores[0], store)
    return stores


def described_pairs(scores: Sequence[PairScore]) -> list[dict[str, object]]:
    """The scores as JSON values."""
    return [
        {
            "rank": one.rank, "images": one.images.settings.encoder, "column": one.column,
            "texts": one.texts.settings.texts, "linear_cka": one.cka, "debiased_cka": one.debiased_cka,
            "interval": [one.low, one.high], "mutual_neighbours": one.mutual_neighbours,
            "stores": [str(one.images.path), str(one.texts.path)],
        }
        for one in scores
    ]  # fmt: skip


def _every(arguments: Namespace) -> Answer:
    from dinoclip_viz.tasks.retrieval.pairing import rank_pairs

    stores = opened_stores(arguments.stores)
    scores = rank_pairs(stores, arguments.limit, arguments.k)
    lines = [list(_HEADER)]
    for one in scores:
        interval = f"{one.low:.4f} to {one.high:.4f}"
        names = [one.images.settings.encoder, one.column, one.texts.settings.texts]
        numbers = [f"{one.debiased_cka:.4f}", interval, f"{one.cka:.4f}", f"{one.mutual_neighbours:.4f}"]
        lines.append([str(one.rank), *names, *numbers])
    result = {"pairs": described_pairs(scores), "images": min(len(stores[0]), arguments.limit)}
    return Answer(result, table(lines))


def _two(arguments: Namespace) -> Answer:
    """CKA and shared neighbours of the targets with both kinds of the images' vectors; the gap to the captions."""
    from dinoclip_viz.cli.retrieval.inputs import check_same_images
    from dinoclip_viz.store import FeatureStore
    from dinoclip_viz.tasks.retrieval.alignment import linear_cka, modality_gap, mutual_neighbours

    images, targets = FeatureStore.open(arguments.images), FeatureStore.open(arguments.targets)
    check_same_images(images, targets)
    k = arguments.k or 10
    result: dict[str, object] = {
        "images": images.settings.encoder,
        "targets": targets.settings.encoder,
        "count": len(images),
        "k": k,
        "dtypes": [images.settings.dtype, targets.settings.dtype],
    }
    lines = [
        ["images", str(len(images))],
        ["mutual neighbours by chance", f"{k / max(len(images) - 1, 1):.4f}"],
    ]
    for name, vectors in (("pooled", images.pooled), ("mean", images.mean)):
        if vectors is None:
            continue
        values = {
            "linear_cka": linear_cka(vectors, targets.pooled),
            "mutual_neighbours": mutual_neighbours(vectors, targets.pooled, k),
        }
        result[name] = values
        lines += [[f"{name}, {key.replace('_', ' ')}", f"{value:.4f}"] for key, value in values.items()]
    if targets.texts is not None and targets.text_to_image is not None and targets.text_space == targets.space:
        gap = modality_gap(targets.pooled, targets.texts, targets.text_to_image)
        result["modality_gap"] = {"distance": gap.distance, "paired_cosine": gap.paired_cosine}
        lines += [["modality gap", f"{gap.distance:.4f}"], ["paired cosine", f"{gap.paired_cosine:.4f}"]]
    return Answer(result, table(lines))
