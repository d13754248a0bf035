"""The neighbours tab: what a gallery's images closest to this one vote for, and what a linear probe says."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from PIL import Image

from dinoclip_viz import viz
from dinoclip_viz.app.events import HELPER, MODEL_RUN, told
from dinoclip_viz.app.images import image_input, notice, read
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.retrieval.search import Gallery, asking, shown
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.store import FeatureStore
from dinoclip_viz.tasks.probes.knn import TEMPERATURE, Vote, vote
from dinoclip_viz.tasks.probes.linear_files import probes_for
from dinoclip_viz.tasks.retrieval import search

MOST = 48
COUNT = 10
FIRST_SEED = 1005
"""A scene of one object, as the labelled scenes of the gallery are."""
UNLABELLED = "*No image of this gallery has a label, so nobody votes: these are the closest of all.*"
NO_PROBE = "*No saved linear probe fits this model: `dinoclip evaluate linear --encoder NAME --save FILE` fits one.*"

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
    """The neighbours with label, cosine and weight; bars of their votes or None; words on them; a notice or "".

    Args:
        bench: the workbench; gallery: what is searched; key: of the model.
        path: of the image.
        count: how many neighbours vote; all that have a label, where they are fewer.
        temperature: a vote weighs exp(cosine / temperature).
        heads: folder of the user's own probes.
        progress: Gradio's.

    Raises:
        ValueError: an image that cannot be used, or a model that cannot search the gallery.
    """
    image, model = read(path), bench.model(key)
    progress(0.1, desc="looking at the images")
    store = gallery.store(model)
    query, vectors = search.image_queries(store, [image.image], asking(store, model))
    progress(0.7, desc="comparing")
    labels = labels_of(store)
    labelled = sum(label is not None for label in labels)
    if labelled:
        voted = vote(query, vectors, labels, min(int(count), labelled), temperature)
        tiles = captioned(store, voted)
        bars: Image.Image | None = viz.score_bars(list(voted.shares), list(voted.shares.values()))
        said = words(voted, labelled, len(store))
    else:
        scores, rows = search.nearest(query, vectors, int(count))
        tiles, bars, said = shown(store, search.hits(store, scores[0], rows[0])), None, UNLABELLED
    probed = probe_words(model.images.encode([image.image]), heads)
    return tiles, bars, f"{said}\n\n{probed}", notice(model, bench.drawn, [image])


def labels_of(store: FeatureStore) -> list[str | None]:
    """The class of each row, None where the store knows none."""
    table = store.metadata
    if "label" not in table.column_names:
        return [None] * len(store)
    return [None if label is None else str(label) for label in table["label"].to_pylist()]


def captioned(store: FeatureStore, voted: Vote) -> list[tuple[Image.Image, str]]:
    """The neighbours' images, each with its label, cosine and share of the votes."""
    tiles = shown(store, search.hits(store, voted.cosines, voted.rows))
    weights = zip(voted.labels, voted.cosines.tolist(), voted.weights.tolist(), strict=True)
    captions = [f"{label} · {cosine:.2f} · {weight:.0%}" for label, cosine, weight in weights]
    return [(tile, caption) for (tile, _), caption in zip(tiles, captions, strict=True)]


def words(voted: Vote, labelled: int, count: int) -> str:
    """What the votes come to, and who may vote."""
    best, share = next(iter(voted.shares.items()))
    among = f"all {count:,}" if labelled == count else f"the {labelled:,} of {count:,} images that have a label"
    return f"**{best}** by k-NN: {share:.0%} of the votes of the {len(voted.labels)} closest among {among}."


def probe_words(features: ImageFeatures, heads: Path | None = None) -> str:
    """What each saved linear probe that fits says, the three most probable classes."""
    lines = []
    for name, probe in probes_for(features, heads).items():
        shares = probe.predict_proba(features)[0]
        best = torch.topk(shares, min(3, len(shares)))
        classes = [str(probe.classes_[row]) for row in best.indices.tolist()]
        first, *others = [f"{one} {share:.0%}" for one, share in zip(classes, best.values.tolist(), strict=True)]
        lines.append(f"**{first}** by the linear probe {name}; then {', '.join(others)}.")
    return "  \n".join(lines) or NO_PROBE


def build(bench: Workbench, key: gr.State, gallery: Gallery, heads: Path | None = None) -> Panel:
    """The tab, inside the page that is being built.

    Args:
        bench: the workbench; key: of the model.
        gallery: whose images vote.
        heads: folder of the user's own probes, *.safetensors; None for the package's alone.
    """
    gr.Markdown(
        "### What do its neighbours say?\nThe images of a gallery closest to this one by cosine, and the class that "
        f"they vote for (DINO's weighted k-NN), nothing being trained. Asked here: {gallery}."
    )
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            image = image_input("Image to classify by its neighbours", bench.drawn.draw(FIRST_SEED))
            with gr.Row():
                draw = gr.Button("Draw another", size="sm")
                share = gr.Button("Use in every tab", size="sm")
            count = gr.Slider(1, MOST, COUNT, step=1, label="Neighbours that vote (k)")
            with gr.Accordion("Weight of a vote", open=False):
                temperature = gr.Slider(
                    0.01,
                    1,
                    TEMPERATURE,
                    step=0.01,
                    label="Temperature",
                    info="A vote weighs exp(cosine / temperature): above, votes are more equal; DINO takes 0.07.",
                )
            run = gr.Button("Ask the neighbours", variant="primary")
        with gr.Column(scale=3, elem_classes=["results"]):
            note = gr.Markdown(elem_classes=["notice"])
            said = gr.Markdown(elem_id="neighbours-said")
            bars = gr.Image(
                label="Votes for each class",
                alt_text="A bar for each class that a neighbour votes for, the most votes first",
                format="png",
                buttons=["download", "fullscreen"],
                interactive=False,
            )
            results = gr.Gallery(
                label="Neighbours, closest first: label, cosine, share of the votes",
                columns=3,
                height="auto",
                object_fit="contain",
                format="png",
                buttons=["download", "fullscreen"],
                interactive=False,
                elem_id="neighbours-result",
            )
    inputs: list[Any] = [key, image, count, temperature]
    outputs: list[Any] = [results, bars, said, note]
    handler = told(functools.partial(answer, bench, gallery, heads=heads))
    run.click(handler, inputs, outputs, api_name="neighbours", **MODEL_RUN)
    again = {**MODEL_RUN, **HELPER, "trigger_mode": "always_last"}
    gr.on([image.upload, count.release, temperature.release], handler, inputs, outputs, **again)
    seed = gr.State(FIRST_SEED)
    draw.click(
        lambda last: (last + 1, bench.drawn.draw(last + 1)), seed, [seed, image], show_progress="hidden", **HELPER
    ).then(handler, inputs, outputs, **again)
    return Panel(handler, inputs, outputs, image, share)
