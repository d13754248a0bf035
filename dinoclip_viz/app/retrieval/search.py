"""The search tab: the images of a gallery nearest to a text or an image."""

from __future__ import annotations

import functools

import gradio as gr
from PIL import Image

from dinoclip_viz.app.events import AGAIN, HELPER, MODEL_RUN
from dinoclip_viz.app.handlers.answers import draw_next, remembered
from dinoclip_viz.app.images import image_input, read
from dinoclip_viz.app.notice import NoticeArea, notice
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.retrieval.gallery import Gallery, query_encoder, results_gallery, tiles
from dinoclip_viz.app.scenes import FIRST_SCENES
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.tasks.retrieval import search

FIRST = FIRST_SCENES["search"]
MOST = 24
TEXT = "a red car"

Answer = tuple[list[tuple[Image.Image, str]], str]


def by_text(
    bench: Workbench,
    gallery: Gallery,
    key: str,
    text: str,
    count: int = 10,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> Answer:
    """The images nearest to a text with their cosines, best first, and "".

    Args:
        bench: the workbench; gallery: the images to search; key: of the model.
        text: the query.
        count: number of images.
        progress: Gradio's.

    Raises:
        ValueError: the text is empty, or the model cannot search the gallery.
    """
    model = bench.model(key)
    progress(0.1, desc="encoding the gallery")
    store = gallery.store(model)
    query_encoder(store, model)
    progress(0.7, desc="searching")
    scores, rows = search.search_texts(store, [text or ""], model, int(count))
    return tiles(store, search.hits(store, scores[0], rows[0])), ""


def by_image(
    bench: Workbench,
    gallery: Gallery,
    key: str,
    path: str | None,
    count: int = 10,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> Answer:
    """The images nearest to an image with their cosines, best first, and a notice or "".

    Args:
        bench, gallery, key, count, progress: as in `by_text`.
        path: file of the query.

    Raises:
        ValueError: the image is missing or invalid, or the model cannot search the gallery.
    """
    image, model = read(path), bench.model(key)
    progress(0.1, desc="encoding the gallery")
    store = gallery.store(model)
    encoder = query_encoder(store, model)
    progress(0.7, desc="searching")
    scores, rows = search.search_images(store, [image.image], encoder, int(count))
    return tiles(store, search.hits(store, scores[0], rows[0])), notice(model, bench.scenes, [image])


def build(bench: Workbench, key: gr.State, gallery: Gallery) -> Panel:
    """The tab, inside the page that is being built.

    Args:
        bench: the workbench; key: of the model.
        gallery: the images to search.
    """
    gr.Markdown(
        "The images of a gallery with the highest cosine similarity to a text or an image; the search is exact. "
        f"Gallery: {gallery}."
    )
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            text = gr.Textbox(TEXT, label="Text", max_lines=3)
            search_text = gr.Button("Search by text", variant="primary")
            given = image_input(bench.files, "Query image", bench.scenes.draw(FIRST))
            draw = gr.Button(f"New {bench.scenes.noun}", size="sm")
            search_image = gr.Button("Search by image", variant="primary")
            count = gr.Slider(1, MOST, 10, step=1, label="Number of images")
        with gr.Column(scale=3, elem_classes=["results"]):
            area = NoticeArea(bench)
            results = results_gallery("Nearest images: cosine similarity and caption", 4, "search-result")
    outputs = [results, area.note]
    of_text, of_image = [key, text, count], [key, given, count]
    find_text = remembered(bench, "search_text", functools.partial(by_text, bench, gallery), of_text)
    find_image = remembered(bench, "search_image", functools.partial(by_image, bench, gallery), of_image)
    search_text.click(find_text, of_text, outputs, **MODEL_RUN, **HELPER)
    search_image.click(find_image, of_image, outputs, **MODEL_RUN, **HELPER)
    text.submit(find_text, of_text, outputs, **AGAIN)
    given.upload(find_image, of_image, outputs, **AGAIN)
    draw_next(bench, draw, FIRST, bench.scenes.next, [given], (find_image, of_image, outputs))
    return Panel(find_text, of_text, outputs, given, area=area)
