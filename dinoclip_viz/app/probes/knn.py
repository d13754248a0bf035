"""The nearest-neighbours tab: weighted k-NN over a labelled gallery, and the predictions of linear probes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from PIL import Image

from dinoclip_viz import viz
from dinoclip_viz.app.events import AGAIN, HELPER, MODEL_RUN
from dinoclip_viz.app.handlers.answers import draw_next, remembered
from dinoclip_viz.app.images import image_input, read
from dinoclip_viz.app.notice import NoticeArea, notice
from dinoclip_viz.app.panel import Panel, scene_buttons
from dinoclip_viz.app.retrieval.gallery import Gallery, query_encoder, results_gallery, tiles
from dinoclip_viz.app.scenes import FIRST_SCENES
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.store import FeatureStore
from dinoclip_viz.tasks.probes.knn import TEMPERATURE, Vote, vote
from dinoclip_viz.tasks.probes.linear_files import probes_for
from dinoclip_viz.tasks.retrieval import search

MOST = 48
COUNT = 10
FIRST = FIRST_SCENES["neighbours"]
UNLABELLED = "*No image of this gallery has a label, so there are no votes; these are the nearest images.*"
NO_PROBE = "*No saved linear probe fits this model; `dinoclip evaluate linear --encoder NAME --save FILE` fits one.*"

Answer = tuple[list[tuple[Image.Image, str]], Image.Image | None, str, str]


def answer(
    bench: Workbench,
    gallery: Gallery,
    key: str,
    path: str | None,
    count: int = COUNT,
    temperature: float = TEMPERATURE,
    heads: Path | None = None,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> Answer:
    """The neighbours with label, cosine and weight; bars of their votes or None; a summary; a notice or "".

    Args:
        bench: the workbench; gallery: the labelled images; key: of the model.
        path: file of the image.
        count: number of neighbours, limited to the labelled images.
        temperature: a vote has the weight exp(cosine / temperature).
        heads: folder of further probes.
        progress: Gradio's.

    Raises:
        ValueError: the image is missing or invalid, or the model cannot search the gallery.
    """
    image, model = read(path), bench.model(key)
    progress(0.1, desc="encoding the gallery")
    store = gallery.store(model)
    query, vectors = search.image_queries(store, [image.image], query_encoder(store, model))
    progress(0.7, desc="comparing")
    labels = labels_of(store)
    labelled = sum(label is not None for label in labels)
    if labelled:
        voted = vote(query, vectors, labels, min(int(count), labelled), temperature)
        shown = captioned(store, voted)
        bars: Image.Image | None = viz.score_bars(list(voted.fractions), list(voted.fractions.values()))
        summary = summary_of(voted, labelled, len(store))
    else:
        scores, rows = search.nearest(query, vectors, int(count))
        shown, bars, summary = tiles(store, search.hits(store, scores[0], rows[0])), None, UNLABELLED
    probed = probe_summary(model.images.encode([image.image]), heads)
    return shown, bars, f"{summary}\n\n{probed}", notice(model, bench.scenes, [image])


def labels_of(store: FeatureStore) -> list[str | None]:
    """The class of each row, None for rows without a label."""
    table = store.metadata
    if "label" not in table.column_names:
        return [None] * len(store)
    return [None if label is None else str(label) for label in table["label"].to_pylist()]


def captioned(store: FeatureStore, voted: Vote) -> list[tuple[Image.Image, str]]:
    """The neighbours' images, each with its label, cosine and percentage of the votes."""
    images = tiles(store, search.hits(store, voted.cosines, voted.rows))
    weights = zip(voted.labels, voted.cosines.tolist(), voted.weights.tolist(), strict=True)
    captions = [f"{label} · {cosine:.2f} · {weight:.0%}" for label, cosine, weight in weights]
    return [(tile, caption) for (tile, _), caption in zip(images, captions, strict=True)]


def summary_of(voted: Vote, labelled: int, count: int) -> str:
    """The predicted class, its percentage of the votes, and the number of voters."""
    best, fraction = next(iter(voted.fractions.items()))
    among = f"{count:,} images" if labelled == count else f"the {labelled:,} labelled of {count:,} images"
    return f"k-NN predicts **{best}**: {fraction:.0%} of the votes of the {len(voted.labels)} nearest among {among}."


def probe_summary(features: ImageFeatures, heads: Path | None = None) -> str:
    """The three most probable classes by each saved linear probe that fits, one line per probe."""
    lines = []
    for name, probe in probes_for(features, heads).items():
        probabilities = probe.predict_proba(features)[0]
        best = torch.topk(probabilities, min(3, len(probabilities)))
        classes = [str(probe.classes_[row]) for row in best.indices.tolist()]
        first, *others = [f"{one} {value:.0%}" for one, value in zip(classes, best.values.tolist(), strict=True)]
        lines.append(f"The linear probe {name} predicts **{first}**; next: {', '.join(others)}.")
    return "  \n".join(lines) or NO_PROBE


def build(bench: Workbench, key: gr.State, gallery: Gallery, heads: Path | None = None) -> Panel:
    """The tab, inside the page that is being built.

    Args:
        bench: the workbench; key: of the model.
        gallery: the labelled images.
        heads: folder of further probes, *.safetensors; None for the package's alone.
    """
    gr.Markdown(
        "The labelled images with the highest cosine similarity vote for their class (DINO's weighted k-NN); nothing "
        f"is trained. Gallery: {gallery}."
    )
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            image = image_input(bench.files, "Image to classify", bench.scenes.draw(FIRST))
            draw, spread = scene_buttons(bench.scenes.noun)
            count = gr.Slider(1, MOST, COUNT, step=1, label="Number of neighbours (k)")
            with gr.Accordion("Weight of a vote", open=False):
                temperature = gr.Slider(
                    0.01,
                    1,
                    TEMPERATURE,
                    step=0.01,
                    label="Temperature",
                    info="A vote has the weight exp(cosine / temperature); DINO uses 0.07.",
                )
            run = gr.Button("Classify", variant="primary")
        with gr.Column(scale=3, elem_classes=["results"]):
            area = NoticeArea(bench)
            summary = gr.Markdown(elem_id="neighbours-summary")
            bars = gr.Image(
                label="Votes per class, percent",
                alt_text="A bar for each class with votes, the most votes first",
                format="png",
                buttons=["download", "fullscreen"],
                interactive=False,
            )
            results = results_gallery(
                "Nearest images: label, cosine similarity, percentage of the votes", 3, "neighbours-result"
            )
    inputs: list[Any] = [key, image, count, temperature]
    outputs: list[Any] = [results, bars, summary, area.note]
    handler = remembered(bench, "neighbours", functools.partial(answer, bench, gallery, heads=heads), inputs)
    run.click(handler, inputs, outputs, **MODEL_RUN, **HELPER)
    gr.on([image.upload, count.release, temperature.release], handler, inputs, outputs, **AGAIN)
    draw_next(bench, draw, FIRST, bench.scenes.next, [image], (handler, inputs, outputs))
    return Panel(handler, inputs, outputs, image, spread, area=area)
