"""The search tab: the images of a gallery that are closest to words or to an image."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from threading import Lock

import gradio as gr
from PIL import Image

from dinoclip_viz import viz
from dinoclip_viz.app.events import AGAIN, MODEL_RUN, draw_next, told
from dinoclip_viz.app.images import FIRST_SEED, image_input, notice, read
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.data import PlaygroundSource
from dinoclip_viz.data.reopen import reopen
from dinoclip_viz.embedding import embed
from dinoclip_viz.encoders.base import ImageEncoder, SpaceError
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.store import FeatureStore
from dinoclip_viz.store.settings import slug
from dinoclip_viz.tasks.retrieval import search

SCENES, SCENES_SEED = 200, 4000
MOST = 24
TEXT = "a red car"
TILE = 288
"""Longer side in pixels of an image in the gallery."""

Shown = tuple[list[tuple[Image.Image, str]], str]


class Gallery:
    """What is searched: a store that was named at the start, or drawn scenes, embedded when they are first searched.

    Args:
        path: of the store; None for drawn scenes.
        model: the page's first model, which must be able to search the store.

    Raises:
        StoreError: there is no store, or it is damaged.
        SpaceError: the model cannot search it.
    """

    def __init__(self, path: str | Path | None, model: ImageTextModel) -> None:
        self._given = FeatureStore.open(path) if path is not None else None
        self._drawn: dict[str, FeatureStore] = {}
        self._lock = Lock()
        if self._given is not None:
            self._given.check_finite()
            asking(self._given, model)
        else:
            self._folder = tempfile.TemporaryDirectory(prefix="dinoclip-gallery-")

    def store(self, model: ImageTextModel) -> FeatureStore:
        """The store; of drawn scenes one by the model's image encoder."""
        if self._given is not None:
            return self._given
        with self._lock:
            known = self._drawn.get(model.images.space)
            if known is None:
                folder = Path(self._folder.name) / slug(model.images.space)
                embed(PlaygroundSource(SCENES_SEED, SCENES), model.images, folder)
                known = self._drawn[model.images.space] = FeatureStore.open(folder)
        return known

    def __str__(self) -> str:
        if self._given is None:
            return f"{SCENES} drawn scenes"
        return f"{len(self._given):,} images of {self._given.path.name}, seen by {self._given.settings.encoder}"


def asking(store: FeatureStore, model: ImageTextModel) -> ImageEncoder | ImageTextModel:
    """What turns an image into a query: the model's image encoder where the store is its own, else the model.

    Raises:
        SpaceError: neither serves the store.
    """
    if model.images.space == store.space:
        return model.images
    try:
        search.carried(store, model)
    except SpaceError as error:
        raise SpaceError(
            f"{model.name} cannot search this gallery: it holds features of {store.settings.encoder}; "
            "choose the model that made it, or a projector from its space"
        ) from error
    return model


def by_text(
    bench: Workbench,
    gallery: Gallery,
    key: str,
    text: str,
    count: int = 10,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> Shown:
    """The images closest to the words with their cosines, best first, and "".

    Raises:
        ValueError: no words, or a model that cannot search the gallery.
    """
    model = bench.model(key)
    progress(0.1, desc="looking at the images")
    store = gallery.store(model)
    asking(store, model)
    progress(0.7, desc="searching")
    scores, rows = search.search_texts(store, [text or ""], model, int(count))
    return shown(store, search.hits(store, scores[0], rows[0])), ""


def by_image(
    bench: Workbench,
    gallery: Gallery,
    key: str,
    path: str | None,
    count: int = 10,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> Shown:
    """The images closest to an image with their cosines, best first, and a notice or "".

    Raises:
        ValueError: an image that cannot be used, or a model that cannot search the gallery.
    """
    image, model = read(path), bench.model(key)
    progress(0.1, desc="looking at the images")
    store = gallery.store(model)
    by = asking(store, model)
    progress(0.7, desc="searching")
    scores, rows = search.search_images(store, [image.image], by, int(count))
    return shown(store, search.hits(store, scores[0], rows[0])), notice(model, bench.drawn, [image])


def shown(store: FeatureStore, found: list[search.Hit]) -> list[tuple[Image.Image, str]]:
    """Each image, opened by our own loader, with its cosine and caption; a grey tile where it is out of reach."""
    tiles = []
    for hit in found:
        try:
            image = reopen(store.settings.source, hit.key, hit.image_path)
            image.thumbnail((2 * TILE, 2 * TILE), Image.Resampling.LANCZOS)
            tile = viz.enlarge(image, TILE, smooth=True)
        except ValueError:  # of another machine, moved, or to be downloaded: its key is shown
            tile = viz.grey_tile(hit.key, TILE)
        tiles.append((tile, f"{hit.score:.3f} · {hit.caption or hit.key}"))
    return tiles


def build(bench: Workbench, key: gr.State, gallery: Gallery) -> Panel:
    """The tab, inside the page that is being built."""
    gr.Markdown(
        f"### Which images are like this?\nThe images of a gallery closest to words or to an image, by cosine, "
        f"compared with every one of them. Searched here: {gallery}."
    )
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            text = gr.Textbox(TEXT, label="Words", max_lines=3)
            by_words = gr.Button("Search by words", variant="primary")
            given = image_input("Image to search by", bench.drawn.draw(FIRST_SEED))
            with gr.Row():
                draw = gr.Button("Draw another", size="sm")
            search_image = gr.Button("Search by this image", variant="primary")
            count = gr.Slider(1, MOST, 10, step=1, label="How many")
        with gr.Column(scale=3, elem_classes=["results"]):
            note = gr.Markdown(elem_classes=["notice"])
            results = gr.Gallery(
                label="Closest images, best first",
                columns=4,
                height="auto",
                object_fit="contain",
                format="png",
                buttons=["download", "fullscreen"],
                interactive=False,
                elem_id="search-result",
            )
    outputs = [results, note]
    find_words, find_image = (told(functools.partial(run, bench, gallery)) for run in (by_text, by_image))
    of_words, of_image = [key, text, count], [key, given, count]
    by_words.click(find_words, of_words, outputs, api_name="search_text", **MODEL_RUN)
    search_image.click(find_image, of_image, outputs, api_name="search_image", **MODEL_RUN)
    text.submit(find_words, of_words, outputs, **AGAIN)
    given.upload(find_image, of_image, outputs, **AGAIN)
    draw_next(draw, FIRST_SEED, bench.drawn.next, [given], (find_image, of_image, outputs))
    return Panel(find_words, of_words, outputs, given)
