"""The hover tab: point at a patch and see at once how like it every patch of every picture is."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import gradio as gr
from PIL import Image

from dinoclip_viz.app.events import HELPER, MODEL_RUN, told
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.pca import OWN_SIZE, SIZES
from dinoclip_viz.app.pictures import FIRST_SEED, Drawn, notice, read_all
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.viz.hover import MOST_PICTURES, hover_code, hover_payload

DINO, CLIP = "DINO's", "CLIP's own"
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
"""Runs when the tab is shown: a newer payload replaces the older one, pictures and features together."""


def encoder_of(model: ImageTextModel, whose: str) -> ImageEncoder:
    """The encoder whose patches are compared.

    Raises:
        ValueError: the model has no CLIP, or neither name was given.
    """
    if whose == DINO:
        return model.guide or model.images
    if whose != CLIP:
        raise ValueError(f"patches of {whose!r}; expected {DINO!r} or {CLIP!r}")
    if model.clip is None:
        raise ValueError(f"{model.name} has no CLIP whose patches could be compared; choose {DINO} patches")
    return model.clip


def answer(
    bench: Workbench,
    key: str,
    items: Sequence[tuple[str, str | None]] | None,
    whose: str = DINO,
    size: str = OWN_SIZE,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple[str, str]:
    """What the script is sent, as JSON, and a notice or "".

    Raises:
        ValueError: pictures that cannot be used, or too many; a model without the encoder that was asked for.
    """
    if items and len(items) > MOST_PICTURES:
        raise ValueError(
            f"{len(items)} pictures are more than the {MOST_PICTURES} that are compared at once; take fewer"
        )
    pictures, model = read_all(items), bench.model(key)
    encoder = encoder_of(model, whose)
    longer = None if size == OWN_SIZE else int(size)
    features = [bench.patches(key, encoder, picture, longer) for picture in progress.tqdm(pictures, desc="encoding")]
    payload = hover_payload(
        [picture.image for picture in pictures],
        [each.patches[0].numpy() for each in features],
        [each.boxes[0].tolist() for each in features],
    )
    return payload.to_json(), notice(model, bench.drawn, pictures)


def offered(bench: Workbench, key: str) -> gr.Radio:
    """The choice of patches, of those that the model has."""
    return gr.Radio([DINO] if bench.model(key).clip is None else [DINO, CLIP], value=DINO, label="Patches")


def draw_some(drawn: Drawn, last: int) -> tuple[int, list[Image.Image]]:
    """The last seed used, and the next scenes."""
    return last + COUNT, [drawn.draw(seed) for seed in range(last + 1, last + COUNT + 1)]


def build(bench: Workbench, key: gr.State) -> Panel:
    """The tab, inside the page that is being built."""
    gr.Markdown(
        "### What is like this patch?\nPoint at a patch: the maps show its cosine similarity to every patch of all "
        "pictures, computed in your browser from features that are sent once."
    )
    last, begin = draw_some(bench.drawn, FIRST_SEED - 1)
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=1, elem_classes=["inputs"]):
            pictures = gr.Gallery(
                begin,
                label=f"Pictures, up to {MOST_PICTURES}",
                type="filepath",
                format="png",
                columns=2,
                height=220,
                object_fit="contain",
                file_types=["image"],
                sources=["upload", "webcam", "clipboard"],
                interactive=True,
                elem_id="hover-pictures",
            )
            draw = gr.Button("Draw others", size="sm")
            whose = offered(bench, bench.first_key)
            size = gr.Dropdown(SIZES, value=OWN_SIZE, label="Resolution, longer side in pixels", filterable=False)
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
    inputs, outputs = [key, pictures, whose, size], [explorer, note]
    handler = told(functools.partial(answer, bench))
    run.click(handler, inputs, outputs, api_name="hover", **MODEL_RUN)
    again = {**MODEL_RUN, **HELPER, "trigger_mode": "always_last"}
    gr.on([whose.input, size.input, pictures.upload], handler, inputs, outputs, **again)
    seed = gr.State(last)
    draw.click(
        functools.partial(draw_some, bench.drawn), seed, [seed, pictures], show_progress="hidden", **HELPER
    ).then(handler, inputs, outputs, **again)
    return Panel(handler, inputs, outputs, pictures, changed=(whose,), refresh=offered)
