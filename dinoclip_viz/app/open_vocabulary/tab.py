"""The tab of open-vocabulary heat maps: cosines or masks of each prompt, by one or several methods."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image
from torch import Tensor

from dinoclip_viz import viz
from dinoclip_viz.app.events import AGAIN, HELPER, MODEL_RUN
from dinoclip_viz.app.handlers.answers import draw_next, remembered, served
from dinoclip_viz.app.images import GivenImage, image_input, read, shown
from dinoclip_viz.app.notice import NoticeArea, notice
from dinoclip_viz.app.open_vocabulary import regions
from dinoclip_viz.app.open_vocabulary.masked_image import MaskedImage, mask_image
from dinoclip_viz.app.panel import Panel, scene_buttons
from dinoclip_viz.app.resolution import OWN, build_switch
from dinoclip_viz.app.scenes import FIRST_SCENES
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.models import HEATMAP_METHODS

FIXED, FITTED = "fixed", "fitted to this image"
MAPS, MASKS = "heat maps", "masks"
LOW, HIGH = -0.3, 0.6
MOST_MAPS = 48
MOST_PATCHES = 64
"""Along the longer side: the cost of some methods is quadratic in the number of patches."""
PROMPTS = "a mushroom\na car\na flower\na cat"
FIRST = FIRST_SCENES["heatmap"]
GROUND_TRUTH = "ground truth"
METHODS = regions.METHODS

Shown = list[tuple[Image.Image, str]]
Regions = list[tuple[regions.Annotated, str]]


def methods_of(bench: Workbench, key: str) -> Any:
    """The methods that a model supports as choices, its default chosen."""
    model = bench.model(key)
    best = [model.default_method] if model.methods else []
    return gr.CheckboxGroup(list(model.methods), value=best, label="Methods", info="Several are shown side by side.")


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
    as_patches: bool = False,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple[Shown, str, str, Regions, dict[str, str]]:
    """The heat maps or masks of prompts in an image.

    Returns:
        An overlay with its scale for each prompt and method, captioned; a notice or ""; a table as HTML; and, in the
        view of masks, the annotated image of each method and of the ground truth, captioned, with the colours by name.

    Raises:
        ValueError: the image is missing, an input is invalid, or there are more maps than are drawn.
    """
    image = read(path)
    request = regions.request_of(prompts, background, against, threshold if cut else None)
    model = bench.model(key)
    chosen = regions.chosen_methods(model, methods)
    count = request.count * len(chosen)
    if view == MAPS and count > MOST_MAPS:
        raise ValueError(
            f"{request.count} prompts by {len(chosen)} methods are {count} heat maps, more than the {MOST_MAPS} "
            "drawn at once; choose fewer, or the view of masks"
        )
    contrasted = request.against is not None
    bounds = None if scale == FITTED else fixed_range(low, high, contrasted)
    progress(0.2, desc="encoding and comparing")
    found = regions.find(bench, key, image, request, chosen, patches, as_patches)
    progress(0.8, desc="drawing")
    note, table = notice(model, bench.scenes, [image]), regions.figures(found, request)
    if view == MASKS:
        parts = annotated_images(bench, image, request, found, opacity)
        return [], note, table, parts, regions.colour_map_of(request)
    if bounds is None:
        bounds = fitted_range([one.maps[: request.count] for one in found], contrasted)
    return overlays(image, request, found, bounds, opacity), note, table, [], {}


def overlays(
    image: GivenImage,
    request: regions.Request,
    found: Sequence[regions.Found],
    bounds: tuple[float, float],
    opacity: float,
) -> Shown:
    """An overlay for each prompt and method, ordered by prompt."""
    less = "" if request.against is None else f" minus the nearest of: {', '.join(request.against.names)}"
    colours = "magma" if request.against is None else "RdBu_r"
    made = []
    for number, name in enumerate(request.names):
        for one in found:
            meaning = f"cosine with “{name}”{less}, {one.method}"
            values = one.maps[number]
            large = overlay(image.image, values, bounds, meaning, opacity, colours, request.threshold)
            made.append((large, name if len(found) == 1 else f"{name}, {one.method}"))
    return made


def annotated_images(
    bench: Workbench,
    image: GivenImage,
    request: regions.Request,
    found: Sequence[regions.Found],
    opacity: float,
) -> Regions:
    """The masks of each method, then the ground truth where there is one, captioned."""
    parts = [
        (
            regions.annotated(image, one.labels.numpy(), request, opacity),
            one.method if one.miou is None else f"{one.method}, mIoU {one.miou:.0%}",
        )
        for one in found
    ]
    known = regions.target_labels(request, bench.scenes.scene(image))
    return parts if known is None else [*parts, (regions.annotated(image, known, request, opacity), GROUND_TRUTH)]


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
    as_patches: bool = False,
) -> list[str]:
    """Paths of the masks as files, two per method; errors as in `answer`.

    Args:
        bench, key, path, prompts, methods, against, cut, threshold, background, patches, as_patches: as in
            `answer`.
        home: folder for the files.
    """
    image = read(path)
    request = regions.request_of(prompts, background, against, threshold if cut else None)
    chosen = regions.chosen_methods(bench.model(key), methods)
    found = regions.find(bench, key, image, request, chosen, patches, as_patches)
    return regions.write_masks(home, found, request)


def overlay(
    image: Image.Image,
    values: Tensor,
    bounds: tuple[float, float],
    meaning: str,
    opacity: float,
    colours: str,
    threshold: float | None,
) -> Image.Image:
    """A map over the image, with its scale."""
    low, high = bounds
    large = viz.heat_overlay(shown(image), values.numpy(), low, high, opacity, colours, threshold)
    mark = threshold if threshold is not None and low <= threshold <= high else None
    return viz.with_legend(large, viz.scale_bar(low, high, colours, meaning, max(large.width, 320), mark))


def fixed_range(low: float, high: float, contrast: bool) -> tuple[float, float]:
    """The typed range of the colours; symmetric around zero for a contrast.

    Raises:
        ValueError: low is not below high.
    """
    if low is None or high is None or not low < high:
        raise ValueError(f"found a scale from {low} to {high}; expected two numbers, the first below the second")
    widest = max(abs(low), abs(high))
    return (-widest, widest) if contrast else (low, high)


def fitted_range(maps: Sequence[Tensor], contrast: bool) -> tuple[float, float]:
    """The common range of the maps; symmetric around zero for a contrast."""
    known = [each[~each.isnan()] for each in maps]
    low, high = min(each.min().item() for each in known), max(each.max().item() for each in known)
    widest = max(abs(low), abs(high), 1e-3)
    return (-widest, widest) if contrast else (low, max(high, low + 1e-3))


def filled(
    answered: tuple[Shown, str, str, Regions, dict[str, str]],
) -> list[Any]:
    """A value for each component that the tab fills."""
    maps, note, table, parts, colours = answered
    slots: list[Any] = []
    for (image, masks), label in parts:
        coloured = [(mask_image(mask, colours[name]), name) for mask, name in masks]
        slots.append(gr.update(value=(image, coloured), label=label, color_map=colours, visible=True))
    slots += [gr.update(value=None, visible=False) for _ in range(len(HEATMAP_METHODS) + 1 - len(slots))]
    return [maps, note, table, *slots]


def build(bench: Workbench, key: gr.State) -> Panel:
    """The tab, inside the page that is being built."""
    gr.Markdown(
        "Heat maps show the cosine similarity between each patch and a prompt, on one scale for all prompts. Masks "
        "assign each pixel to the nearest prompt, or to none of them."
    )
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            image = image_input(bench.files, "Image", bench.scenes.draw(FIRST))
            draw, spread = scene_buttons(bench.scenes.noun)
            begin = "\n".join(bench.scenes.words) or PROMPTS
            prompts = gr.Textbox(
                begin,
                label="Prompts, one per line",
                info="Synonyms are separated by semicolons: a cat; a kitten",
                lines=4,
                max_lines=regions.MOST_PROMPTS,
            )
            line = gr.HTML(regions.chips(begin), elem_id="heatmap-chips")
            view = gr.Radio([MAPS, MASKS], value=MAPS, label="Show", elem_id="heatmap-view")
            methods = methods_of(bench, bench.first_key)
            opacity = gr.Slider(0, 1, 0.6, step=0.05, label="Opacity of the colours")
            as_patches = build_switch("heatmap-patches")
            choices = build_choices()
            run = gr.Button("Compute", variant="primary")
            save, saved = build_files()
        with gr.Column(scale=3, elem_classes=["results"]):
            area = NoticeArea(bench)
            note = area.note
            table = gr.HTML(elem_id="heatmap-figures")
            with gr.Column() as heat:
                maps = gr.Gallery(
                    label="Heat maps, one per prompt",
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
                    MaskedImage(format="png", visible=False, elem_classes=["region"])
                    for _ in range(len(HEATMAP_METHODS) + 1)
                ]
    scale, low, high, against, cut, threshold, background, patches = choices
    inputs = [key, image, prompts, methods, opacity, scale, low, high, against, cut, threshold]
    inputs += [view, background, patches, as_patches]
    outputs = [maps, note, table, *slots]
    plain = functools.partial(answer, bench)

    @functools.wraps(plain)
    def fill(*given: Any, **named: Any) -> list[Any]:
        return filled(plain(*given, **named))

    handler = remembered(bench, "heatmap", fill, inputs)
    run.click(handler, inputs, outputs, **MODEL_RUN, **HELPER)
    changes = [image.upload, methods.input, opacity.release, scale.input, cut.input, threshold.release]
    gr.on([*changes, patches.release, view.input, as_patches.input], handler, inputs, outputs, **AGAIN)
    quick = {**HELPER, "show_progress": "hidden", "queue": False}
    view.change(lambda one: (gr.Column(visible=one == MAPS), gr.Row(visible=one == MASKS)), view, [heat, hard], **quick)
    gr.on([prompts.change, background.change], regions.chips, [prompts, background], line, **quick)
    asked = [key, image, prompts, methods, against, cut, threshold, background, patches, as_patches]

    def save_files(*given: Any) -> Any:
        return gr.update(value=bench.files.adopted(files(bench, bench.files.folder, *given)), visible=True)

    save.click(served(bench, save_files), asked, saved, **MODEL_RUN, **HELPER)
    draw_next(bench, draw, FIRST, bench.scenes.next, [image], (handler, inputs, outputs))
    return Panel(handler, inputs, outputs, image, spread, (methods,), methods_of, area=area)


def build_choices() -> list[Any]:
    """Further inputs: scale, its two ends, contrast prompts, cut, threshold, background prompts, patches."""
    with gr.Accordion("Threshold and background prompts", open=False):
        cut = gr.Checkbox(False, label="Pixels below the threshold belong to no prompt")
        threshold = gr.Slider(
            -0.5,
            0.9,
            0.1,
            step=0.01,
            label="Threshold (cosine)",
            info="The range of cosines differs between methods.",
        )
        background = gr.Textbox(
            "",
            label="Background prompts, one per line",
            lines=2,
            info="In masks, pixels nearest to one of these belong to no prompt.",
        )
    with gr.Accordion("Scale, contrast and resolution", open=False):
        scale = gr.Radio([FIXED, FITTED], value=FIXED, label="Scale of the colours")
        with gr.Row():
            low = gr.Number(LOW, label="First colour (cosine)", minimum=-2, maximum=2, step=0.05, min_width=100)
            high = gr.Number(HIGH, label="Last colour (cosine)", minimum=-2, maximum=2, step=0.05, min_width=100)
        against = gr.Textbox(
            "",
            label="Contrast prompts, one per line",
            lines=2,
            info="The nearest of these is subtracted from each map.",
        )
        patches = gr.Slider(
            OWN,
            MOST_PATCHES,
            OWN,
            step=1,
            label="Patches along the longer side",
            info="0: the encoder's own. Twice as many take at least four times as long.",
        )
    with gr.Accordion("Methods", open=False):
        gr.Markdown("\n".join(f"- **{name}**: {what}" for name, what in METHODS.items()))
    return [scale, low, high, against, cut, threshold, background, patches]


def build_files() -> tuple[Any, Any]:
    """The button that saves the masks, and the component with the files."""
    with gr.Accordion("Save the masks", open=False):
        gr.Markdown(
            "Per method a JSON file with COCO run lengths, boxes and areas, and a PNG file with the number of the "
            "prompt as pixel value, 0 for none."
        )
        save = gr.Button("Save masks", size="sm")
        saved = gr.File(label="Masks", file_count="multiple", interactive=False, visible=False, elem_id="heatmap-files")
    return save, saved
