"""The tab of affordances: where in an image each verb can be done, as heat maps."""

from __future__ import annotations

import functools
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz import viz
from dinoclip_viz.app.events import AGAIN, HELPER, MODEL_RUN
from dinoclip_viz.app.handlers.answers import draw_next, remembered
from dinoclip_viz.app.images import GivenImage, image_input, read, shown
from dinoclip_viz.app.notice import NOTICE
from dinoclip_viz.app.offer import missing
from dinoclip_viz.app.panel import Panel, scene_buttons
from dinoclip_viz.app.scenes import FIRST_SCENES
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.app.zero_shot.tab import lines_of
from dinoclip_viz.playground import ACTIONS
from dinoclip_viz.tasks.pca.layers import layer_colours

if TYPE_CHECKING:
    from dinoclip_viz.affordance.model import AffordanceModel
    from dinoclip_viz.encoders.layers import LayerFeatures

MODEL = "playground-affordance"
FIRST = FIRST_SCENES["affordances"]
VERBS = ("hold", "cut", "contain", "sit on")
"""Verbs that the tab opens with."""
MOST_VERBS, LONGEST_VERB = 24, 100
THRESHOLD = 0.5
CELL = 256
LOW, HIGH, COLOURS = 0.0, 1.0, "magma"
NOTHING = "nothing here"

Shown = list[tuple[Image.Image, str]]


def affordance_model(bench: Workbench) -> AffordanceModel:
    """The model; loaded once while it is kept."""
    from dinoclip_viz.affordance.loading import load_affordance

    model: AffordanceModel = bench.further.get(MODEL, lambda: load_affordance(MODEL, device=bench.device))
    return model


def answer(
    bench: Workbench,
    path: str | None,
    verbs: Sequence[str],
    further: str = "",
    threshold: float = THRESHOLD,
    opacity: float = 0.6,
    layers: bool = False,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple[Shown, str, str, Any]:
    """Heat maps with captions, a table as HTML, a notice or "", and the layers' figure with its visibility.

    Raises:
        ValueError: the image is missing, there is no verb, or there are too many or too long ones.
    """
    image, names = read(path), verbs_of(verbs, further)
    if line := missing(MODEL):
        return [(shown(image.image), "")], "", line, gr.update(value=None, visible=False)
    progress(0.2, desc="encoding")
    model = affordance_model(bench)
    maps = np.asarray(model.predict(image.image, names))  # (V, h, w)
    progress(0.8, desc="drawing")
    figures = [overlay(image, values, name, threshold, opacity) for name, values in zip(names, maps, strict=True)]
    sheet = layers_of(model.encode(image.image)) if layers else None
    note = "" if image in bench.scenes else NOTICE
    return figures, table(names, maps, threshold, model.verbs), note, gr.update(value=sheet, visible=layers)


def verbs_of(chosen: Sequence[str], further: str) -> list[str]:
    """The chosen and the typed verbs, each once.

    Raises:
        ValueError: there is none, or there are too many or too long ones.

    Examples:
        >>> verbs_of(["hold"], "slice, hold")
        ['hold', 'slice']
    """
    names = list(dict.fromkeys([*(chosen or ()), *lines_of(further, ",\n")]))
    if not names:
        raise ValueError("found no verb; expected one or more, such as hold or cut")
    if len(names) > MOST_VERBS:
        raise ValueError(f"found {len(names)} verbs; expected at most {MOST_VERBS}; remove some")
    long = [name for name in names if len(name) > LONGEST_VERB]
    if long:
        raise ValueError(f"found a verb of {len(long[0])} letters; expected at most {LONGEST_VERB}")
    return names


def overlay(
    image: GivenImage, values: NDArray[np.float32], name: str, threshold: float, opacity: float
) -> tuple[Image.Image, str]:
    """A map over the image with its scale and an outline at the threshold, and its caption; dimmed if all is below."""
    region = values >= threshold
    found, large = bool(region.any()), shown(image.image)
    if found:
        large = viz.heat_overlay(large, values, LOW, HIGH, opacity, COLOURS)
        large = viz.mask_outline(large, region, [(255, 255, 255)], thickness=3)
    else:
        large = viz.heat_overlay(large, values, LOW, HIGH, opacity, COLOURS, threshold=2 * HIGH)  # all of it is dimmed
    meaning = f"where to “{name}”" if found else f"where to “{name}”: {NOTHING}, all below {threshold:.2f}"
    legend = viz.scale_bar(LOW, HIGH, COLOURS, meaning, max(large.width, 320), threshold)
    return viz.with_legend(large, legend), name if found else f"{name}: {NOTHING}"


def table(names: Sequence[str], maps: NDArray[np.float32], threshold: float, trained: Sequence[str]) -> str:
    """A table as escaped HTML: the largest value of each verb, the area above the threshold, whether it was trained."""
    rows = []
    for name, values in zip(names, maps, strict=True):
        area = float((values >= threshold).mean())
        found = f"{area:.1%}" if area else NOTHING
        rows.append([name, f"{values.max():.2f}", found, "yes" if name in trained else "no, through its text"])
    head = "".join(f"<th>{word}</th>" for word in ("verb", "largest value", "area above the threshold", "trained"))
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="figures"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def layers_of(features: LayerFeatures) -> Image.Image:
    """PCA colours of the patches after each of the layers from which the heat maps are computed."""
    colours = layer_colours(features)[0]
    count = len(colours)
    titles = [f"{count - number} before the last" for number in range(1, count)] + ["last layer"]
    return viz.side_by_side([viz.pca_image(each.numpy(), CELL) for each in colours], titles)


def build(bench: Workbench, key: gr.State) -> Panel:
    """The tab, inside the page that is being built; it has a model of its own, so that `key` is not read."""
    gr.Markdown(
        "A heat map for each verb: the parts of objects with which it can be done. The model was trained on one "
        "annotated image per class; other verbs take effect through their text."
    )
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            image = image_input(bench.files, "Image", bench.scenes.draw(FIRST))
            draw, spread = scene_buttons(bench.scenes.noun)
            verbs = gr.CheckboxGroup(list(ACTIONS), value=list(VERBS), label="Verbs", elem_id="affordances-verbs")
            further = gr.Textbox("", label="Further verbs, separated by commas or lines", lines=1, max_lines=8)
            threshold = gr.Slider(
                0, 1, THRESHOLD, step=0.01, label="Threshold", info="A verb with no pixel above it: nothing here."
            )
            opacity = gr.Slider(0, 1, 0.6, step=0.05, label="Opacity of the colours")
            layers = gr.Checkbox(
                False, label="Show DINO layers", info="PCA of the patches after the layers that the model reads."
            )
            run = gr.Button("Find", variant="primary")
        with gr.Column(scale=3, elem_classes=["results"]):
            note = gr.Markdown(elem_classes=["notice"])
            figures = gr.HTML(elem_id="affordances-figures")
            maps = gr.Gallery(
                label="Heat maps, one per verb",
                columns=2,
                height="auto",
                object_fit="contain",
                format="png",
                buttons=["download", "download_all", "fullscreen"],
                interactive=False,
                elem_id="affordances-result",
            )
            sheet = gr.Image(
                label="DINO layers, PCA of the patches",
                alt_text="PCA colours of the patches after each of the last layers",
                format="png",
                buttons=["download", "fullscreen"],
                interactive=False,
                visible=False,
                elem_id="affordances-layers",
            )
    inputs = [image, verbs, further, threshold, opacity, layers]
    outputs = [maps, figures, note, sheet]
    handler = remembered(bench, "afford", functools.partial(answer, bench), inputs)
    run.click(handler, inputs, outputs, **MODEL_RUN, **HELPER)
    changes = [image.upload, verbs.input, further.submit, threshold.release, opacity.release, layers.input]
    gr.on(changes, handler, inputs, outputs, **AGAIN)
    draw_next(bench, draw, FIRST, bench.scenes.next, [image], (handler, inputs, outputs))
    return Panel(handler, inputs, outputs, image, spread)
