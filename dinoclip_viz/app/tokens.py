"""The tokens tab: how long every token is in every layer, which are artefacts, and who attends to what."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image
from torch import Tensor

from dinoclip_viz import viz
from dinoclip_viz.app.cache import Shelf
from dinoclip_viz.app.encoders import CLIP, DINO, encoder_of, whose_choices
from dinoclip_viz.app.events import AGAIN, MODEL_RUN, draw_next, told
from dinoclip_viz.app.images import FIRST_SEED, GivenImage, image_input, notice, read
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.resolution import MOST, OWN, at_resolution, size_of
from dinoclip_viz.app.workbench import Workbench, key_of, labelled
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.encoders.inside import Insides, look_inside
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA
from dinoclip_viz.tasks.tokens import RATIO, artefact_tokens, without_artefacts

NORMS, CLS, REGISTER, ROLLOUT = "norms per layer", "attention of CLS", "attention of a register", "attention rollout"
VIEWS = (NORMS, CLS, REGISTER, ROLLOUT)
NOBODY = ""
KEPT = 8
"""Images whose insides are kept."""
CELL, SHOWN = 256, 512
"""Longer side in pixels of one of several maps, and of a map alone."""


@dataclass(frozen=True)
class Choice:
    """What to show of an encoder: the view, and which layer, head and register, 0 for all of them."""

    view: str
    layer: int
    head: int
    register: int
    shared: bool


def encoder_for(bench: Workbench, key: str, whose: str) -> ImageEncoder:
    """The model's DINO, its CLIP, or a DINO of the page's list, loaded if it is not.

    Raises:
        EncoderError: it cannot be loaded, or is none that this page offers.
        ValueError: the model has no CLIP.
    """
    if whose in (DINO, CLIP):
        return encoder_of(bench.model(key), whose)
    other = bench.model(key_of(key.partition("|")[0], whose))
    return other.guide or other.images


def answer(
    bench: Workbench,
    key: str,
    path: str | None,
    view: str = NORMS,
    whose: str = DINO,
    beside: str = NOBODY,
    layer: int = 0,
    head: int = 0,
    register: int = 1,
    shared: bool = True,
    ratio: float = RATIO,
    out: bool = False,
    patches: int = OWN,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
    kept: Shelf[Insides] | None = None,
) -> tuple[list[tuple[Image.Image, str]], str, Any, Any, Any, str]:
    """A sheet an encoder with captions, the counts in one line, the three sliders anew, and a notice or "".

    Raises:
        ValueError: an image, view, encoder, number or ratio that cannot be used.
    """
    image = read(path)
    if view not in VIEWS:
        raise ValueError(f"the view {view!r} is none; expected one of: {', '.join(VIEWS)}")
    choice = Choice(view, _whole("layer", layer), _whole("head", head), _whole("register", register), shared)
    names = list(dict.fromkeys([whose, *([beside] if beside else [])]))
    encoders = [encoder_for(bench, key, name) for name in progress.tqdm(names, desc="encoding")]
    seen = [inside(kept, encoder, image, size_of(encoder, int(patches)), view != NORMS) for encoder in encoders]
    found = [artefact_tokens(each.norms[0, -1], ratio) for each in seen]
    _check_queries(encoders, seen, view)
    sheets = []
    for encoder, each, marks in zip(encoders, seen, found, strict=True):
        sheets.append((sheet_of(image, each, marks, choice), encoder.name))
        if out:
            features = at_resolution(bench, key, encoder, image, patches)
            sheets.append((before_and_after(features, marks), f"{encoder.name}: artefact tokens taken out"))
    counts = " ".join(count_of(*each) for each in zip(encoders, seen, found, strict=True))
    sliders = _sliders(choice, seen)
    return sheets, counts, *sliders, notice(bench.model(key), bench.drawn, [image])


def inside(
    kept: Shelf[Insides] | None, encoder: ImageEncoder, image: GivenImage, size: int | None, attention: bool
) -> Insides:
    """The inside of the encoder for an image, computed once while it is kept."""
    name = f"{encoder.patch_space} {encoder.name} {image.digest} {size} {attention}"
    known = kept.get(name) if kept is not None else None
    if known is None:
        known = look_inside(encoder, [image.image], size, attention=attention)
        if kept is not None:
            kept.put(known, name)
    return known


def sheet_of(image: GivenImage, seen: Insides, found: Tensor, choice: Choice) -> Image.Image:
    """What was chosen to be shown of one encoder."""
    if choice.view == NORMS:
        return _norms(seen, found, choice)
    if seen.attention is None or seen.rollout is None:
        raise ValueError(f"{choice.view} was not computed; look inside again with attention")
    if choice.view == ROLLOUT:
        title = "to CLS, through all layers" if seen.cls_norms is not None else "mean over patches: no CLS"
        return viz.attention_maps(image.image, seen.rollout.numpy(), [title], 1, SHOWN)
    asked = "CLS" if choice.view == CLS else f"register {min(choice.register, seen.registers)}"
    if asked not in seen.queries:
        return viz.grey_tile(f"no {'CLS' if choice.view == CLS else 'register'} token", SHOWN)
    heads = seen.attention[0, :, seen.queries.index(asked)].numpy()  # (heads, H, W)
    if not choice.head:
        return viz.attention_maps(image.image, heads, columns=3, cell=CELL)
    number = min(choice.head, len(heads))
    title = f"{asked}, head {number} of {len(heads)}"
    return viz.attention_maps(image.image, heads[number - 1 : number], [title], 1, SHOWN)


def _norms(seen: Insides, found: Tensor, choice: Choice) -> Image.Image:
    norms, marks = seen.norms[0].numpy(), found.numpy()
    if choice.layer:
        number = min(choice.layer, seen.layers)
        title = f"layer {number} of {seen.layers}"
        return viz.norm_maps(norms[number - 1 : number], marks, cell=SHOWN, titles=[title])
    maps = viz.norm_maps(norms, marks, "shared" if choice.shared else "layer", 3, CELL)
    return viz.with_legend(maps, viz.figure_to_image(viz.norm_histograms(norms, marks, 3)))


def before_and_after(features: ImageFeatures, found: Tensor) -> Image.Image:
    """PCA colours and norms of the final patch tokens, as they are and with the artefacts replaced by neighbours."""
    mended = without_artefacts(features, found[None])
    pca = PatchPCA(3).fit(mended)
    colours = [viz.pca_image(colour[0].numpy(), CELL) for colour in pca.transform([features, mended])]
    pair = [each.patches[0].norm(dim=-1).numpy() for each in (features, mended)]
    titles = ["norm after the final norm", "norm, artefacts taken out"]
    norms = viz.norm_maps(pair, found.numpy(), cell=CELL, titles=titles)
    return viz.with_legend(viz.side_by_side(colours, ["PCA", "PCA, artefacts taken out"]), norms)


def count_of(encoder: ImageEncoder, seen: Insides, found: Tensor) -> str:
    """How many artefact tokens and registers there are, in one sentence."""
    number = int(found.sum())
    words = "artefact token" if number == 1 else "artefact tokens"
    return f"**{encoder.name}**: {number} {words} of {found.numel()}, {seen.registers} register tokens."


def _whole(name: str, value: object) -> int:
    """The number that a slider was set to.

    Raises:
        ValueError: it is no whole number of 0 or more.
    """
    if not isinstance(value, int | float) or not float(value).is_integer() or value < 0:
        raise ValueError(f"{name} {value!r}; expected a whole number, 0 for all")
    return int(value)


def _check_queries(encoders: Sequence[ImageEncoder], seen: Sequence[Insides], view: str) -> None:
    """Nothing, if any of the encoders has the token whose attention is asked for."""
    names = ", ".join(encoder.name for encoder in encoders)
    if view == REGISTER and not any(each.registers for each in seen):
        raise ValueError(f"no register tokens in {names}; put one that has some beside it, as dinov2-base-registers")
    if view == CLS and all(each.cls_norms is None for each in seen):
        raise ValueError(f"no CLS token in {names}; look at the rollout instead")


def _sliders(choice: Choice, seen: Sequence[Insides]) -> tuple[Any, Any, Any]:
    """The sliders of layer, head and register, as far as these encoders go."""
    layers, registers = max(each.layers for each in seen), max(1, *(each.registers for each in seen))
    heads = max((each.attention.shape[1] for each in seen if each.attention is not None), default=None)
    return (
        gr.Slider(maximum=layers, value=min(choice.layer, layers)),
        gr.skip() if heads is None else gr.Slider(maximum=heads, value=min(choice.head, heads)),
        gr.Slider(maximum=max(registers, 2), value=min(max(choice.register, 1), max(registers, 2))),
    )


def offered(bench: Workbench, key: str) -> tuple[Any, Any]:
    """Both lists of encoders anew: those of the model, then the DINOs of the page."""
    names = _names(bench, key)
    return gr.Dropdown(names, value=DINO), gr.Dropdown([("nothing", NOBODY), *names], value=NOBODY)


def _names(bench: Workbench, key: str) -> list[tuple[str, str]]:
    return [(name, name) for name in whose_choices(bench, key)] + labelled(bench.guide_names())


def build(bench: Workbench, key: gr.State) -> Panel:
    """The tab, inside the page that is being built."""
    gr.Markdown(
        "### What is inside a token?\nThe length of every patch token after every layer, artefact tokens outlined (a "
        "few patches that large models without registers use for something else), and what CLS and registers attend to."
    )
    names = _names(bench, bench.first_key)
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            image = image_input("Image to look into", bench.drawn.draw(FIRST_SEED))
            with gr.Row():
                draw = gr.Button("Draw another", size="sm")
                share = gr.Button("Use in every tab", size="sm")
            view = gr.Radio(list(VIEWS), value=NORMS, label="Show")
            whose = gr.Dropdown(names, value=DINO, label="Encoder", filterable=False)
            beside = gr.Dropdown([("nothing", NOBODY), *names], value=NOBODY, label="Beside it", filterable=False)
            layer = gr.Slider(0, 12, 0, step=1, label="Layer, 0 for all")
            head = gr.Slider(0, 12, 0, step=1, label="Head, 0 for all")
            register = gr.Slider(1, 4, 1, step=1, label="Register")
            out = gr.Checkbox(False, label="Take artefact tokens out")
            with gr.Accordion("Scale, artefacts and resolution", open=False):
                shared = gr.Checkbox(True, label="One range of colours for all layers")
                ratio = gr.Slider(1.1, 10, RATIO, step=0.1, label="An artefact's norm is above so many medians")
                patches = gr.Slider(
                    OWN, MOST, OWN, step=1, label="Patches along the longer side", info="0 leaves it to the encoder."
                )
            run = gr.Button("Look inside", variant="primary")
        with gr.Column(scale=3, elem_classes=["results"]):
            note = gr.Markdown(elem_classes=["notice"])
            counts = gr.Markdown(elem_id="tokens-counts")
            sheets = gr.Gallery(
                label="Each encoder's tokens",
                columns=1,
                height="auto",
                object_fit="contain",
                format="png",
                buttons=["download", "download_all", "fullscreen"],
                interactive=False,
                elem_id="tokens-result",
            )
    inputs = [key, image, view, whose, beside, layer, head, register, shared, ratio, out, patches]
    outputs = [sheets, counts, layer, head, register, note]
    handler = told(functools.partial(answer, bench, kept=Shelf[Insides](KEPT)))
    run.click(handler, inputs, outputs, api_name="tokens", **MODEL_RUN)
    chosen = [view, whose, beside, shared, out]
    moved = [slider.release for slider in (layer, head, register, ratio, patches)]
    gr.on([image.upload, *(each.input for each in chosen), *moved], handler, inputs, outputs, **AGAIN)
    draw_next(draw, FIRST_SEED, bench.drawn.next, [image], (handler, inputs, outputs))
    return Panel(handler, inputs, outputs, image, share, (whose, beside), offered)
