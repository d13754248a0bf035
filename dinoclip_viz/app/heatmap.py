"""The heat-map tab: how close each place of the picture is to each prompt."""

from __future__ import annotations

import functools

import gradio as gr
from PIL import Image
from torch import Tensor

from dinoclip_viz import viz
from dinoclip_viz.app.events import AGAIN, MODEL_RUN, draw_next, told
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.pictures import FIRST_SEED, notice, picture_input, read, shown
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.app.zero_shot import lines_of
from dinoclip_viz.tasks import heatmap as task

FIXED, FITTED = "fixed", "fitted to this picture"
LOW, HIGH = -0.3, 0.6
MOST_PROMPTS = 12
PROMPTS = "a mushroom\na car\na flower\na cat"
METHODS = {
    "projector": "DINO's patches through the trained projector",
    "maskclip": "MaskCLIP: CLIP's last values",
    "dinoiser-pooling": "CLIP-DINOiser's pooling: CLIP's values, averaged over patches that DINO finds alike",
}


def method_choices(methods: tuple[str, ...]) -> list[tuple[str, str]]:
    """(what the list shows, name) of each method."""
    return [(f"{method} ({METHODS[method]})" if method in METHODS else method, method) for method in methods]


def methods_of(bench: Workbench, key: str) -> gr.Dropdown:
    """The list of the methods that a model serves, its best one chosen."""
    model = bench.model(key)
    best = model.default_method if model.methods else None
    return gr.Dropdown(method_choices(model.methods), value=best, label="Method", filterable=False)


def answer(
    bench: Workbench,
    key: str,
    path: str | None,
    prompts: str,
    method: str | None = None,
    opacity: float = 0.6,
    scale: str = FIXED,
    low: float = LOW,
    high: float = HIGH,
    against: str = "",
    cut: bool = False,
    threshold: float = 0.1,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple[list[tuple[Image.Image, str]], str]:
    """One overlay with its scale for each prompt, captioned, and a notice or "".

    Raises:
        ValueError: a picture, prompt, method or scale that cannot be used.
    """
    picture, texts, others = read(path), lines_of(prompts), lines_of(against)
    if len(texts) + len(others) > MOST_PROMPTS:
        raise ValueError(f"{len(texts) + len(others)} prompts are more than the {MOST_PROMPTS} shown at once")
    progress(0.2, desc="encoding")
    model = bench.model(key)
    chosen = model.check_method(method)
    features = bench.whole(key, picture)
    progress(0.6, desc="comparing")
    maps = task.heatmap(model, features, texts, chosen)
    if others:
        maps = task.contrast(maps, task.heatmap(model, features, others, chosen))
    bounds = fitted_range(maps, bool(others)) if scale == FITTED else fixed_range(low, high, bool(others))
    progress(0.8, desc="drawing")
    meaning = (
        f"cosine with “{{}}”, {chosen}"
        if not others
        else f"cosine with “{{}}” less the closest of: {', '.join(others)}"
    )
    level, colours = threshold if cut else None, "RdBu_r" if others else "magma"
    drawn = [
        overlay(picture.image, values, bounds, meaning.replace("{}", text, 1), opacity, colours, level)
        for text, values in zip(texts, maps, strict=True)
    ]
    return list(zip(drawn, texts, strict=True)), notice(model, bench.drawn, [picture])


def overlay(
    image: Image.Image,
    values: Tensor,
    bounds: tuple[float, float],
    meaning: str,
    opacity: float,
    colours: str,
    threshold: float | None,
) -> Image.Image:
    """The picture under one map, its scale below."""
    low, high = bounds
    large = viz.heat_overlay(shown(image), values.numpy(), low, high, opacity, colours, threshold)
    mark = threshold if threshold is not None and low <= threshold <= high else None
    return viz.with_legend(large, viz.scale_bar(low, high, colours, meaning, max(large.width, 320), mark))


def fixed_range(low: float, high: float, contrast: bool) -> tuple[float, float]:
    """The range of the colours as it was typed; about zero for a contrast.

    Raises:
        ValueError: low is not below high.
    """
    if low is None or high is None or not low < high:
        raise ValueError(f"the scale goes from {low} to {high}; expected two numbers, the first below the second")
    widest = max(abs(low), abs(high))
    return (-widest, widest) if contrast else (low, high)


def fitted_range(maps: Tensor, contrast: bool) -> tuple[float, float]:
    """The range that the maps span together; about zero for a contrast."""
    known = maps[~maps.isnan()]
    low, high = known.min().item(), known.max().item()
    widest = max(abs(low), abs(high), 1e-3)
    return (-widest, widest) if contrast else (low, max(high, low + 1e-3))


def build(bench: Workbench, key: gr.State) -> Panel:
    """The tab, inside the page that is being built."""
    gr.Markdown(
        "### Where is it?\nHow close each place of the picture is to each prompt: the raw cosine between a patch and "
        "the text, comparable from prompt to prompt; nothing is rescaled unless you ask."
    )
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            picture = picture_input("Picture to search", bench.drawn.draw(FIRST_SEED))
            with gr.Row():
                draw = gr.Button("Draw another", size="sm")
                share = gr.Button("Use in every tab", size="sm")
            prompts = gr.Textbox(PROMPTS, label="Prompts, one a line", lines=3, max_lines=MOST_PROMPTS)
            method = methods_of(bench, bench.first_key)
            opacity = gr.Slider(0, 1, 0.6, step=0.05, label="Opacity of the colours")
            with gr.Accordion("Scale, threshold and contrast", open=False):
                scale = gr.Radio([FIXED, FITTED], value=FIXED, label="Scale of the colours")
                with gr.Row():
                    low = gr.Number(LOW, label="First colour, cosine", minimum=-2, maximum=2, step=0.05, min_width=100)
                    high = gr.Number(HIGH, label="Last colour, cosine", minimum=-2, maximum=2, step=0.05, min_width=100)
                cut = gr.Checkbox(False, label="Show only what is above the threshold")
                threshold = gr.Slider(-0.5, 0.9, 0.1, step=0.01, label="Threshold, cosine")
                against = gr.Textbox(
                    "", label="Contrast prompts, one a line", lines=2, info="Each map less the closest of these."
                )
            run = gr.Button("Draw the maps", variant="primary")
        with gr.Column(scale=3, elem_classes=["results"]):
            note = gr.Markdown(elem_classes=["notice"])
            maps = gr.Gallery(
                label="Heat maps, one a prompt",
                columns=2,
                height="auto",
                object_fit="contain",
                format="png",
                buttons=["download", "download_all", "fullscreen"],
                interactive=False,
                elem_id="heatmap-result",
            )
    inputs = [key, picture, prompts, method, opacity, scale, low, high, against, cut, threshold]
    outputs = [maps, note]
    handler = told(functools.partial(answer, bench))
    run.click(handler, inputs, outputs, api_name="heatmap", **MODEL_RUN)
    changes = [picture.upload, method.input, opacity.release, scale.input, cut.input, threshold.release]
    gr.on(changes, handler, inputs, outputs, **AGAIN)
    draw_next(draw, FIRST_SEED, bench.drawn.next, [picture], (handler, inputs, outputs))
    return Panel(handler, inputs, outputs, picture, share, (method,), methods_of)
