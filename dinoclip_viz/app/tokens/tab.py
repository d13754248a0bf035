"""The tab of tokens: norms after every layer, artefact tokens, and attention of CLS and registers."""

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
from dinoclip_viz.app.encoders import CLIP, DINO, encoder_of, source_choices
from dinoclip_viz.app.events import AGAIN, HELPER, MODEL_RUN
from dinoclip_viz.app.handlers.answers import draw_next, remembered
from dinoclip_viz.app.images import GivenImage, image_input, read
from dinoclip_viz.app.notice import NoticeArea, notice
from dinoclip_viz.app.panel import Panel, scene_buttons
from dinoclip_viz.app.resolution import MOST, OWN, at_resolution, size_of
from dinoclip_viz.app.scenes import FIRST_SCENES
from dinoclip_viz.app.workbench import Workbench, key_of, labelled
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.encoders.inside import Insides, look_inside
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA
from dinoclip_viz.tasks.tokens import RATIO, artefact_tokens, without_artefacts

NORMS, CLS, REGISTER, ROLLOUT = "norms per layer", "attention of CLS", "attention of a register", "attention rollout"
VIEWS = (NORMS, CLS, REGISTER, ROLLOUT)
NONE = ""
FIRST = FIRST_SCENES["tokens"]
KEPT = 8
"""Number of images whose insides are kept."""
CELL, SHOWN = 256, 512
"""Longer side in pixels of one of several maps, and of a map alone."""


@dataclass(frozen=True)
class Choice:
    """What to show of an encoder: the view, and the number of layer, head and register, 0 for all."""

    view: str
    layer: int
    head: int
    register: int
    shared: bool


def encoder_for(bench: Workbench, key: str, source: str) -> ImageEncoder:
    """The model's DINO, its CLIP, or a DINO of the page's list, loaded if needed.

    Raises:
        EncoderError: the encoder cannot be loaded, or is not offered by this page.
        ValueError: the model has no CLIP.
    """
    if source in (DINO, CLIP):
        return encoder_of(bench.model(key), source)
    other = bench.model(key_of(key.partition("|")[0], source))
    return other.guide or other.images


def answer(
    bench: Workbench,
    key: str,
    path: str | None,
    view: str = NORMS,
    source: str = DINO,
    compare: str = NONE,
    layer: int = 0,
    head: int = 0,
    register: int = 1,
    shared: bool = True,
    ratio: float = RATIO,
    repair: bool = False,
    patches: int = OWN,
    progress: gr.Progress = gr.Progress(),  # noqa: B008
    kept: Shelf[Insides] | None = None,
) -> tuple[list[tuple[Image.Image, str]], str, Any, Any, Any, str]:
    """A figure per encoder with captions, the counts in one line, the three sliders, and a notice or "".

    Raises:
        ValueError: the image is missing, or an input is invalid.
    """
    image = read(path)
    if view not in VIEWS:
        raise ValueError(f"found view {view!r}; expected one of: {', '.join(VIEWS)}")
    choice = Choice(view, _whole("layer", layer), _whole("head", head), _whole("register", register), shared)
    names = list(dict.fromkeys([source, *([compare] if compare else [])]))
    encoders = [encoder_for(bench, key, name) for name in progress.tqdm(names, desc="encoding")]
    seen = [inside(kept, encoder, image, size_of(encoder, int(patches)), view != NORMS) for encoder in encoders]
    found = [artefact_tokens(each.norms[0, -1], ratio) for each in seen]
    _check_queries(encoders, seen, view)
    sheets = []
    for encoder, each, marks in zip(encoders, seen, found, strict=True):
        sheets.append((sheet_of(image, each, marks, choice), encoder.name))
        if repair:
            features = at_resolution(bench, encoder, image, patches)
            sheets.append((before_and_after(features, marks), f"{encoder.name}: artefact tokens replaced"))
    counts = " ".join(count_of(*each) for each in zip(encoders, seen, found, strict=True))
    sliders = _sliders(choice, seen)
    return sheets, counts, *sliders, notice(bench.model(key), bench.scenes, [image])


def inside(
    kept: Shelf[Insides] | None, encoder: ImageEncoder, image: GivenImage, size: int | None, attention: bool
) -> Insides:
    """Norms and attention of the encoder for an image, computed once while they are kept."""
    name = f"{encoder.patch_space} {encoder.name} {image.digest} {size} {attention}"
    known = kept.get(name) if kept is not None else None
    if known is None:
        known = look_inside(encoder, [image.image], size, attention=attention)
        if kept is not None:
            kept.put(known, name)
    return known


def sheet_of(image: GivenImage, seen: Insides, found: Tensor, choice: Choice) -> Image.Image:
    """The chosen view of one encoder."""
    if choice.view == NORMS:
        return _norms(seen, found, choice)
    if seen.attention is None or seen.rollout is None:
        raise ValueError(f"{choice.view} was not computed; compute the insides with attention")
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
    """PCA colours and norms of the final patch tokens, before and after artefacts are replaced by their neighbours."""
    mended = without_artefacts(features, found[None])
    pca = PatchPCA(3).fit(mended)
    colours = [viz.pca_image(colour[0].numpy(), CELL) for colour in pca.transform([features, mended])]
    pair = [each.patches[0].norm(dim=-1).numpy() for each in (features, mended)]
    titles = ["norm after the final norm", "norm, artefacts replaced"]
    norms = viz.norm_maps(pair, found.numpy(), cell=CELL, titles=titles)
    return viz.with_legend(viz.side_by_side(colours, ["PCA", "PCA, artefacts replaced"]), norms)


def count_of(encoder: ImageEncoder, seen: Insides, found: Tensor) -> str:
    """The number of artefact tokens and registers in one sentence."""
    number = int(found.sum())
    words = "artefact token" if number == 1 else "artefact tokens"
    return f"**{encoder.name}**: {number} {words} of {found.numel()}, {seen.registers} register tokens."


def _whole(name: str, value: object) -> int:
    """The value of a slider as an int.

    Raises:
        ValueError: the value is no integer of at least 0.
    """
    if not isinstance(value, int | float) or not float(value).is_integer() or value < 0:
        raise ValueError(f"found {name} {value!r}; expected an integer, 0 for all")
    return int(value)


def _check_queries(encoders: Sequence[ImageEncoder], seen: Sequence[Insides], view: str) -> None:
    """Raise a ValueError where no encoder has the token whose attention is requested."""
    names = ", ".join(encoder.name for encoder in encoders)
    if view == REGISTER and not any(each.registers for each in seen):
        raise ValueError(
            f"no register tokens in {names}; compare with an encoder that has some, as dinov2-base-registers"
        )
    if view == CLS and all(each.cls_norms is None for each in seen):
        raise ValueError(f"no CLS token in {names}; choose the {ROLLOUT}")


def _sliders(choice: Choice, seen: Sequence[Insides]) -> tuple[Any, Any, Any]:
    """The sliders of layer, head and register with the ranges of these encoders."""
    layers, registers = max(each.layers for each in seen), max(1, *(each.registers for each in seen))
    heads = max((each.attention.shape[1] for each in seen if each.attention is not None), default=None)
    return (
        gr.Slider(maximum=layers, value=min(choice.layer, layers)),
        gr.skip() if heads is None else gr.Slider(maximum=heads, value=min(choice.head, heads)),
        gr.Slider(maximum=max(registers, 2), value=min(max(choice.register, 1), max(registers, 2))),
    )


def offered(bench: Workbench, key: str) -> tuple[Any, Any]:
    """Both lists of encoders for another model: its own, then the DINOs of the page."""
    names = _names(bench, key)
    return gr.Dropdown(names, value=DINO), gr.Dropdown([("none", NONE), *names], value=NONE)


def _names(bench: Workbench, key: str) -> list[tuple[str, str]]:
    return [(name, name) for name in source_choices(bench, key)] + labelled(bench.guide_names())


def build(bench: Workbench, key: gr.State) -> Panel:
    """The tab, inside the page that is being built."""
    gr.Markdown(
        "The norm of every patch token after every layer, and the attention of CLS and registers. Artefact tokens are "
        "outlined: patches of large norm in which large models without registers keep global information."
    )
    names = _names(bench, bench.first_key)
    with gr.Row(elem_classes=["halves"]):
        with gr.Column(scale=2, elem_classes=["inputs"]):
            image = image_input(bench.files, "Image", bench.scenes.draw(FIRST))
            draw, spread = scene_buttons(bench.scenes.noun)
            view = gr.Radio(list(VIEWS), value=NORMS, label="Show")
            source = gr.Dropdown(names, value=DINO, label="Encoder", filterable=False)
            compare = gr.Dropdown([("none", NONE), *names], value=NONE, label="Compare with", filterable=False)
            layer = gr.Slider(0, 12, 0, step=1, label="Layer (0: all)")
            head = gr.Slider(0, 12, 0, step=1, label="Head (0: all)")
            register = gr.Slider(1, 4, 1, step=1, label="Register")
            repair = gr.Checkbox(False, label="Replace artefact tokens by their neighbours")
            with gr.Accordion("Scale, artefacts and resolution", open=False):
                shared = gr.Checkbox(True, label="One colour range for all layers")
                ratio = gr.Slider(1.1, 10, RATIO, step=0.1, label="Threshold of artefacts, multiple of the median norm")
                patches = gr.Slider(
                    OWN, MOST, OWN, step=1, label="Patches along the longer side", info="0: the encoder's own."
                )
            run = gr.Button("Compute", variant="primary")
        with gr.Column(scale=3, elem_classes=["results"]):
            area = NoticeArea(bench)
            note = area.note
            counts = gr.Markdown(elem_id="tokens-counts")
            sheets = gr.Gallery(
                label="Tokens of each encoder",
                columns=1,
                height="auto",
                object_fit="contain",
                format="png",
                buttons=["download", "download_all", "fullscreen"],
                interactive=False,
                elem_id="tokens-result",
            )
    inputs = [key, image, view, source, compare, layer, head, register, shared, ratio, repair, patches]
    outputs = [sheets, counts, layer, head, register, note]
    handler = remembered(bench, "tokens", functools.partial(answer, bench, kept=Shelf[Insides](KEPT)), inputs)
    run.click(handler, inputs, outputs, **MODEL_RUN, **HELPER)
    chosen = [view, source, compare, shared, repair]
    moved = [slider.release for slider in (layer, head, register, ratio, patches)]
    gr.on([image.upload, *(each.input for each in chosen), *moved], handler, inputs, outputs, **AGAIN)
    draw_next(bench, draw, FIRST, bench.scenes.next, [image], (handler, inputs, outputs))
    return Panel(handler, inputs, outputs, image, spread, (source, compare), offered, area=area)
