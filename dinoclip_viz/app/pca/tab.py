"""The PCA tab: patch features of several images in common colours, DINO next to CLIP."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import gradio as gr
import torch
from PIL import Image

from dinoclip_viz import viz
from dinoclip_viz.app.events import AGAIN, HELPER, MODEL_RUN
from dinoclip_viz.app.handlers.answers import draw_next, remembered
from dinoclip_viz.app.images import MOST_IMAGES, SHOWN, GivenImage, images_input, read_all, shown
from dinoclip_viz.app.notice import NoticeArea, notice
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.pca.views import (
    COMPONENTS,
    VIEWS,
    build_clicks,
    build_files,
    segment_maps,
    segments_legend,
)
from dinoclip_viz.app.resolution import (
    OWN,
    at_resolution,
    build_resolution,
    build_switch,
    sharp_labels,
    sharp_map,
)
from dinoclip_viz.app.scenes import FIRST_SCENES
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.tasks.pca.colours import component_strips
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA

ALL, FOREGROUND = "all patches", "the foreground"
FIRST = FIRST_SCENES["pca"]
COUNT = 3
SEGMENTS, MOST_SEGMENTS = 6, 16
STEP = 100
LEGEND = ("first principal component", "second component", "third component")
NOTE = "Similar colours mean similar features, across all images of one encoder. Colours of two encoders are unrelated."


def encoders_of(model: ImageTextModel, compare: bool) -> list[tuple[str, ImageEncoder]]:
    """(title, encoder) of each column: the guide or the model's own, then CLIP where it is another."""
    first = model.guide or model.images
    pairs = [(first.name, first)]
    if compare and model.clip is not None and model.clip is not first:
        pairs.append((f"CLIP: {model.clip.name}", model.clip))
    return pairs


def bases_for(
    bench: Workbench,
    kept: str | None,
    columns: Sequence[Sequence[ImageFeatures]],
    subject: str,
    flip: bool,
) -> list[PatchPCA]:
    """A basis per column: the kept one if it belongs to the same encoder, else one fitted on these images."""
    old = {basis.space_: basis for basis in bench.bases.get(kept) or []}
    wanted = "foreground" if subject == FOREGROUND else "all"
    return [
        old.get(features[0].patch_space)
        or PatchPCA(3, "foreground" if wanted == "foreground" else "all", flip).fit(list(features))
        for features in columns
    ]


def answer(
    bench: Workbench,
    key: str,
    items: Sequence[tuple[str, str | None]] | None,
    basis: str | None = None,
    keep: bool = False,
    compare: bool = True,
    subject: str = ALL,
    hide: bool = False,
    automatic: bool = True,
    threshold: float = 0.0,
    flip: bool = False,
    patches: int = OWN,
    tiles: bool = False,
    view: str = COMPONENTS,
    count: float = SEGMENTS,
    as_patches: bool = False,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> tuple[list[tuple[Image.Image, str]], Image.Image, Image.Image, Any, str, str]:
    """Maps with captions, legend, histogram, slider of the threshold, id of the bases, and a notice or "".

    Raises:
        ValueError: an image is invalid, or there are none or too many.
    """
    images, model = read_all(items), bench.model(key)
    pairs = encoders_of(model, compare)
    steps = [(encoder, image) for _, encoder in pairs for image in images]
    encoded = [
        at_resolution(bench, encoder, image, patches, tiles) for encoder, image in progress.tqdm(steps, desc="encoding")
    ]
    columns = [encoded[start : start + len(images)] for start in range(0, len(encoded), len(images))]
    fitted = bases_for(bench, basis if keep else None, columns, subject, flip)
    level = fitted[0].threshold_ if automatic else threshold
    levels = [level, *(each.threshold_ for each in fitted[1:])]
    if view == COMPONENTS:
        sharp = [] if as_patches else images
        maps = [column_of(*column, hide, sharp) for column in zip(fitted, columns, levels, strict=True)]
    else:
        maps = segment_maps(view, round(count), columns, images, as_patches)
    gallery = rows_of(images, [title for title, _ in pairs], maps)
    first = torch.cat([values.flatten() for values in fitted[0].first_component(list(columns[0]))])
    histogram = viz.figure_to_image(viz.component_histogram(first.numpy(), level))
    low, high = first.min().item(), first.max().item()
    slider = gr.Slider(minimum=low, maximum=high, value=min(max(level, low), high), step=(high - low) / STEP or 1)
    fractions = ", ".join(f"{fraction:.0%}" for fraction in fitted[0].explained_variance_.tolist())
    note = f"{NOTE} First column: {fractions} of the variance."
    strips = component_strips(fitted[0].colours)
    legend = viz.component_legend(LEGEND, strips, note) if view == COMPONENTS else segments_legend(round(count))
    return gallery, legend, histogram, slider, bench.bases.put(fitted), notice(model, bench.scenes, images)


def _relevant(key: str, items: Any, basis: str | None, keep: bool, *others: Any) -> tuple[Any, ...]:
    """The inputs without those that others switch off: a basis that is not kept, a threshold that is automatic."""
    compare, subject, hide, automatic, threshold, *rest = others
    used = None if automatic else threshold
    return key, items, basis if keep else None, keep, compare, subject, hide, automatic, used, *rest


def column_of(
    basis: PatchPCA, features: Sequence[ImageFeatures], level: float, hide: bool, sharp: Sequence[GivenImage] = ()
) -> list[Image.Image]:
    """The map of each image in the colours of the basis.

    Args:
        basis: fitted.
        features: of each image.
        level: threshold of the foreground on the first component; hide: whether the background is grey.
        sharp: the images, whose edges the maps follow; none for a square per patch.
    """
    colours = [one[0] for one in basis.transform(list(features))]
    fronts = [one[0] for one in basis.foreground(list(features), level)]
    if sharp:
        colours = [sharp_map(one, image) for one, image in zip(colours, sharp, strict=True)]
        fronts = [sharp_labels(one.long(), image) > 0 for one, image in zip(fronts, sharp, strict=True)]
    return [
        viz.pca_image(colour.numpy(), SHOWN, foreground=front.numpy() if hide else None)
        for colour, front in zip(colours, fronts, strict=True)
    ]


def rows_of(
    images: Sequence[GivenImage], titles: Sequence[str], maps: Sequence[Sequence[Image.Image]]
) -> list[tuple[Image.Image, str]]:
    """For each image: the image, then its map in each column."""
    rows = []
    for index, image in enumerate(images):
        rows.append((shown(image.image), f"image {index + 1}"))
        rows.extend((column[index], f"{title}") for title, column in zip(titles, maps, strict=True))
    return rows


def build(bench: Workbench, key: gr.State) -> Panel:
    """The tab, inside the page that is being built."""
    gr.Markdown(
        "The first three principal components of the patch features as colours, fitted jointly on all images: the "
        "first as lightness, the others as hue. DINO's features separate objects and parts better than CLIP's."
    )
    last, begin = bench.scenes.several(COUNT, FIRST - 1)

    def encoders(model: str, both: bool) -> list[ImageEncoder]:
        return [encoder for _, encoder in encoders_of(bench.model(model), both)]

    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            images = images_input(bench.files, begin, MOST_IMAGES, 3, "pca-images")
            draw = gr.Button(f"New {bench.scenes.noun}s", size="sm")
            view = gr.Radio(VIEWS, value=COMPONENTS, label="Show")
            count = gr.Slider(2, MOST_SEGMENTS, SEGMENTS, step=1, label="Number of segments", visible=False)
            keep = gr.Checkbox(False, label="Keep the colours for the next images")
            compare = gr.Checkbox(True, label="Compare with CLIP")
            hide = gr.Checkbox(False, label="Grey out the background")
            as_patches = build_switch("pca-patches")
            with gr.Accordion("Foreground, colours and resolution", open=False):
                automatic = gr.Checkbox(True, label="Automatic threshold of the foreground (Otsu)")
                threshold = gr.Slider(-10, 10, 0, label="Threshold on the first component")
                flip = gr.Checkbox(False, label="Swap foreground and background")
                subject = gr.Radio([ALL, FOREGROUND], value=ALL, label="Colours fitted on")
                fine = build_resolution(bench, key, images, encoders, read_all, [compare])
            basis = gr.State(None)
            loaded = build_files(bench, key, basis, keep, lambda chosen: encoders_of(bench.model(chosen), True))
            run = gr.Button("Compute PCA", variant="primary")
        with gr.Column(scale=3, elem_classes=["results"]):
            area = NoticeArea(bench)
            note = area.note
            maps = gr.Gallery(
                label="Images and their PCA maps",
                columns=3,
                height="auto",
                object_fit="contain",
                format="png",
                buttons=["download", "download_all", "fullscreen"],
                interactive=False,
                elem_id="pca-result",
            )
            still: dict[str, Any] = {"format": "png", "interactive": False, "buttons": ["download", "fullscreen"]}
            legend = gr.Image(label="Legend", alt_text="Red, green and blue are components", **still)
            histogram = gr.Image(
                label="First component: foreground and background",
                alt_text="Histogram of the first component, split at the threshold",
                **still,
            )
            build_clicks(bench, key, images, fine, lambda chosen: encoders_of(bench.model(chosen), False)[0][1])
    inputs = [key, images, basis, keep, compare, subject, hide, automatic, threshold, flip, *fine.inputs, view, count]
    inputs += [as_patches]
    outputs = [maps, legend, histogram, threshold, basis, note]
    handler = remembered(
        bench,
        "pca",
        functools.partial(answer, bench),
        inputs,
        valid=lambda answered: bench.bases.get(answered[4]) is not None,
        relevant=_relevant,
    )
    run.click(handler, inputs, outputs, **MODEL_RUN, **HELPER)
    view.change(lambda now: gr.Slider(visible=now != COMPONENTS), view, count, **HELPER)
    loaded.success(handler, inputs, outputs, **AGAIN)
    changes = [
        view.input,
        count.release,
        compare.input,
        subject.input,
        hide.input,
        as_patches.input,
        automatic.input,
        flip.input,
        images.upload,
    ]
    gr.on(changes, handler, inputs, outputs, **AGAIN)
    threshold.release(lambda: (False, True), None, [automatic, hide], **HELPER).then(handler, inputs, outputs, **AGAIN)
    draw_next(bench, draw, last, functools.partial(bench.scenes.several, COUNT), [images], (handler, inputs, outputs))
    compare.change(lambda two: gr.Gallery(columns=3 if two else 2), compare, maps, **HELPER)
    return Panel(handler, inputs, outputs, images, area=area)
