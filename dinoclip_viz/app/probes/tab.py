"""The tab of linear probes: class, part and depth predicted from frozen patches, next to the ground truth if known."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from PIL import Image

from dinoclip_viz import viz
from dinoclip_viz.app.events import AGAIN, HELPER, MODEL_RUN
from dinoclip_viz.app.handlers.answers import draw_next, remembered
from dinoclip_viz.app.images import SHOWN, GivenImage, image_input, read
from dinoclip_viz.app.notice import NoticeArea, notice
from dinoclip_viz.app.panel import Panel, scene_buttons
from dinoclip_viz.app.resolution import SHARP, build_switch
from dinoclip_viz.app.scenes import FIRST_SCENES
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.playground import CLASSES, PARTS, Scene
from dinoclip_viz.playground.layout import FAR
from dinoclip_viz.tasks.probes.confusion import Confusion
from dinoclip_viz.tasks.probes.depth import DepthErrors
from dinoclip_viz.tasks.probes.head_files import heads_for
from dinoclip_viz.tasks.probes.patch_head import PatchHead
from dinoclip_viz.tasks.probes.sharp import predict_sharp

FARTHEST = 20
"""Default depth of the last colour, in metres."""
NONE_FITS = "*No head fits this model's patches; `dinoclip evaluate segmentation --encoder NAME --save FILE` fits one.*"
TARGETS = {("background", *CLASSES): "mask", ("background", *PARTS): "parts"}
"""Class names of a head -> the attribute of `Scene` with its ground truth."""
FIRST = FIRST_SCENES["probes"]


def offered(bench: Workbench, key: str, folder: Path | None = None) -> dict[str, tuple[ImageEncoder, PatchHead]]:
    """Name -> encoder and head, for the heads that fit the model's DINO, then those of its CLIP."""
    model = bench.model(key)
    encoders = [encoder for encoder in (model.guide or model.images, model.clip) if encoder is not None]
    found: dict[str, tuple[ImageEncoder, PatchHead]] = {}
    for encoder in encoders:
        for name, head in heads_for(encoder.patch_space, folder).items():
            found.setdefault(name, (encoder, head))
    return found


def answer(
    bench: Workbench,
    key: str,
    path: str | None,
    chosen: Sequence[str] | None,
    opacity: float = 0.65,
    farthest: float = FARTHEST,
    as_patches: bool = False,
    folder: Path | None = None,
) -> tuple[list[tuple[Image.Image, str]], str, str]:
    """The maps of the chosen heads with legend and ground truth, their accuracy as text, and a notice or "".

    Args:
        bench: the workbench; key: of the model.
        path: file of the image.
        chosen: names of heads from `offered`; those of another model are ignored.
        opacity: of the classes over the image, 0 to 1.
        farthest: depth of the last colour, in metres.
        as_patches: whether maps are interpolated between patches, without the edges of the image.
        folder: of further heads.

    Raises:
        ValueError: the image is missing or invalid, or no head is chosen.
    """
    image, heads = read(path), offered(bench, key, folder)
    wanted = [name for name in chosen or () if name in heads]
    if heads and not wanted:
        raise ValueError(f"no head is chosen; expected one or more of: {', '.join(heads)}")
    scene = bench.scenes.scene(image)
    maps: list[tuple[Image.Image, str]] = []
    lines = []
    for name in wanted:
        encoder, head = heads[name]
        features = bench.patches(encoder, image)
        found = head.predict(features)[0] if as_patches else predict_sharp(head, features, image.image, SHARP)
        known = target_of(head, scene)
        both = [found] if known is None else [found, known]
        figure = "" if known is None else figure_of(head, found, known)
        captions = [
            f"{name}, {figure.partition(',')[0].partition(' (')[0]}" if figure else name,
            f"{name}: ground truth",
        ]
        lines += [f"**{name}**: {figure}"] if figure else []
        maps += zip(colour_maps(head, both, image, opacity, farthest), captions, strict=False)
    summary = "  \n".join(lines) if heads else NONE_FITS
    return maps, summary, notice(bench.model(key), bench.scenes, [image])


def target_of(head: PatchHead, scene: Scene | None) -> torch.Tensor | None:
    """(height, width) ground truth of a scene for a head; None without a scene, and for other classes."""
    if scene is None:
        return None
    if head.kind == "depth":
        return torch.from_numpy(scene.depth)
    name = TARGETS.get(head.names)
    return None if name is None else torch.from_numpy(getattr(scene, name)).long()


def figure_of(head: PatchHead, found: torch.Tensor, known: torch.Tensor) -> str:
    """Accuracy of a map against the ground truth, in a few words."""
    if head.kind == "depth":
        errors = DepthErrors(high=FAR - 1e-3).add(found, known)
        return f"RMSE {errors.figures()['rmse']:.2f} m (sky excluded)" if errors.images else ""
    counted = Confusion(head.names).add(found, known).figures()
    return f"mIoU {counted['miou']:.0%}, pixel accuracy {counted['accuracy']:.0%}"


def colour_maps(
    head: PatchHead, maps: Sequence[torch.Tensor], image: GivenImage, opacity: float, farthest: float
) -> list[Image.Image]:
    """The maps in common colours, each with a legend."""
    size = viz.enlarge(image.image, SHOWN).size
    if head.depth is not None:
        low, high = 0.0, max(float(farthest), 1.0)
        return [viz.depth_with_bar(one.numpy(), low, high, size) for one in maps]
    colours = head.palette or viz.label_colours(head.names).tolist()
    arrays = [one.numpy() for one in maps]
    legend = viz.labels_legend(arrays, head.names, colours, size[0])
    shown = [viz.label_image(one, colours, image.image, opacity) for one in arrays]
    return [viz.with_legend(viz.enlarge(one, size), legend) for one in shown]


def choices(bench: Workbench, key: str, folder: Path | None = None) -> Any:
    """The heads that fit a model as choices, all of them chosen."""
    names = list(offered(bench, key, folder))
    return gr.CheckboxGroup(choices=names, value=names)


def build(bench: Workbench, key: gr.State, heads: Path | None = None) -> Panel:
    """The tab, inside the page that is being built.

    Args:
        bench: the workbench; key: of the model.
        heads: folder of further heads, *.safetensors; None for the package's alone.
    """
    gr.Markdown(
        "One linear layer on frozen patch features predicts class, part or depth of each pixel, as in DINOv2's "
        "evaluations. Synthetic scenes are shown with their ground truth."
    )
    names = list(offered(bench, bench.first_key, heads))
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            image = image_input(bench.files, "Image", bench.scenes.draw(FIRST))
            draw, spread = scene_buttons(bench.scenes.noun)
            chosen = gr.CheckboxGroup(names, value=names, label="Heads that fit the model", elem_id="probes-heads")
            as_patches = build_switch("probes-patches")
            with gr.Accordion("Colours", open=False):
                opacity = gr.Slider(0, 1, 0.65, step=0.05, label="Opacity of the classes")
                farthest = gr.Slider(2, 80, FARTHEST, step=1, label="Depth of the last colour (m)")
            run = gr.Button("Predict", variant="primary")
        with gr.Column(scale=3, elem_classes=["results"]):
            area = NoticeArea(bench)
            summary = gr.Markdown(elem_id="probes-summary")
            maps = gr.Gallery(
                label="Predictions and ground truth",
                columns=2,
                height="auto",
                object_fit="contain",
                format="png",
                buttons=["download", "download_all", "fullscreen"],
                interactive=False,
                elem_id="probes-result",
            )
    inputs = [key, image, chosen, opacity, farthest, as_patches]
    outputs = [maps, summary, area.note]
    handler = remembered(bench, "probe", functools.partial(answer, bench, folder=heads), inputs)
    run.click(handler, inputs, outputs, **MODEL_RUN, **HELPER)
    changes = [image.upload, chosen.input, opacity.release, farthest.release, as_patches.input]
    gr.on(changes, handler, inputs, outputs, **AGAIN)
    draw_next(bench, draw, FIRST, bench.scenes.next, [image], (handler, inputs, outputs))
    return Panel(
        handler, inputs, outputs, image, spread, (chosen,), functools.partial(choices, folder=heads), area=area
    )
