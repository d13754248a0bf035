"""The tab of patch similarity: the similarity of every patch of every image to the patch under the pointer."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import gradio as gr

from dinoclip_viz.app.encoders import DINO, encoder_of, source_input
from dinoclip_viz.app.events import AGAIN, HELPER, MODEL_RUN
from dinoclip_viz.app.handlers.answers import draw_next, remembered
from dinoclip_viz.app.images import images_input, read_all
from dinoclip_viz.app.notice import NoticeArea, notice
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.resolution import OWN, at_resolution, build_resolution
from dinoclip_viz.app.scenes import FIRST_SCENES
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.viz.hover import MOST_IMAGES, hover_code, hover_payload

FIRST = FIRST_SCENES["hover"]
COUNT = 2
MOUNT = '<div class="hover-mount"></div>'
SHOW = """
const handle = hover.mount(element.querySelector(".hover-mount"), null);
let last = "";
const show = () => {
  if ((props.value || "") === last) return;
  last = props.value || "";
  handle.update(last ? JSON.parse(last) : null);
};
watch("value", show);
show();
"""
"""Runs when the tab is shown: a new payload replaces images and features together."""


def answer(
    bench: Workbench,
    key: str,
    items: Sequence[tuple[str, str | None]] | None,
    source: str = DINO,
    patches: int = OWN,
    tiles: bool = False,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple[str, str]:
    """The payload of the script as JSON, and a notice or "".

    Raises:
        ValueError: an image is invalid, there are none or too many, or the model has no encoder of this kind.
    """
    if items and len(items) > MOST_IMAGES:
        raise ValueError(f"found {len(items)} images; expected at most {MOST_IMAGES}; remove some")
    images, model = read_all(items), bench.model(key)
    encoder = encoder_of(model, source)
    features = [
        at_resolution(bench, encoder, image, patches, tiles) for image in progress.tqdm(images, desc="encoding")
    ]
    payload = hover_payload(
        [image.image for image in images],
        [each.patches[0].numpy() for each in features],
        [each.boxes[0].tolist() for each in features],
    )
    return payload.to_json(), notice(model, bench.scenes, images)


def build(bench: Workbench, key: gr.State) -> Panel:
    """The tab, inside the page that is being built."""
    gr.Markdown(
        "Point at a patch. The maps show its cosine similarity to every patch of all images, computed in the browser "
        "from features that are sent once."
    )
    last, begin = bench.scenes.several(COUNT, FIRST - 1)

    def encoders(model: str, source: str) -> list[ImageEncoder]:
        return [encoder_of(bench.model(model), source)]

    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=1, elem_classes=["inputs"]):
            images = images_input(bench.files, begin, MOST_IMAGES, 2, "hover-images")
            draw = gr.Button(f"New {bench.scenes.noun}s", size="sm")
            source = source_input(bench, bench.first_key)
            with gr.Accordion("Resolution", open=False):
                fine = build_resolution(bench, key, images, encoders, read_all, [source])
            run = gr.Button("Compare", variant="primary")
        with gr.Column(scale=2, elem_classes=["results"]):
            area = NoticeArea(bench)
            note = area.note
            explorer = gr.HTML(
                "",
                label="Patch similarity",
                html_template=MOUNT,
                js_on_load=hover_code() + SHOW,
                apply_default_css=False,
                elem_id="hover-result",
            )
    inputs, outputs = [key, images, source, *fine.inputs], [explorer, note]
    handler = remembered(bench, "hover", functools.partial(answer, bench), inputs)
    run.click(handler, inputs, outputs, **MODEL_RUN, **HELPER)
    gr.on([source.input, images.upload], handler, inputs, outputs, **AGAIN)
    draw_next(bench, draw, last, functools.partial(bench.scenes.several, COUNT), [images], (handler, inputs, outputs))
    return Panel(handler, inputs, outputs, images, changed=(source,), refresh=source_input, area=area)
