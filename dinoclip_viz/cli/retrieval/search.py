"""`dinoclip search`: the images of a store nearest to a text, an image or some examples."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, check_some, open_images, table
from dinoclip_viz.cli.loading import encoder_of, model_of
from dinoclip_viz.cli.parser import add_device, add_levels, image_file, whole_number
from dinoclip_viz.disk import replacing

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from dinoclip_viz.encoders.base import ImageEncoder
    from dinoclip_viz.models import ImageTextModel
    from dinoclip_viz.store import FeatureStore
    from dinoclip_viz.tasks.retrieval.search import Hit
    from dinoclip_viz.tasks.retrieval.vectors import Rows

SUMMARY = "find the images of a store nearest to a text, an image or some examples"
AT_ONCE = 8  # images in memory at a time: one may have 40 megapixels


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("store", metavar="STORE", help="folder that `dinoclip embed` or clip-retrieval wrote")
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument("--text", metavar="T", help="words, as typed")
    query.add_argument("--image", metavar="FILE", help="an image's file or http(s) address")
    query.add_argument("--like", metavar="FOLDER", help="images; the images nearest to any of them are returned")
    parser.add_argument("-k", type=whole_number, default=10, metavar="K", help="how many, at most all (%(default)s)")
    parser.add_argument(
        "--model", metavar="NAME", help="image-text model; default for --text: the one that fits the store"
    )
    parser.add_argument("--encoder", metavar="NAME", help="encoder to search by, where STORE holds several stores")
    parser.add_argument(
        "--ann", action="store_true", help="search with FAISS and report its recall (needs the extra ann)"
    )
    parser.add_argument(
        "--index", choices=["lance"], help="search an index on disk, built at first use; for more vectors than memory"
    )
    parser.add_argument("--out", type=image_file, metavar="FILE", help="contact sheet of the results")
    add_levels(parser)
    add_device(parser)


def run(arguments: Namespace) -> Answer:
    """The results, best first."""
    from dinoclip_viz.tasks.retrieval.search import best_of_any, hits, nearest

    if arguments.index and arguments.ann:
        raise ValueError("found --ann and --index; expected one of them")
    if arguments.text is not None and not arguments.text.strip():
        raise ValueError("--text is empty; expected words, such as --text 'a red car'")
    store = open_store(arguments.store, arguments.encoder)
    store.check_finite()
    queries, vectors, failed = _queries(store, arguments)
    result: dict[str, object] = {"query": _query(arguments)}
    if arguments.index:
        scores, rows, result["index"] = _by_index(store, queries, vectors, arguments)
    elif arguments.ann:
        from dinoclip_viz.tasks.retrieval.approximate import ApproximateIndex, recall_against_exact

        index = ApproximateIndex.build(vectors)
        scores, rows = best_of_any(*index.search(queries, arguments.k), arguments.k)
        result["recall_against_exact"] = recall_against_exact(index, vectors, queries, arguments.k)
    else:
        scores, rows = best_of_any(*nearest(queries, vectors, arguments.k), arguments.k)
    found = hits(store, scores, rows)
    if arguments.out:
        _draw(store, found, arguments.out)
    listed = [asdict(hit) | {"score": round(hit.score, 6)} for hit in found]
    lines = [[str(hit.rank), f"{hit.score:.3f}", hit.key, hit.image_path or "-", hit.caption] for hit in found]
    text = table(lines)
    if arguments.index:
        text += f"\nrecall of the index, measured when it was built: {result['index']['recall']:.3f}"  # type: ignore[index]
    elif arguments.ann:
        text += f"\nrecall against the exact search: {result['recall_against_exact']:.3f}"
    return Answer({"results": listed, **result}, text, failed)


def _by_index(
    store: FeatureStore, queries: Tensor, vectors: Rows, arguments: Namespace
) -> tuple[Tensor, Tensor, dict[str, object]]:
    """Scores and rows by the index in the store's folder, and what is known of it."""
    from tqdm import tqdm

    from dinoclip_viz.scale import LanceIndex
    from dinoclip_viz.tasks.retrieval.search import best_of_any

    with tqdm(total=len(store), unit="rows", desc="index", dynamic_ncols=True, disable=None) as bar:
        index = LanceIndex.open_or_build(store.path / "lance", vectors, watch=lambda done, _: bar.update(done - bar.n))
    scores, rows = best_of_any(*index.search(queries, arguments.k), arguments.k)
    return scores, rows, {"kind": "lance", "rows": len(index), "recall": index.recall}


def open_store(path: str, encoder: str | None) -> FeatureStore:
    """The store in a folder, or the encoder's of several.

    Raises:
        StoreError: there is none, or not of this encoder.
    """
    from dinoclip_viz.encoders.catalog import CATALOG
    from dinoclip_viz.store import FeatureStore

    return FeatureStore.open(path, CATALOG[encoder].source if encoder in CATALOG else encoder)


def _query(arguments: Namespace) -> dict[str, str]:
    return {name: value for name in ("text", "image", "like") if (value := getattr(arguments, name)) is not None}


def _queries(store: FeatureStore, arguments: Namespace) -> tuple[Tensor, Rows, list[Failure]]:
    """(Q, D) vectors of what is asked, the store's (N, D) to compare them with, and the images that failed."""
    import torch

    from dinoclip_viz.tasks.retrieval.search import image_queries, text_queries

    if arguments.text is not None:
        model = model_of(arguments, arguments.model) if arguments.model else _model_of(store, arguments)
        return *text_queries(store, [arguments.text], model), []
    sources = _images_in(arguments.like) if arguments.like is not None else [arguments.image]
    by: ImageEncoder | ImageTextModel | None = None
    failed: list[Failure] = []
    parts: list[Tensor] = []
    for start in range(0, len(sources), AT_ONCE):
        _, images, missed = open_images(sources[start : start + AT_ONCE])
        failed += missed
        if images:  # nothing is loaded for a query that cannot be read
            by = by or _by(store, arguments)
            part, vectors = image_queries(store, images, by)
            parts.append(part)
    check_some(len(parts), failed)
    return torch.cat(parts), vectors, failed


def _by(store: FeatureStore, arguments: Namespace) -> ImageEncoder | ImageTextModel:
    """The model asked for, else the encoder of the store."""
    if arguments.model:
        return model_of(arguments, arguments.model, store=store)
    return encoder_of(arguments, store.settings.encoder, store)


def _model_of(store: FeatureStore, arguments: Namespace) -> ImageTextModel:
    """The model that reads texts for a store: a CLIP's own, or the playground's projector."""
    from dinoclip_viz.encoders import EncoderError
    from dinoclip_viz.encoders.catalog import CATALOG

    name = store.settings.encoder
    if store.patch_space == "playground-dino":
        return model_of(arguments, "playground")
    entry = CATALOG.get(name)
    hint = "name with --model an image-text model, or a projector's folder, that fits it"
    if entry is not None and entry.kind == "image":
        raise ValueError(f"{store.path} holds features of {name}, which reads no text; {hint}")
    try:
        return model_of(arguments, name)
    except EncoderError as error:
        raise ValueError(
            f"{store.path} holds features of {name}, which cannot read the text ({error}); {hint}"
        ) from error


def _images_in(folder: str) -> list[str]:
    from dinoclip_viz.data.locations import is_image_name

    place = Path(folder).expanduser()
    if not place.is_dir():
        raise ValueError(f"--like {folder} is no folder; expected a folder of example images")
    found = sorted(str(file) for file in place.iterdir() if is_image_name(file.name) and file.is_file())
    if not found:
        raise ValueError(f"--like {folder} holds no images; expected .jpg, .png, .webp, .gif or .bmp files")
    return found


def _draw(store: FeatureStore, found: list[Hit], out: Path) -> None:
    from dinoclip_viz.data.reopen import reopen
    from dinoclip_viz.viz import contact_sheet

    images: list[Image.Image | str] = []
    for hit in found:
        try:
            image = reopen(store.settings.source, hit.key, hit.image_path, levels=store.settings.image_levels)
            image.thumbnail((320, 320))
            images.append(image)
        except ValueError:  # a grey tile stands for it
            images.append(hit.key)
    titles = [f"{hit.rank} · {hit.score:.3f}\n{hit.caption or hit.key}" for hit in found]
    with replacing(out) as aside:
        contact_sheet(images, titles).save(aside)
