"""The hover tab: point at a patch and see at once how like it every patch of every image is."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import gradio as gr

from dinoclip_viz.app.encoders import DINO, encoder_of, whose_input
from dinoclip_viz.app.events import AGAIN, MODEL_RUN, draw_next, told
from dinoclip_viz.app.images import FIRST_SEED, images_input, notice, read_all
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.resolution import OWN, at_resolution, build_resolution
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.viz.hover import MOST_IMAGES, hover_code, hover_payload

COUNT = 2
PLACE = '<div class="hover-place"></div>'
SHOW = """
const handle = hover.mount(element.querySelector(".hover-place"), null);
let last = "";
const show = () => {
  if ((props.value || "") === last) return;
  last = props.value || "";
  handle.update(last ? JSON.parse(last) : null);
};
watch("value", show);
show();
"""
"""Runs when the tab is shown: a newer payload replaces the older one, images and features together."""


def answer(
    bench: Workbench,
    key: str,
    items: Sequence[tuple[str, str | None]] | None,
    whose: str = DINO,
    patches: int = OWN,
    tiles: bool = False,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple[str, str]:
    """What the script is sent, as JSON, and a notice or "".

    Raises:
        ValueError: images that cannot be used, or too many; a model without the encoder that was asked for.
    """
    if items and len(items) > MOST_IMAGES:
        raise ValueError(f"{len(items)} images are more than the {MOST_IMAGES} that are compared at once; take fewer")
    images, model = read_all(items), bench.model(key)
    encoder = encoder_of(model, whose)
    features = [
        at_resolution(bench, key, encoder, image, patches, tiles) for image in progress.tqdm(images, desc="encoding")
    ]
    payload = hover_payload(
        [image.image for image in images],
        [each.patches[0].numpy() for each in features],
        [each.boxes[0].tolist() for each in features],
    )
    return payload.to_json(), notice(model, bench.drawn, images)


def build(bench: Workbench, key: gr.State) -> Panel:
    """The tab, inside the page that is being built."""
    gr.Markdown(
        "### What is like this patch?\nPoint at a patch: the maps show its cosine similarity to every patch of all "
        "images, computed in your browser from features that are sent once."
    )
    last, begin = bench.drawn.several(COUNT, FIRST_SEED - 1)

    def encoders(model: str, whose: str) -> list[ImageEncoder]:
        return [encoder_of(bench.model(model), whose)]

    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=1, elem_classes=["inputs"]):
            images = images_input(begin, MOST_IMAGES, 2, "hover-images")
            draw = gr.Button("Draw others", size="sm")
            whose = whose_input(bench, bench.first_key)
            with gr.Accordion("Resolution", open=False):
                fine = build_resolution(bench, key, images, encoders, read_all, [whose])
            run = gr.Button("Compare the patches", variant="primary")
        with gr.Column(scale=2, elem_classes=["results"]):
            note = gr.Markdown(elem_classes=["notice"])
            explorer = gr.HTML(
                "",
                label="Patch similarity",
                html_template=PLACE,
                js_on_load=hover_code() + SHOW,
                apply_default_css=False,
                elem_id="hover-result",
            )
    inputs, outputs = [key, images, whose, *fine.inputs], [explorer, note]
    handler = told(functools.partial(answer, bench))
    run.click(handler, inputs, outputs, api_name="hover", **MODEL_RUN)
    gr.on([whose.input, images.upload], handler, inputs, outputs, **AGAIN)
    draw_next(draw, last, functools.partial(bench.drawn.several, COUNT), [images], (handler, inputs, outputs))
    return Panel(handler, inputs, outputs, images, changed=(whose,), refresh=whose_input)
