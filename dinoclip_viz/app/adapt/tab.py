"""The tab of label-free adaptation: labels before and after, and the images whose label changed."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz import viz
from dinoclip_viz.adapt.adapt import adapt, answers, zero_shot
from dinoclip_viz.adapt.descriptions import PLAYGROUND
from dinoclip_viz.adapt.diagnostics import Comparison, compare
from dinoclip_viz.adapt.inputs import Unlabelled, gather
from dinoclip_viz.app.adapt.unlabelled import FOLDER, MOST, PLAIN, SCENES, UPLOADS, Given, given_images
from dinoclip_viz.app.events import HELPER, MODEL_RUN
from dinoclip_viz.app.handlers.answers import remembered
from dinoclip_viz.app.images import FILE_TYPES
from dinoclip_viz.app.notice import NOTICE, NoticeArea
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.retrieval.gallery import results_gallery
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.app.zero_shot.tab import LABELS, lines_of
from dinoclip_viz.encoders.devices import is_embedded
from dinoclip_viz.images import ImageError
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.playground import DOMAINS

METHODS = {
    "StatA": "stata",
    "TransCLIP": "transclip",
    "ZLaP": "zlap",
    "NoLA, labelling network": "nola-labeller",
    "NoLA": "nola",
}
ABOUT = (
    "The labelling network learns from a DINO's features in seconds, best with hundreds of images. StatA, TransCLIP "
    "and ZLaP read the CLIP's own; StatA is the most reliable where the images show few of the classes."
)
ABOUT_TUNING = " NoLA tunes the CLIP on its labels, in minutes."
TUNES = "nola"
"""The method that trains on the images for minutes."""
FIRST_DOMAIN, FIRST_METHOD, COUNT = "night", "NoLA, labelling network", 400
FEW = 50
"""Scenes that the page starts with where an image takes long: a published model on a CPU."""
SHOWN = 24  # images whose label changed

Answer = tuple[str, Image.Image, list[tuple[Image.Image, str]], str]


def answer(
    bench: Workbench,
    key: str,
    kind: str,
    domain: str,
    count: int,
    uploads: list[str] | None,
    folder: str,
    labels: str,
    method: str,
    described: bool,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
) -> Answer:
    """A summary, histograms of the confidence, the images whose label changed, and a notice or "".

    Args:
        bench: the workbench; key: of the model.
        kind, domain, count, uploads, folder: of the images, as in `given_images`.
        labels: class names, separated by commas or lines.
        method: a name of `METHODS`.
        described: whether the playground's descriptions are used.
        progress: Gradio's.

    Raises:
        ValueError: an input is missing or invalid, a folder or NoLA on a public page, or one class.
    """
    if bench.offer.public and kind == FOLDER:
        raise ValueError("folders of the server are not offered on a public page; upload the images instead")
    if bench.offer.public and METHODS[method] == TUNES:
        raise ValueError(f"{method} is not offered on a public page, where it would keep other visitors waiting")
    names = lines_of(labels, ",\n")
    given = given_images(kind, domain, count, uploads, folder)
    model = _clip(bench.model(key))
    unlabelled = gather(model, given.images, lambda done, line: progress(0.4 * done, desc=line))
    adapted = adapt(
        model, unlabelled, names, METHODS[method], PLAYGROUND if described else None,
        progress=lambda done, line: progress(0.4 + 0.5 * done, desc=line),
    )  # fmt: skip
    before, after = zero_shot(model, unlabelled, names), answers(adapted, unlabelled)
    found = compare(before, after, names)
    chart = viz.figure_to_image(viz.confidence_chart(found.edges, found.confidence_before, found.confidence_after))
    photographs = not given.synthetic and model.images.space.startswith("playground")
    summary = _summary(model, found, given, before, after)
    return summary, chart, _changed(found, unlabelled), NOTICE if photographs else ""


def _clip(model: ImageTextModel) -> ImageTextModel:
    """The model, whose image encoder NoLA can tune; the CLIP within it where its own encoder is a DINO."""
    if model.projector is None or model.clip is None:
        return model
    return ImageTextModel(
        model.clip.name, model.clip, model.texts, clip=model.clip, guide=model.guide, none_cosine=model.none_cosine
    )


def _summary(model: ImageTextModel, found: Comparison, given: Given, before: Tensor, after: Tensor) -> str:
    images = sum(found.count_before)
    changed = f"**{len(found.changes)} of {images} labels changed** by adapting {model.name}"
    lines = [f"{changed}; agreement {found.agreement:.1%}."]
    if given.classes and set(given.classes) <= set(found.class_names):
        numbers = torch.tensor([found.class_names.index(name) for name in given.classes])
        old, new = ((each.argmax(1) == numbers).float().mean().item() for each in (before, after))
        lines.append(
            f"Accuracy against the ground truth, which the adaptation does not read: zero-shot **{old:.1%}**, adapted "
            f"**{new:.1%}**."
        )
    return "  \n".join(lines)


def _changed(found: Comparison, unlabelled: Unlabelled) -> list[tuple[Image.Image, str]]:
    """The images whose label changed, each with both labels."""
    tiles = []
    for one in found.listed()[:SHOWN]:
        try:
            tile = viz.enlarge(unlabelled.image(one.row), 192, smooth=True)
        except ImageError:  # moved meanwhile
            tile = viz.grey_tile(unlabelled.keys[one.row], 192)
        tiles.append((tile, f"{one.before} → {one.after}, {one.confidence:.0%}"))
    return tiles


def _first_count(bench: Workbench) -> int:
    """Number of scenes that the page starts with."""
    images = bench.model(bench.first_key).images
    return COUNT if is_embedded(images.name) or images.device.type != "cpu" else FEW


def build(bench: Workbench, key: gr.State) -> Panel:
    """The tab, inside the page that is being built."""
    gr.Markdown(
        "A classifier of the named classes is learnt from unlabelled images; no label is read. It starts from the "
        "model's zero-shot probabilities."
    )
    public = bench.offer.public
    kinds = [SCENES, UPLOADS] if public else [SCENES, UPLOADS, FOLDER]
    offered = [name for name, one in METHODS.items() if not (public and one == TUNES)]
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            kind = gr.Radio(kinds, value=SCENES, label="Unlabelled images")
            domain = gr.Dropdown([PLAIN, *DOMAINS], value=FIRST_DOMAIN, label="Domain of the scenes")
            count = gr.Slider(FEW, MOST, _first_count(bench), step=50, label="Number of scenes")
            uploads = gr.File(
                label="Images to upload", file_count="multiple", file_types=FILE_TYPES, visible=False, height=140
            )
            folder = gr.Textbox("", label="Folder of images on this machine", visible=False)
            labels = gr.Textbox(LABELS, label="Class names, separated by commas or lines", lines=3, max_lines=12)
            method = gr.Radio(
                offered, value=FIRST_METHOD, label="Method", info=ABOUT if public else ABOUT + ABOUT_TUNING
            )
            described = gr.Checkbox(
                False, label="Describe the classes", info="The playground's own sentences on its 20 classes."
            )
            run = gr.Button("Adapt", variant="primary")
        with gr.Column(scale=3, elem_classes=["results"]):
            area = NoticeArea(bench)
            summary = gr.Markdown(elem_id="adapt-summary")
            chart = gr.Image(
                label="Images per probability of their label, before and after",
                alt_text="Two histograms of the probability of the label, before and after the adaptation",
                format="png",
                buttons=["download", "fullscreen"],
                interactive=False,
                elem_id="adapt-result",
            )
            changed = results_gallery("Images whose label changed: before, after, probability", 3, "adapt-changed")
    inputs: list[Any] = [key, kind, domain, count, uploads, folder, labels, method, described]
    outputs: list[Any] = [summary, chart, changed, area.note]
    handler = remembered(bench, "adapt", functools.partial(answer, bench), inputs, relevant=_relevant)
    run.click(handler, inputs, outputs, **MODEL_RUN, **HELPER)
    kind.change(_shown, kind, [domain, count, uploads, folder], show_progress="hidden", **HELPER)
    return Panel(handler, inputs, outputs, area=area)


def _relevant(*values: Any) -> tuple[Any, ...]:
    """The values of the inputs, without those of other kinds of images, and with the state of a folder."""
    key, kind, domain, count, uploads, folder, *others = values
    scenes = (domain, count) if kind == SCENES else (None, None)
    where = f"{folder} {_state(folder)}" if kind == FOLDER else ""
    return (key, kind, *scenes, uploads if kind == UPLOADS else None, where, *others)


def _state(folder: str) -> int:
    """A number that changes with the files of a folder."""
    path = Path(folder.strip()).expanduser()
    files = sorted(path.rglob("*")) if folder.strip() and path.is_dir() else []
    return hash(tuple((str(file), file.stat().st_mtime_ns) for file in files if file.is_file()))


def _shown(kind: str) -> list[Any]:
    """The inputs of the chosen kind of images."""
    visible = [kind == SCENES, kind == SCENES, kind == UPLOADS, kind == FOLDER]
    return [gr.update(visible=each) for each in visible]
