"""The probes tab: what linear heads read off frozen patches, class, part and depth, beside the truth if it is known."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from PIL import Image

from dinoclip_viz import viz
from dinoclip_viz.app.events import HELPER, MODEL_RUN, told
from dinoclip_viz.app.images import FIRST_SEED, SHOWN, GivenImage, image_input, notice, read
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.playground import CLASSES, PARTS, Scene
from dinoclip_viz.playground.layout import FAR
from dinoclip_viz.tasks.probes.confusion import Confusion
from dinoclip_viz.tasks.probes.depth import DepthErrors
from dinoclip_viz.tasks.probes.head_files import heads_for
from dinoclip_viz.tasks.probes.patch_head import PatchHead

FARTHEST = 20
"""Metres of the last colour, unless the slider says otherwise."""
NONE_FITS = "*No head fits this model's patches: `dinoclip evaluate segmentation --encoder NAME --save FILE` fits one.*"
DRAWN_TRUTHS = {("background", *CLASSES): "mask", ("background", *PARTS): "parts"}
"""Class names of a head -> which truth of a drawn scene it tells."""


def offered(bench: Workbench, key: str, folder: Path | None = None) -> dict[str, tuple[ImageEncoder, PatchHead]]:
    """What each head is called on the page, with its encoder: those that fit the model's DINO, then its CLIP."""
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
    folder: Path | None = None,
) -> tuple[list[tuple[Image.Image, str]], str, str]:
    """The maps of the chosen heads, each with its legend and the truth beside it, the figures, and a notice or "".

    Args:
        bench: the workbench; key: of the model.
        path: of the image.
        chosen: names of heads as `offered` gives them; those of another model are passed over.
        opacity: of the classes over the image, 0 to 1.
        farthest: metres of the last colour of depth.
        folder: of the user's own heads.

    Raises:
        ValueError: no image, one that cannot be used, or no head chosen.
    """
    image, heads = read(path), offered(bench, key, folder)
    wanted = [name for name in chosen or () if name in heads]
    if heads and not wanted:
        raise ValueError(f"no head is chosen; choose from {', '.join(heads)}")
    scene = bench.drawn.scene(image)
    maps: list[tuple[Image.Image, str]] = []
    lines = []
    for name in wanted:
        encoder, head = heads[name]
        found = head.predict(bench.patches(key, encoder, image))[0]
        known = truth_of(head, scene)
        told_maps = [found] if known is None else [found, known]
        figure = "" if known is None else figure_of(head, found, known)
        captions = [f"{name}{f', {figure}' if figure else ''}", f"{name}: the truth"]
        lines += [f"**{name}**: {figure}"] if figure else []
        drawn = drawn_maps(head, told_maps, image, opacity, farthest)
        maps += zip(drawn, captions, strict=False)
    said = "  \n".join(lines) if heads else NONE_FITS
    return maps, said, notice(bench.model(key), bench.drawn, [image])


def truth_of(head: PatchHead, scene: Scene | None) -> torch.Tensor | None:
    """(height, width) what a drawn scene says of what the head tells; None where it says nothing."""
    if scene is None:
        return None
    if head.kind == "depth":
        return torch.from_numpy(scene.depth)
    name = DRAWN_TRUTHS.get(head.names)
    return None if name is None else torch.from_numpy(getattr(scene, name)).long()


def figure_of(head: PatchHead, found: torch.Tensor, known: torch.Tensor) -> str:
    """How good the map is against the truth, in a few words."""
    if head.kind == "depth":
        errors = DepthErrors(high=FAR - 1e-3).add(found, known)
        return f"RMSE {errors.figures()['rmse']:.2f} m without the sky" if errors.images else ""
    counted = Confusion(head.names).add(found, known).figures()
    return f"mIoU {counted['miou']:.0%}, pixel accuracy {counted['accuracy']:.0%}"


def drawn_maps(
    head: PatchHead, maps: Sequence[torch.Tensor], image: GivenImage, opacity: float, farthest: float
) -> list[Image.Image]:
    """The maps in one set of colours, with a legend below each."""
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
    """The list of heads for another model, all of them chosen."""
    names = list(offered(bench, key, folder))
    return gr.CheckboxGroup(choices=names, value=names)


def build(bench: Workbench, key: gr.State, heads: Path | None = None) -> Panel:
    """The tab, inside the page that is being built.

    Args:
        bench: the workbench; key: of the model.
        heads: folder of the user's own heads, *.safetensors; None for the package's alone.
    """
    gr.Markdown(
        "### What can be read off a patch?\nOne linear layer on frozen patches tells class, part or depth (DINOv2's "
        "frozen evaluations): what it finds was in the features already. A drawn scene brings its truth."
    )
    names = list(offered(bench, bench.first_key, heads))
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            image = image_input("Image to read", bench.drawn.draw(FIRST_SEED))
            with gr.Row():
                draw = gr.Button("Draw another", size="sm")
                share = gr.Button("Use in every tab", size="sm")
            chosen = gr.CheckboxGroup(names, value=names, label="Heads that fit the model", elem_id="probes-heads")
            with gr.Accordion("Colours", open=False):
                opacity = gr.Slider(0, 1, 0.65, step=0.05, label="Classes over the image (1: the classes alone)")
                farthest = gr.Slider(2, 80, FARTHEST, step=1, label="Depth in the last colour, metres")
            run = gr.Button("Read", variant="primary")
        with gr.Column(scale=3, elem_classes=["results"]):
            note = gr.Markdown(elem_classes=["notice"])
            said = gr.Markdown(elem_id="probes-said")
            maps = gr.Gallery(
                label="What each head reads, and the truth beside it",
                columns=2,
                height="auto",
                object_fit="contain",
                format="png",
                buttons=["download", "download_all", "fullscreen"],
                interactive=False,
                elem_id="probes-result",
            )
    inputs = [key, image, chosen, opacity, farthest]
    outputs = [maps, said, note]
    handler = told(functools.partial(answer, bench, folder=heads))
    run.click(handler, inputs, outputs, api_name="probe", **MODEL_RUN)
    again = {**MODEL_RUN, **HELPER, "trigger_mode": "always_last"}
    gr.on([image.upload, chosen.input, opacity.release, farthest.release], handler, inputs, outputs, **again)
    seed = gr.State(FIRST_SEED)
    draw.click(
        lambda last: (last + 1, bench.drawn.draw(last + 1)), seed, [seed, image], show_progress="hidden", **HELPER
    ).then(handler, inputs, outputs, **again)
    return Panel(handler, inputs, outputs, image, share, (chosen,), functools.partial(choices, folder=heads))
