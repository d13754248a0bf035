"""The tab that explores a store: a map of its images, what is selected on it, near duplicates and outliers."""

from __future__ import annotations

import functools
import json
from typing import Any

import gradio as gr
from PIL import Image

from dinoclip_viz.app.events import AGAIN, HELPER, MODEL_RUN
from dinoclip_viz.app.explorer import findings, selection
from dinoclip_viz.app.explorer.atlas import Atlas
from dinoclip_viz.app.explorer.component import build_map, written
from dinoclip_viz.app.handlers.answers import remembered, served
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.probes.knn import labels_of
from dinoclip_viz.app.retrieval.gallery import Gallery, results_gallery
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.tasks.embedding_map import METHODS, method_for
from dinoclip_viz.tasks.embedding_map.projection import Method
from dinoclip_viz.viz.scatter import scatter_payload

LABEL, CLUSTER, SIMILARITY = "Label", "Cluster", "Similarity to a text"
TEXT = "a red car"
CLUSTERS, MOST_CLUSTERS = 8, 40
TITLES = {"pca": "PCA", "umap": "UMAP", "auto": "UMAP or PCA, by the number of images"}
UNLABELLED = " No image has a label, so the colours are clusters."


def answer(
    bench: Workbench,
    atlas: Atlas,
    key: str,
    colour: str = LABEL,
    text: str = TEXT,
    count: int = CLUSTERS,
    method: Method = "auto",
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple[str, str]:
    """Path of the map's file, and a summary.

    Args:
        bench: the workbench; atlas: the stores.
        key: of the model.
        colour: `LABEL`, `CLUSTER` or `SIMILARITY`.
        text: what similarity is measured to.
        count: number of clusters, limited to the images.
        method: as in `project`.
        progress: Gradio's.

    Raises:
        ValueError: an unknown colouring or method, an empty text, or a model that cannot search the store.
    """
    if colour not in (LABEL, CLUSTER, SIMILARITY):
        raise ValueError(f"found colour by {colour!r}; expected one of {LABEL}, {CLUSTER}, {SIMILARITY}")
    progress(0.1, desc="encoding the gallery")
    store = atlas.store(key)
    progress(0.5, desc="projecting")
    chosen = method_for(len(store), method)
    points = atlas.points(store, chosen)
    title = f"{TITLES[chosen]} of {len(store):,} images"
    labels: list[str | None] = labels_of(store) if colour == LABEL else []
    note, values, name = "", None, "label"
    if colour == SIMILARITY:
        values = atlas.similarity(store, key, text or "")
        note = f" Brighter colours are more similar to “{text}”."
    elif colour == CLUSTER or not any(labels):
        note = UNLABELLED if colour == LABEL else ""
        numbers = atlas.clusters(store, int(count))
        labels, name = [f"cluster {number + 1:02d}" for number in numbers.tolist()], "cluster"
    payload = scatter_payload(
        points, labels or None, values, title=title, label_name=name, value_name="cosine similarity"
    )
    return written(bench.files, atlas.token(store), payload), f"{title}.{note}"


def build(bench: Workbench, key: gr.State, gallery: Gallery) -> Panel:
    """The tab, inside the page that is being built.

    Args:
        bench: the workbench; key: of the model.
        gallery: the images to explore.
    """
    atlas = Atlas(bench, gallery)
    gr.Markdown(f"Each point is an image; images with similar features are near each other. Gallery: {atlas}.")
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=1, min_width=220, elem_classes=["inputs"]):
            colour = gr.Radio([LABEL, CLUSTER, SIMILARITY], value=LABEL, label="Colour by", elem_id="explore-colour")
            text = gr.Textbox(TEXT, label="Text", max_lines=2)
            count = gr.Slider(2, MOST_CLUSTERS, CLUSTERS, step=1, label="Number of clusters")
            ways = [(TITLES[each], each) for each in METHODS]
            method = gr.Dropdown(ways, value="auto", label="Projection")
            draw = gr.Button("Draw map", variant="primary")
        with gr.Column(scale=3, elem_classes=["results"]):
            summary = gr.Markdown(elem_id="explore-summary")
            shown, card = build_map(bench.files)
    _build_selection(bench, atlas, shown, card)
    _build_findings(bench, atlas, key)
    inputs: list[Any] = [key, colour, text, count, method]
    outputs: list[Any] = [shown, summary]
    handler = remembered(bench, "explore", functools.partial(answer, bench, atlas), inputs, relevant=_relevant)
    draw.click(handler, inputs, outputs, **MODEL_RUN, **HELPER)
    gr.on([colour.input, count.release, method.input, text.submit], handler, inputs, outputs, **AGAIN)
    return Panel(handler, inputs, outputs)


def _relevant(key: str, colour: str, text: str, count: int, method: str) -> tuple[Any, ...]:
    """The inputs without those that the colours do not depend on."""
    return key, colour, text if colour == SIMILARITY else "", count if colour != SIMILARITY else 0, method


def _build_selection(bench: Workbench, atlas: Atlas, shown: gr.HTML, card: gr.HTML) -> None:
    gr.Markdown("### Selection")
    with gr.Row(equal_height=True):
        line = gr.Markdown(selection.NONE, elem_id="explore-selection")
        save = gr.DownloadButton("Download CSV", visible=False, size="sm", elem_id="explore-csv", scale=0)
    images = results_gallery("Selected images: label and caption", 8, "explore-selected")

    def on_select(event: gr.EventData) -> tuple[list[tuple[Image.Image, str]], str, Any]:
        return selection.chosen(bench, atlas, event._data)

    def on_point(event: gr.EventData) -> str:
        return json.dumps(atlas.card(event._data))

    quick = {**HELPER, "concurrency_limit": 4, "show_progress": "hidden", "trigger_mode": "always_last"}
    shown.select(served(bench, on_select, False), None, [images, line, save], **quick)
    shown.point(served(bench, on_point, False), None, card, **quick)


def _build_findings(bench: Workbench, atlas: Atlas, key: gr.State) -> None:
    gr.Markdown("### Near duplicates and outliers")
    with gr.Row(equal_height=True):
        above = gr.Slider(0.8, 0.999, findings.ABOVE, step=0.001, label="Cosine of near duplicates, above")
        k = gr.Slider(1, 50, findings.NEIGHBOURS, step=1, label="Neighbours of an outlier")
        run = gr.Button("Find", scale=0, min_width=120)
    line = gr.Markdown(elem_id="explore-found")
    doubles = results_gallery("Near duplicates: group, cosine with its first image, caption", 8, "explore-duplicates")
    isolated = results_gallery("Outliers: mean cosine distance, caption", 8, "explore-outliers")
    inputs = [key, above, k]
    handler = remembered(bench, "explore_found", functools.partial(findings.found, bench, atlas), inputs)
    run.click(handler, inputs, [doubles, isolated, line], **MODEL_RUN, **HELPER)
