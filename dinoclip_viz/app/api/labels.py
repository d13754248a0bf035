"""Endpoints that compare images with texts or with a gallery: `classify`, `heatmap` and `search`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.app.api import results
from dinoclip_viz.app.api.inputs import (
    Given,
    ImageInput,
    choice_of,
    count_of,
    flag_of,
    image_of,
    key_of_model,
    text_of,
    texts_of,
)
from dinoclip_viz.app.events import without_folders
from dinoclip_viz.app.notice import notice
from dinoclip_viz.app.open_vocabulary.regions import MOST_PROMPTS
from dinoclip_viz.app.open_vocabulary.tab import fitted_range, overlay
from dinoclip_viz.app.retrieval.gallery import Gallery, query_encoder, tiles
from dinoclip_viz.app.retrieval.search import MOST
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.app.zero_shot.tab import NONE
from dinoclip_viz.tasks.open_vocabulary.heatmap import heatmap as maps_of
from dinoclip_viz.tasks.retrieval import search as searching
from dinoclip_viz.tasks.zero_shot import classify as zero_shot

FORMATS = ("png", "npy")
PNG, NPY = FORMATS
MOST_LABELS, MOST_TEMPLATES = 64, 8
OPACITY = 0.6


def classify(
    bench: Workbench,
    image: ImageInput,
    labels: list[str],
    templates: list[str] | None = None,
    none: bool = False,
    model: str = "",
) -> results.Classification:
    """Classifies an image among labels: the probability of each label, which sum to 1.

    For example, the labels ["cat", "dog"] give {"label": "cat", "scores": {"cat": 0.97, "dog": 0.03}}.

    Args:
        image: The image: an uploaded file, or a text: a data URI or an http(s) address.
        labels: 2 to 64 names, such as ["cat", "dog"]; with none, 1 to 64.
        templates: Up to 8 prompts with {} for the label, such as "a photo of a {}"; empty uses the model's own.
        none: Whether "none of these" is a label, too; needed for a single label.
        model: A name that the endpoint models lists; empty is the page's own.

    Returns:
        label: the most probable one; scores: probability of each; model; notice.
    """
    alone = flag_of(none, "none")
    names = texts_of(labels, "labels", 1 if alone else 2, MOST_LABELS)
    ways = texts_of(templates, "templates", 1, MOST_TEMPLATES) if templates else None
    key, given = key_of_model(bench, model), image_of(bench, image)
    chosen = bench.model(key)
    task = zero_shot.classify_or_none if alone else zero_shot.classify
    found = task(chosen, bench.cropped(key, given.image), names, ways)[0].tolist()
    scores = dict(zip([*names, NONE] if alone else names, found, strict=True))
    return {
        "label": max(scores, key=lambda name: scores[name]),
        "scores": scores,
        "model": chosen.name,
        "notice": notice(chosen, bench.scenes, [given.image]),
    }


def heatmap(
    bench: Workbench, image: ImageInput, prompts: list[str], method: str = "", format: str = "png", model: str = ""
) -> results.HeatMaps:
    """Shows where in an image each prompt is: the cosine similarity of every pixel with each text.

    For example, the prompts ["a cat", "grass"] give two figures, or an array of shape (2, height, width).

    Args:
        image: The image: an uploaded file, or a text: a data URI or an http(s) address.
        prompts: 1 to 24 texts, used as typed, such as ["a cat", "grass"].
        method: One of the heat-map methods that the endpoint models lists; empty is the model's best.
        format: "png" for a figure per prompt, or "npy" for the float32 cosines of all prompts in one file.
        model: A name that the endpoint models lists; empty is the page's own.

    Returns:
        prompts: lowest and highest cosine, [x, y] of the highest and figure of each; array; width, height; method.
    """
    names = texts_of(prompts, "prompts", 1, MOST_PROMPTS)
    kind = choice_of(format, "format", FORMATS)
    key, given = key_of_model(bench, model), image_of(bench, image)
    chosen = bench.model(key)
    way = chosen.check_method(method or None)
    features, _ = bench.ready(key, given.image, way)
    maps = maps_of(chosen, features, names, way)  # (T, h, w)
    figures = _figures(given, names, way, maps) if kind == PNG else [None] * len(names)
    return {
        "prompts": [_row(given, *row) for row in zip(names, maps.numpy(), figures, strict=True)],
        "array": maps.numpy() if kind == NPY else None,
        "width": maps.shape[2],
        "height": maps.shape[1],
        "method": way,
        "model": chosen.name,
        "notice": notice(chosen, bench.scenes, [given.image]),
    }


def search(
    bench: Workbench, gallery: Gallery, text: str = "", image: ImageInput = "", count: int = 10, model: str = ""
) -> results.SearchResults:
    """Searches the page's gallery for the images that are nearest to a text or to an image.

    For example, the text "a red car" gives the ten images with the highest cosine similarity to it.

    Args:
        text: The query, such as "a red car"; empty if an image is given.
        image: Instead of the text: an uploaded file, or a text: a data URI or an http(s) address.
        count: Number of results, 1 to 24.
        model: A name that the endpoint models lists; empty is the page's own.

    Returns:
        results: key, caption, similarity and image of each, best first; gallery: what was searched; model; notice.
    """
    if bool(text) == bool(image):
        raise ValueError(f"found {'both' if text else 'neither'} text and image; expected one of them")
    number = count_of(count, "count", MOST)
    query = text_of(text, "text") if text else ""
    key, given = key_of_model(bench, model), image_of(bench, image) if image else None
    chosen = bench.model(key)
    store = gallery.store(chosen)
    encoder = query_encoder(store, chosen)
    if given is None:
        scores, rows = searching.search_texts(store, [query], chosen, number)
    else:
        scores, rows = searching.search_images(store, [given.image.image], encoder, number)
    hits = searching.hits(store, scores[0], rows[0])
    found: list[results.Found] = [
        {"key": without_folders(hit.key), "caption": hit.caption, "similarity": hit.score, "image": tile}
        for hit, (tile, _) in zip(hits, tiles(store, hits), strict=True)
    ]
    note = notice(chosen, bench.scenes, [] if given is None else [given.image])
    return {"gallery": str(gallery), "results": found, "model": chosen.name, "notice": note}


def _row(given: Given, prompt: str, values: NDArray[np.float32], figure: results.Figure) -> results.PromptMap:
    y, x = np.unravel_index(int(values.argmax()), values.shape)
    peak = [float((axis + 0.5) * given.scale) for axis in (x, y)]
    lowest, highest = float(values.min()), float(values.max())
    return {"prompt": prompt, "lowest": lowest, "highest": highest, "peak": peak, "figure": figure}


def _figures(given: Given, names: list[str], method: str, maps: Tensor) -> list[results.Figure]:
    """A figure per prompt, on one scale."""
    bounds = fitted_range(list(maps), False)
    return [
        overlay(given.image.image, values, bounds, f"cosine with “{name}”, {method}", OPACITY, "magma", None)
        for name, values in zip(names, maps, strict=True)
    ]
