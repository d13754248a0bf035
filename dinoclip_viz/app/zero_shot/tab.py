"""The tab of zero-shot classification: the probability of each label for an image."""

from __future__ import annotations

import functools
import re

import gradio as gr
from PIL import Image

from dinoclip_viz import viz
from dinoclip_viz.app.events import AGAIN, HELPER, MODEL_RUN
from dinoclip_viz.app.handlers.answers import draw_next, remembered
from dinoclip_viz.app.images import image_input, read
from dinoclip_viz.app.notice import NoticeArea, notice
from dinoclip_viz.app.panel import Panel, scene_buttons
from dinoclip_viz.app.scenes import FIRST_SCENES
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.playground import CLASSES
from dinoclip_viz.tasks.zero_shot.classify import classify, classify_or_none

OWN, TYPED, CUSTOM = "the model's own", "as typed", "custom"
NONE = "none of these"
LABELS = ", ".join(CLASSES)
FIRST = FIRST_SCENES["zero-shot"]


def lines_of(text: str, separators: str = "\n") -> list[str]:
    r"""The distinct texts between the separators, without empty ones.

    Examples:
        >>> lines_of("cat, dog\n\ncat", ",\n")
        ['cat', 'dog']
    """
    parts = (part.strip() for part in re.split(f"[{re.escape(separators)}]", text or ""))
    return list(dict.fromkeys(part for part in parts if part))


def templates_of(choice: str, custom: str) -> list[str] | None:
    """The chosen templates; None for the model's own."""
    return {OWN: None, TYPED: ["{}"]}.get(choice, lines_of(custom))


def answer(
    bench: Workbench,
    key: str,
    path: str | None,
    labels: str,
    templates: str = OWN,
    custom: str = "",
    temperature: float = 1.0,
    none: bool = False,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple[Image.Image, list[list[str]], str]:
    """Bars of the probabilities, the same as a table, and a notice or "".

    Raises:
        ValueError: the image is missing, an input is invalid, or there is one label and no alternative.
    """
    image, names = read(path), lines_of(labels, ",\n")
    progress(0.2, desc="encoding")
    model, ways = bench.model(key), templates_of(templates, custom)
    features = bench.cropped(key, image)
    progress(0.8, desc="comparing")
    task = classify_or_none if none else classify
    probabilities = task(model, features, names, ways, temperature)[0].tolist()
    rows = sorted(zip([*names, NONE], probabilities, strict=False), key=lambda row: -row[1])
    table = [[name, f"{probability:.2%}"] for name, probability in rows]
    return viz.score_bars(names, probabilities), table, notice(model, bench.scenes, [image])


def build(bench: Workbench, key: gr.State) -> Panel:
    """The tab, inside the page that is being built."""
    gr.Markdown(
        "The probability of each label: a softmax over the cosine similarities between the image's vector and those of "
        "the labels. DINO's vectors are projected into CLIP's space."
    )
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            image = image_input(bench.files, "Image to classify", bench.scenes.draw(FIRST))
            draw, spread = scene_buttons(bench.scenes.noun)
            labels = gr.Textbox(
                ", ".join(bench.scenes.words) or LABELS,
                label="Labels, separated by commas or lines",
                lines=3,
                max_lines=12,
            )
            none = gr.Checkbox(
                False, label="Include “none of these”", info="Its cosine similarity was measured for the model."
            )
            with gr.Accordion("Templates and temperature", open=False):
                templates = gr.Radio([OWN, TYPED, CUSTOM], value=OWN, label="Templates")
                custom = gr.Textbox(
                    "a photo of a {}", label="Custom templates, one per line, {} for the label", lines=2, visible=False
                )
                temperature = gr.Slider(0.1, 5, 1, step=0.1, label="Temperature (above 1: more uniform)")
            run = gr.Button("Classify", variant="primary")
        with gr.Column(scale=3, elem_classes=["results"]):
            area = NoticeArea(bench)
            bars = gr.Image(
                label="Probability of each label, percent",
                alt_text="A bar for each label, the most probable first",
                format="png",
                buttons=["download", "fullscreen"],
                interactive=False,
                elem_id="zero-shot-result",
            )
            with gr.Accordion("Table", open=False):
                table = gr.Dataframe(headers=["label", "probability"], interactive=False, show_label=False)
    inputs = [key, image, labels, templates, custom, temperature, none]
    outputs = [bars, table, area.note]
    handler = remembered(bench, "classify", functools.partial(answer, bench), inputs)
    templates.change(lambda choice: gr.Textbox(visible=choice == CUSTOM), templates, custom, **HELPER)
    run.click(handler, inputs, outputs, **MODEL_RUN, **HELPER)
    gr.on([image.upload, temperature.release, none.input, templates.input], handler, inputs, outputs, **AGAIN)
    draw_next(bench, draw, FIRST, bench.scenes.next, [image], (handler, inputs, outputs))
    return Panel(handler, inputs, outputs, image, spread, area=area)
