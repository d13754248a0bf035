"""The page: the model's chooser on top, four tabs below."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from dinoclip_viz.app import gallery as search
from dinoclip_viz.app import heatmap, pca, zero_shot
from dinoclip_viz.app.events import HELPER, MODEL_RUN, told
from dinoclip_viz.app.workbench import NO_GUIDE, Workbench, key_of, labelled
from dinoclip_viz.models import ImageTextModel

TabName = Literal["zero-shot", "pca", "heatmap", "search"]


def build_demo(
    model: str | ImageTextModel = "playground",
    guide: str | None = None,
    tab: TabName = "zero-shot",
    gallery: str | Path | None = None,
) -> gr.Blocks:
    """The page with its four tabs, ready for `launch`.

    Args:
        model: a model, or the name of one, as in `load_model`.
        guide: name of the DINO that pools CLIP's patches and draws PCA maps; None for the model's own.
        tab: the one that is open at first.
        gallery: the feature store that the search tab searches; None draws scenes and embeds them at the first search.

    Raises:
        EncoderError: the model or its guide cannot be loaded.
        StoreError: the gallery is no store, or is damaged.
        SpaceError: the model cannot search the gallery.
    """
    bench = Workbench(model, guide)
    pictures_to_search = search.Gallery(gallery, bench.model(bench.first_key))
    with gr.Blocks(title="dinoclip-viz", analytics_enabled=False, delete_cache=(3600, 86400)) as demo:
        key = gr.State(bench.first_key)
        gr.Markdown("# dinoclip-viz\nSee what DINO sees in pictures, and ask it about them in words.")
        name, beside, load, status = _chooser(bench)
        with gr.Tabs(selected=tab):
            with gr.Tab("Zero-shot", id="zero-shot"):
                labels = zero_shot.build(bench, key)
            with gr.Tab("PCA patch maps", id="pca"):
                pictures, pca_inputs, pca_outputs, run_pca = pca.build(bench, key)
            with gr.Tab("Text heat maps", id="heatmap"):
                prompts, method = heatmap.build(bench, key)
            with gr.Tab("Search", id="search") as search_tab:
                found = search.build(bench, pictures_to_search, key, search_tab)
        runs = [
            (labels.run, labels.inputs, labels.outputs),
            (run_pca, pca_inputs, pca_outputs),
            (prompts.run, prompts.inputs, prompts.outputs),
        ]
        loaded = load.click(
            told(functools.partial(load_chosen, bench)),
            [name, beside],
            [key, status, method],
            api_name="load",
            **MODEL_RUN,
        )
        loaded.success(found.forget, None, found.outputs, **HELPER)
        if tab == "search":
            demo.load(found.first, found.inputs, found.outputs, **MODEL_RUN, **HELPER)
        for run, inputs, outputs in runs:
            demo.load(run, inputs, outputs, **MODEL_RUN, **HELPER)
            loaded.success(run, inputs, outputs, **MODEL_RUN, **HELPER)
        for one, other in ((labels, prompts), (prompts, labels)):
            step = one.share.click(everywhere, one.picture, [other.picture, pictures], **HELPER)
            for run, inputs, outputs in runs:
                step.then(run, inputs, outputs, **MODEL_RUN, **HELPER)
    demo.queue(max_size=32)
    return demo


def load_chosen(
    bench: Workbench,
    name: str,
    guide: str | None,
    progress: gr.Progress = gr.Progress(track_tqdm=True),  # noqa: B008
) -> tuple[str, str, Any]:
    """The loaded model's key, what it is in one line, and the methods that it serves.

    Raises:
        EncoderError: it cannot be loaded; nothing changes then.
    """
    progress(0.1, desc=f"loading {name}")
    key = key_of(name, guide)
    model = bench.model(key)
    chosen = gr.Dropdown(
        choices=heatmap.method_choices(model.methods), value=model.default_method if model.methods else None
    )
    return key, describe(model), chosen


def describe(model: ImageTextModel) -> str:
    """What is loaded: name, parts, device and number format."""
    parts = [f"pictures by {model.images.name}", f"texts by {model.texts.name}"]
    if model.guide is not None and model.guide is not model.images:
        parts.append(f"guide {model.guide.name}")
    dtype = str(model.images.dtype).removeprefix("torch.")
    return f"Loaded: **{model.name}** ({', '.join(parts)}), on {model.images.device}, {dtype}."


def everywhere(path: str | None) -> tuple[str | None, list[str] | None]:
    """The picture for the other single-picture tab, and as the PCA tab's only one."""
    return path, [path] if path else None


def _chooser(bench: Workbench) -> tuple[Any, Any, Any, Any]:
    with gr.Row(elem_classes=["chooser"], equal_height=True):
        name = gr.Dropdown(labelled(bench.model_names()), value=bench.first_name, label="Model", scale=3, min_width=200)
        guides = [("the model's own, or none", NO_GUIDE), *labelled(bench.guide_names())]
        beside = gr.Dropdown(guides, value=bench.first_guide, label="Guide (a DINO)", scale=3, min_width=200)
        load = gr.Button("Load", scale=1, min_width=100)
    status = gr.Markdown(describe(bench.model(bench.first_key)), elem_id="status")
    return name, beside, load, status
