"""The heat-map tab: where each prompt is, as raw cosines or as hard masks, by one or several methods side by side."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image
from torch import Tensor

from dinoclip_viz import viz
from dinoclip_viz.app.events import AGAIN, HELPER, MODEL_RUN, draw_next, told
from dinoclip_viz.app.images import FIRST_SEED, GivenImage, image_input, notice, read, shown
from dinoclip_viz.app.open_vocabulary import regions
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.resolution import OWN
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.models import HEATMAP_METHODS

FIXED, FITTED = "fixed", "fitted to this image"
MAPS, MASKS = "heat maps", "masks"
LOW, HIGH = -0.3, 0.6
MOST_MAPS = 48
MOST_PATCHES = 64
"""Along the longer side: graphs and attentions of all patches with all grow with the square of their number."""
PROMPTS = "a mushroom\na car\na flower\na cat"
TRUTH = "the truth"
METHODS = {
    "projector": "DINO's patches through the trained projector",
    "text-to-dino": "texts carried to DINO's own patches (Talk2DINO)",
    "maskclip": "CLIP's last values, without its attention (MaskCLIP)",
    "sclip": "each of CLIP's patches attends to those with a like query or key (SCLIP)",
    "naclip": "each attends to those with a like key nearby (NACLIP)",
    "clearclip": "each attends to those with a like query, without residual and MLP (ClearCLIP)",
    "dinoiser-pooling": "MaskCLIP averaged over patches that DINO finds alike (CLIP-DINOiser's teacher)",
    "dinoiser": "the same by what two layers learnt of DINO; no DINO runs (CLIP-DINOiser)",
    "proxyclip": "CLIP's values, attended to by what DINO finds alike (ProxyCLIP)",
    "lposs": "MaskCLIP's scores, spread over a graph of patches that are alike and near (LPOSS)",
}

Shown = list[tuple[Image.Image, str]]
Regions = list[tuple[regions.Annotated, str]]


def methods_of(bench: Workbench, key: str) -> Any:
    """The list of the methods that a model serves, its best one chosen."""
    model = bench.model(key)
    best = [model.default_method] if model.methods else []
    return gr.CheckboxGroup(list(model.methods), value=best, label="Methods", info="Several stand side by side.")


def answer(
    bench: Workbench,
    key: str,
    path: str | None,
    prompts: str,
    methods: str | Sequence[str] | None = None,
    opacity: float = 0.6,
    scale: str = FIXED,
    low: float = LOW,
    high: float = HIGH,
    against: str = "",
    cut: bool = False,
    threshold: float = 0.1,
    view: str = MAPS,
    background: str = "",
    patches: int = OWN,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple[Shown, str, str, Regions, dict[str, str]]:
    """What is shown for an image and prompts.

    Returns:
        One overlay with its scale for each prompt and method, captioned; a notice or ""; a table as HTML; and, in the
        view of masks, the annotated image of each method, then of the truth where it is known, captioned, with the
        colours by name.

    Raises:
        ValueError: an image, prompt, method or scale that cannot be used, or more maps than are drawn.
    """
    image = read(path)
    wanted = regions.asked(prompts, background, against, threshold if cut else None)
    model = bench.model(key)
    chosen = regions.chosen_methods(model, methods)
    count = wanted.count * len(chosen)
    if view == MAPS and count > MOST_MAPS:
        raise ValueError(
            f"{wanted.count} prompts by {len(chosen)} methods are {count} heat maps, more than the {MOST_MAPS} "
            "that are drawn at once; choose fewer, or the view of masks"
        )
    contrasted = wanted.against is not None
    bounds = None if scale == FITTED else fixed_range(low, high, contrasted)
    progress(0.2, desc="encoding and comparing")
    found = regions.find(bench, key, image, wanted, chosen, patches)
    progress(0.8, desc="drawing")
    note, table = notice(model, bench.drawn, [image]), regions.figures(found, wanted)
    if view == MASKS:
        parts = annotated_images(bench, image, wanted, found, opacity)
        return [], note, table, parts, regions.colour_map_of(wanted)
    if bounds is None:
        bounds = fitted_range([one.maps[: wanted.count] for one in found], contrasted)
    return overlays(image, wanted, found, bounds, opacity), note, table, [], {}


def overlays(
    image: GivenImage,
    wanted: regions.Asked,
    found: Sequence[regions.Found],
    bounds: tuple[float, float],
    opacity: float,
) -> Shown:
    """One overlay for each prompt and method, those of a prompt together."""
    less = "" if wanted.against is None else f" less the closest of: {', '.join(wanted.against.names)}"
    colours = "magma" if wanted.against is None else "RdBu_r"
    drawn = []
    for number, name in enumerate(wanted.names):
        for one in found:
            meaning = f"cosine with “{name}”{less}, {one.method}"
            values = one.maps[number]
            large = overlay(image.image, values, bounds, meaning, opacity, colours, wanted.threshold)
            drawn.append((large, name if len(found) == 1 else f"{name}, {one.method}"))
    return drawn


def annotated_images(
    bench: Workbench,
    image: GivenImage,
    wanted: regions.Asked,
    found: Sequence[regions.Found],
    opacity: float,
) -> Regions:
    """The masks of each method, then those of the truth where it is known, captioned."""
    parts = [
        (
            regions.annotated(image, one.labels.numpy(), wanted, opacity),
            one.method if one.miou is None else f"{one.method}, mIoU {one.miou:.0%}",
        )
        for one in found
    ]
    known = regions.truth_labels(wanted, bench.drawn.scene(image))
    return parts if known is None else [*parts, (regions.annotated(image, known, wanted, opacity), TRUTH)]


def files(
    bench: Workbench,
    home: Path,
    key: str,
    path: str | None,
    prompts: str,
    methods: str | Sequence[str] | None = None,
    against: str = "",
    cut: bool = False,
    threshold: float = 0.1,
    background: str = "",
    patches: int = OWN,
) -> list[str]:
    """Paths of the masks as files, two for each method; arguments and errors as of `answer`.

    Args:
        bench, key, path, prompts, methods, against, cut, threshold, background, patches: as there.
        home: folder that they are written to.
    """
    image = read(path)
    wanted = regions.asked(prompts, background, against, threshold if cut else None)
    chosen = regions.chosen_methods(bench.model(key), methods)
    return regions.write_masks(home, regions.find(bench, key, image, wanted, chosen, patches), wanted)


def overlay(
    image: Image.Image,
    values: Tensor,
    bounds: tuple[float, float],
    meaning: str,
    opacity: float,
    colours: str,
    threshold: float | None,
) -> Image.Image:
    """The image under one map, its scale below."""
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


def fitted_range(maps: Sequence[Tensor], contrast: bool) -> tuple[float, float]:
    """The range that the maps span together; about zero for a contrast."""
    known = [each[~each.isnan()] for each in maps]
    low, high = min(each.min().item() for each in known), max(each.max().item() for each in known)
    widest = max(abs(low), abs(high), 1e-3)
    return (-widest, widest) if contrast else (low, max(high, low + 1e-3))


def filled(
    answered: tuple[Shown, str, str, Regions, dict[str, str]],
) -> list[Any]:
    """A value for each component that the tab fills."""
    maps, note, table, parts, colours = answered
    slots = [gr.AnnotatedImage(value=one, label=label, color_map=colours, visible=True) for one, label in parts]
    slots += [gr.AnnotatedImage(value=None, visible=False) for _ in range(len(HEATMAP_METHODS) + 1 - len(slots))]
    return [maps, note, table, *slots]


def build(bench: Workbench, key: gr.State) -> Panel:
    """The tab, inside the page that is being built."""
    gr.Markdown(
        "### Where is it?\nHow close each place of the image is to each prompt: the raw cosine between a patch and "
        "the text, comparable from prompt to prompt; nothing is rescaled unless you ask. As masks, each place goes to "
        "the closest prompt, or to none of these."
    )
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            image = image_input("Image to search", bench.drawn.draw(FIRST_SEED))
            with gr.Row():
                draw = gr.Button("Draw another", size="sm")
                share = gr.Button("Use in every tab", size="sm")
            prompts = gr.Textbox(
                PROMPTS,
                label="Prompts, one a line",
                info="Synonyms between semicolons: a cat; a kitten",
                lines=4,
                max_lines=regions.MOST_PROMPTS,
            )
            line = gr.HTML(regions.chips(PROMPTS), elem_id="heatmap-chips")
            view = gr.Radio([MAPS, MASKS], value=MAPS, label="Show", elem_id="heatmap-view")
            methods = methods_of(bench, bench.first_key)
            opacity = gr.Slider(0, 1, 0.6, step=0.05, label="Opacity of the colours")
            choices = build_choices()
            run = gr.Button("Find them", variant="primary")
            save, saved = build_files()
        with gr.Column(scale=3, elem_classes=["results"]):
            note = gr.Markdown(elem_classes=["notice"])
            table = gr.HTML(elem_id="heatmap-figures")
            with gr.Column() as heat:
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
            with gr.Row(elem_classes=["regions"], elem_id="heatmap-regions", visible=False) as hard:
                slots = [
                    gr.AnnotatedImage(format="png", visible=False, elem_classes=["region"])
                    for _ in range(len(HEATMAP_METHODS) + 1)
                ]
    scale, low, high, against, cut, threshold, background, patches = choices
    inputs = [key, image, prompts, methods, opacity, scale, low, high, against, cut, threshold]
    inputs += [view, background, patches]
    outputs = [maps, note, table, *slots]
    plain = functools.partial(answer, bench)

    @functools.wraps(plain)
    def fill(*given: Any, **named: Any) -> list[Any]:
        return filled(plain(*given, **named))

    handler = told(fill)
    run.click(handler, inputs, outputs, api_name="heatmap", **MODEL_RUN)
    changes = [image.upload, methods.input, opacity.release, scale.input, cut.input, threshold.release]
    gr.on([*changes, patches.release, view.input], handler, inputs, outputs, **AGAIN)
    quick = {**HELPER, "show_progress": "hidden", "queue": False}
    view.change(lambda one: (gr.Column(visible=one == MAPS), gr.Row(visible=one == MASKS)), view, [heat, hard], **quick)
    gr.on([prompts.change, background.change], regions.chips, [prompts, background], line, **quick)
    folder = tempfile.TemporaryDirectory(prefix="dinoclip-masks-")  # goes when the page does
    asked = [key, image, prompts, methods, against, cut, threshold, background, patches]

    def save_files(*given: Any) -> Any:
        return gr.File(files(bench, Path(folder.name), *given), visible=True)

    save.click(told(save_files), asked, saved, **MODEL_RUN, **HELPER)
    draw_next(draw, FIRST_SEED, bench.drawn.next, [image], (handler, inputs, outputs))
    return Panel(handler, inputs, outputs, image, share, (methods,), methods_of)


def build_choices() -> list[Any]:
    """What is chosen more rarely: scale, its two ends, contrast prompts, cut, threshold, background words, patches."""
    with gr.Accordion("“None of these”: threshold and background words", open=False):
        cut = gr.Checkbox(False, label="Places below the threshold are none of these")
        threshold = gr.Slider(
            -0.5,
            0.9,
            0.1,
            step=0.01,
            label="Threshold, cosine",
            info="Methods differ in their levels: choose it by eye.",
        )
        background = gr.Textbox(
            "",
            label="Background words, one a line",
            lines=2,
            info="Masks alone: a place that is closest to one of these is none of the prompts; none is added unseen.",
        )
    with gr.Accordion("Scale, contrast and resolution", open=False):
        scale = gr.Radio([FIXED, FITTED], value=FIXED, label="Scale of the colours")
        with gr.Row():
            low = gr.Number(LOW, label="First colour, cosine", minimum=-2, maximum=2, step=0.05, min_width=100)
            high = gr.Number(HIGH, label="Last colour, cosine", minimum=-2, maximum=2, step=0.05, min_width=100)
        against = gr.Textbox(
            "", label="Contrast prompts, one a line", lines=2, info="Each map less the closest of these."
        )
        patches = gr.Slider(
            OWN,
            MOST_PATCHES,
            OWN,
            step=1,
            label="Patches along the longer side",
            info="0 leaves it to the encoder; twice as many take at least four times as long.",
        )
    with gr.Accordion("What the methods do", open=False):
        gr.Markdown("\n".join(f"- **{name}**: {words}" for name, words in METHODS.items()))
    return [scale, low, high, against, cut, threshold, background, patches]


def build_files() -> tuple[Any, Any]:
    """The button that saves the masks, and the place of the files."""
    with gr.Accordion("The masks as files", open=False):
        gr.Markdown(
            "For each method a JSON with COCO's run lengths, boxes and areas, and a PNG whose pixels are the prompt's "
            "number, 0 for none."
        )
        save = gr.Button("Save the masks", size="sm")
        saved = gr.File(label="Masks", file_count="multiple", interactive=False, visible=False, elem_id="heatmap-files")
    return save, saved
