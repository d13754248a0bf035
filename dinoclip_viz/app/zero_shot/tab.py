"""The zero-shot tab: which of these labels fits the image best, and whether any does."""

from __future__ import annotations

import functools
import re

import gradio as gr
from PIL import Image

from dinoclip_viz import viz
from dinoclip_viz.app.events import AGAIN, HELPER, MODEL_RUN, draw_next, told
from dinoclip_viz.app.images import FIRST_SEED, image_input, notice, read
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.playground import CLASSES
from dinoclip_viz.tasks.zero_shot.classify import classify, classify_or_none

OWN, TYPED, CUSTOM = "the model's own", "as typed", "custom"
NONE = "none of these"
LABELS = ", ".join(CLASSES)


def lines_of(text: str, separators: str = "\n") -> list[str]:
    r"""The texts between the separators, without empty ones and repetitions.

    Examples:
        >>> lines_of("cat, dog\n\ncat", ",\n")
        ['cat', 'dog']
    """
    parts = (part.strip() for part in re.split(f"[{re.escape(separators)}]", text or ""))
    return list(dict.fromkeys(part for part in parts if part))


def templates_of(choice: str, custom: str) -> list[str] | None:
    """The templates that were chosen; None for the model's own."""
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
    """Bars, a table of the same numbers, and a notice or "".

    Raises:
        ValueError: an image, label, template or temperature that cannot be used, or one label with no alternative.
    """
    image, names = read(path), lines_of(labels, ",\n")
    progress(0.2, desc="encoding")
    model, ways = bench.model(key), templates_of(templates, custom)
    features = bench.cropped(key, image)
    progress(0.8, desc="comparing")
    task = classify_or_none if none else classify
    shares = task(model, features, names, ways, temperature)[0].tolist()
    rows = sorted(zip([*names, NONE], shares, strict=False), key=lambda row: -row[1])
    table = [[name, f"{share:.2%}"] for name, share in rows]
    return viz.score_bars(names, shares), table, notice(model, bench.drawn, [image])


def build(bench: Workbench, key: gr.State) -> Panel:
    """The tab, inside the page that is being built."""
    gr.Markdown(
        "### Which label fits?\nThe share of each label for the image: a softmax over the cosines between the "
        "image's vector and the labels' (CLIP's zero-shot classification; a DINO through its projector)."
    )
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            image = image_input("Image to classify", bench.drawn.draw(FIRST_SEED))
            with gr.Row():
                draw = gr.Button("Draw another", size="sm")
                share = gr.Button("Use in every tab", size="sm")
            labels = gr.Textbox(LABELS, label="Labels, between commas or one a line", lines=3, max_lines=12)
            none = gr.Checkbox(
                False, label="Offer “none of these”", info="It stands among the labels at the model's measured cosine."
            )
            with gr.Accordion("Templates and temperature", open=False):
                templates = gr.Radio([OWN, TYPED, CUSTOM], value=OWN, label="Templates")
                custom = gr.Textbox(
                    "a photo of a {}", label="Custom templates, one a line, {} for the label", lines=2, visible=False
                )
                temperature = gr.Slider(0.1, 5, 1, step=0.1, label="Temperature (above 1: more even)")
            run = gr.Button("Classify", variant="primary")
        with gr.Column(scale=3, elem_classes=["results"]):
            note = gr.Markdown(elem_classes=["notice"])
            bars = gr.Image(
                label="Share of each label",
                alt_text="A bar for each label, the most probable first",
                format="png",
                buttons=["download", "fullscreen"],
                interactive=False,
                elem_id="zero-shot-result",
            )
            with gr.Accordion("The same as a table", open=False):
                table = gr.Dataframe(headers=["label", "share"], interactive=False, show_label=False)
    inputs = [key, image, labels, templates, custom, temperature, none]
    outputs = [bars, table, note]
    handler = told(functools.partial(answer, bench))
    templates.change(lambda choice: gr.Textbox(visible=choice == CUSTOM), templates, custom, **HELPER)
    run.click(handler, inputs, outputs, api_name="classify", **MODEL_RUN)
    gr.on([image.upload, temperature.release, none.input, templates.input], handler, inputs, outputs, **AGAIN)
    draw_next(draw, FIRST_SEED, bench.drawn.next, [image], (handler, inputs, outputs))
    return Panel(handler, inputs, outputs, image, share)
