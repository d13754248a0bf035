"""The page: the choice of model on top, the tabs below; a tab computes its result when it is first opened."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import gradio as gr

from dinoclip_viz.app.adapt import tab as adaptation
from dinoclip_viz.app.affordance import tab as affordances
from dinoclip_viz.app.api.register import register
from dinoclip_viz.app.correspondence import match
from dinoclip_viz.app.correspondence import similarity as hover
from dinoclip_viz.app.events import HELPER, MODEL_RUN, without_folders
from dinoclip_viz.app.explorer import tab as explorer
from dinoclip_viz.app.handlers.answers import served
from dinoclip_viz.app.notice import tie
from dinoclip_viz.app.open_vocabulary import tab as heatmap
from dinoclip_viz.app.panel import Panel
from dinoclip_viz.app.pca import tab as pca
from dinoclip_viz.app.probes import knn as neighbours
from dinoclip_viz.app.probes import tab as probes
from dinoclip_viz.app.retrieval import search
from dinoclip_viz.app.retrieval.gallery import Gallery
from dinoclip_viz.app.tokens import tab as tokens
from dinoclip_viz.app.vlm import tab as ask
from dinoclip_viz.app.workbench import NO_GUIDE, Workbench, key_of, labelled
from dinoclip_viz.app.zero_shot import tab as zero_shot
from dinoclip_viz.encoders.devices import AUTO, described
from dinoclip_viz.models import ImageTextModel

TabName = Literal[
    "zero-shot", "heatmap", "pca", "hover", "match", "tokens", "probes", "neighbours", "search", "explore", "adapt",
    "ask", "affordances",
]  # fmt: skip
TITLES: dict[TabName, str] = {
    "zero-shot": "Zero-shot",
    "heatmap": "Heat maps",
    "pca": "PCA",
    "hover": "Similarity",
    "match": "Correspondences",
    "tokens": "Tokens",
    "probes": "Probes",
    "neighbours": "Neighbours",
    "search": "Search",
    "explore": "Explore",
    "adapt": "Adapt",
    "ask": "Ask",
    "affordances": "Affordances",
}
"""Titles of the tabs, short enough for one row."""
HEADINGS: dict[TabName, str] = {
    "zero-shot": "Zero-shot classification",
    "heatmap": "Open-vocabulary heat maps and segmentation",
    "pca": "PCA of patch features",
    "hover": "Patch similarity",
    "match": "Correspondences",
    "tokens": "Token norms and attention",
    "probes": "Linear probes",
    "neighbours": "Nearest neighbours",
    "search": "Search",
    "explore": "Dataset explorer",
    "adapt": "Label-free adaptation",
    "ask": "Captions, answers, detection and segmentation",
    "affordances": "Affordances",
}
QUESTIONS: dict[TabName, str] = {
    "zero-shot": "Which of these labels describes the image?",
    "heatmap": "Where in the image is what each prompt describes?",
    "pca": "Which patches have similar features, across all images?",
    "hover": "Which patches are similar to the one under the pointer?",
    "match": "Which positions in two images correspond?",
    "tokens": "What is the norm of each token, and what does the CLS token attend to?",
    "probes": "Which classes, parts and depths can a linear layer predict from frozen features?",
    "neighbours": "Which labelled images are nearest to this one?",
    "search": "Which images are nearest to a text or an image?",
    "explore": "How are the images of a store arranged, and which are near duplicates or outliers?",
    "adapt": "Which labels change when the model adapts to unlabelled images?",
    "ask": "What does a vision-language model answer about the image?",
    "affordances": "Which part of an object answers a verb, such as hold or cut?",
}


def build_demo(
    model: str | ImageTextModel = "playground",
    guide: str | None = None,
    tab: TabName = "zero-shot",
    gallery: str | Path | None = None,
    heads: str | Path | None = None,
    dinoiser: str | Path | None = None,
    public: bool = False,
    allow: Sequence[str] = (),
    device: str = AUTO,
    dtype: str = AUTO,
    fallback: str | None = None,
    photographs: Sequence[str | Path] = (),
    runner: Callable[..., Any] | None = None,
) -> gr.Blocks:
    """The page with its tabs, ready for `launch`.

    Args:
        model: a model, or its name as in `load_model`.
        guide: name of the DINO that pools CLIP's patches and provides PCA maps; None for the model's own.
        tab: the tab that opens first.
        gallery: feature store to search; None for synthetic scenes, embedded at the first search.
        heads: folder of trained heads, offered with the package's own.
        dinoiser: CLIP-DINOiser's trained layers for the model's CLIP, as in `load_model`.
        public: whether strangers visit the page: it then loads the embedded models, the given ones and those of `allow`
            alone, and shows no folders of the server.
        allow: catalogue names, hub ids or local folders of further models that a public page loads.
        device, dtype: of all models that the page loads, as in `load_model`.
        fallback: name of the model that the page starts with where the first cannot be loaded; it then shows why, and
            shows synthetic scenes. None raises.
        photographs: files that tabs open with, in place of synthetic scenes.
        runner: a function whose call `runner(call, *given)` returns `call(*given)`: every model runs through it, as
            on hosts that lend an accelerator for the length of a call (ZeroGPU: `spaces.GPU`). None for a plain call.

    Raises:
        ImageError: a photograph cannot be read.
        ValueError: the tab is unknown, or models are allowed on a page that is not public.
        EncoderError: the model or its guide cannot be loaded.
        StoreError: the gallery is not a feature store, or is damaged.
        SpaceError: the model cannot search the gallery.
    """
    if tab not in get_args(TabName):
        raise ValueError(f"found tab {tab!r}; expected one of {', '.join(get_args(TabName))}")
    if allow and not public:
        raise ValueError(f"found allowed models {', '.join(allow)} on a page that is not public; set public as well")
    bench = Workbench(
        model, guide, dinoiser=dinoiser, allow=allow if public else None, device=device, dtype=dtype, fallback=fallback,
        photographs=[Path(path) for path in photographs], runner=runner,
    )  # fmt: skip
    images_to_search = Gallery(gallery, bench.model(bench.first_key))
    own = Path(heads) if heads else None
    builders: dict[TabName, Callable[[Workbench, gr.State], Panel]] = {
        "zero-shot": zero_shot.build,
        "heatmap": heatmap.build,
        "pca": pca.build,
        "hover": hover.build,
        "match": match.build,
        "tokens": tokens.build,
        "probes": functools.partial(probes.build, heads=own),
        "neighbours": functools.partial(neighbours.build, gallery=images_to_search, heads=own),
        "search": functools.partial(search.build, gallery=images_to_search),
        "explore": functools.partial(explorer.build, gallery=images_to_search),
        "adapt": adaptation.build,
        "ask": ask.build,
        "affordances": affordances.build,
    }
    with gr.Blocks(title="dinoclip-viz", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)) as demo:
        register(bench, images_to_search)
        key = gr.State(bench.first_key)
        gr.Markdown("# dinoclip-viz\nSee, question and align the features of frozen vision models.")
        name, guides, load, status = _chooser(bench)
        tabs: dict[TabName, gr.Tab] = {}
        panels: dict[TabName, Panel] = {}
        with gr.Tabs(selected=tab):
            for each, title in TITLES.items():
                with gr.Tab(title, id=each) as tabs[each]:
                    gr.Markdown(f"### {HEADINGS[each]}\n{QUESTIONS[each]}", elem_classes=["question"])
                    panels[each] = builders[each](bench, key)
        loaded = load.click(
            served(bench, functools.partial(load_chosen, bench), False),
            [name, guides],
            [key, status],
            api_name="load",
            **MODEL_RUN,
            **HELPER,
        )
        areas = [panel.area for panel in panels.values() if panel.area is not None]
        recommended = tie(areas, functools.partial(load_chosen, bench), [name, guides, key, status])
        _tie(demo, bench, tab, tabs, panels, key, [event for event in (loaded, recommended) if event is not None])
    demo.queue(max_size=32)
    return demo


def load_chosen(
    bench: Workbench,
    name: str,
    guide: str | None,
    progress: gr.Progress = gr.Progress(track_tqdm=True),  # noqa: B008
) -> tuple[str, str]:
    """The loaded model's key, and its description in one line.

    Raises:
        EncoderError: the model cannot be loaded; nothing changes.
    """
    progress(0.1, desc=f"loading {name}")
    key = key_of(name, guide)
    return key, bench.tidy(describe(bench.model(key)))


def describe(model: ImageTextModel) -> str:
    """Name, parts, device and number format of a model."""
    parts = [f"images by {model.images.name}", f"texts by {model.texts.name}"]
    if model.guide is not None and model.guide is not model.images:
        parts.append(f"guide {model.guide.name}")
    return f"Loaded: **{model.name}** ({', '.join(parts)}), on {described(model.encoders)}."


def everywhere(path: str | None, several: list[bool]) -> list[str | list[str] | None]:
    """The image as the value of each tab's input; a list where the tab shows several images."""
    return [[path] if many and path else path for many in several]


def when_open(panel: Panel, here: TabName, opened: TabName, stale: bool, *inputs: Any) -> tuple[Any, ...]:
    """Whether the tab is stale, and its outputs, recomputed if it is open and they are stale."""
    if opened != here or not stale:
        return stale, *(gr.skip() for _ in panel.outputs)
    answer = panel.run(*inputs)
    return False, *(answer if len(panel.outputs) > 1 else (answer,))


def _chooser(bench: Workbench) -> tuple[Any, Any, Any, Any]:
    with gr.Row(elem_classes=["chooser"], equal_height=True):
        name = gr.Dropdown(labelled(bench.model_names()), value=bench.first_name, label="Model", scale=3, min_width=200)
        choices = [("default", NO_GUIDE), *labelled(bench.guide_names())]
        guides = gr.Dropdown(choices, value=bench.first_guide, label="Guide (DINO encoder)", scale=3, min_width=200)
        load = gr.Button("Load", scale=1, min_width=100)
    loaded = describe(bench.model(bench.first_key))
    text = f"{without_folders(bench.problem)} {loaded}" if bench.problem else loaded
    status = gr.Markdown(bench.tidy(text), elem_id="status")
    return name, guides, load, status


def _tie(
    demo: gr.Blocks,
    bench: Workbench,
    first: TabName,
    tabs: dict[TabName, gr.Tab],
    panels: dict[TabName, Panel],
    key: gr.State,
    loads: Sequence[Any],
) -> None:
    """Recompute the open tab, where it is stale, when a tab is opened, a model is loaded or an image is spread."""
    opened = gr.State(first)
    stale = {name: gr.State(True) for name in panels}
    states = list(stale.values())
    again = [_refreshed(bench, panels, key, loaded, states) for loaded in loads]
    for name, panel in panels.items():
        run = functools.partial(when_open, panel, name)
        inputs, outputs = [opened, stale[name], *panel.inputs], [stale[name], *panel.outputs]
        tabs[name].select(functools.partial(str, name), None, opened, show_progress="hidden", **HELPER).then(
            run, inputs, outputs, **MODEL_RUN, **HELPER
        )
        for event in again:
            event.then(run, inputs, outputs, **MODEL_RUN, **HELPER)
        if name == first:
            demo.load(run, inputs, outputs, **MODEL_RUN, **HELPER)
    takers = {name: panel.image for name, panel in panels.items() if panel.image is not None}
    several = [isinstance(taker, gr.Gallery) for taker in takers.values()]
    for name, panel in panels.items():
        if panel.spread is None:
            continue
        others = [taker for other, taker in takers.items() if other != name]
        many = [flag for other, flag in zip(takers, several, strict=True) if other != name]
        fresh = [state for other, state in stale.items() if other != name]
        spread = functools.partial(_spread, many, len(fresh))
        panel.spread.click(spread, panel.image, [*others, *fresh], **HELPER)


def _refreshed(
    bench: Workbench, panels: dict[TabName, Panel], key: gr.State, loaded: Any, states: list[gr.State]
) -> Any:
    """The event after which the choices that depend on the loaded model are new, and every tab is stale."""
    for panel in panels.values():
        if panel.refresh is not None:
            loaded = loaded.success(functools.partial(panel.refresh, bench), key, list(panel.changed), **HELPER)
    return loaded.success(lambda: [True] * len(states), None, states, **HELPER)


def _spread(several: list[bool], states: int, path: str | None) -> list[Any]:
    return [*everywhere(path, several), *([True] * states)]
