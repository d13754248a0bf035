"""Registration of the endpoints with Gradio: their names, types and descriptions, errors in one line."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from time import monotonic
from typing import Any, get_type_hints

import gradio as gr
from gradio.utils import get_upload_folder

from dinoclip_viz.app.api import answers, labels, patches
from dinoclip_viz.app.api.downloads import SECONDS, bound_downloads, brought
from dinoclip_viz.app.api.inputs import ImageInput, key_of_model
from dinoclip_viz.app.api.results import with_files
from dinoclip_viz.app.events import MODEL_RUN, one_line_errors
from dinoclip_viz.app.handlers.answers import served
from dinoclip_viz.app.retrieval.gallery import Gallery
from dinoclip_viz.app.workbench import Workbench

ENDPOINTS: tuple[Callable[..., Any], ...] = (
    labels.classify, labels.heatmap, patches.pca, patches.match, labels.search, patches.similarity, answers.ask,
    answers.afford, answers.models,
)  # fmt: skip
SHARED = ("bench", "gallery")
"""First parameters of endpoints, which the page gives."""


def register(bench: Workbench, gallery: Gallery) -> None:
    """Add the endpoints to the page that is being built, before its own events, which then get other names.

    Args:
        bench: the page's workbench, whose models, cache and lock they share.
        gallery: the images that `search` searches.
    """
    bound_downloads()
    shared = dict(zip(SHARED, (bench, gallery), strict=True))
    for endpoint in ENDPOINTS:
        gr.api(typed(bench, endpoint, shared), api_name=endpoint.__name__, **MODEL_RUN)


def typed(bench: Workbench, endpoint: Callable[..., Any], shared: dict[str, Any]) -> Callable[..., Any]:
    """The endpoint without its shared parameters, with types that Gradio can read, errors in one line.

    Args:
        bench: the workbench.
        endpoint: a function of shared parameters, then of those of the API.
        shared: value of each shared parameter.
    """
    signature, hints = inspect.signature(endpoint), get_type_hints(endpoint)
    given = [value for name, value in shared.items() if name in signature.parameters]
    run = served(bench, functools.partial(endpoint, *given), runs_model=endpoint is not answers.models)
    kept = [one.replace(annotation=hints[name]) for name, one in signature.parameters.items() if name not in shared]
    pictured = [one.name for one in kept if hints[one.name] in (ImageInput, list[ImageInput])]

    @one_line_errors
    def ready(values: dict[str, Any]) -> dict[str, Any]:
        if "model" in hints and endpoint is not answers.ask:
            key_of_model(bench, values.get("model", ""))
        end, folder = monotonic() + SECONDS, get_upload_folder()
        files = {name: brought(values[name], folder, end) for name in pictured if name in values}
        return {**values, **files}

    def call(*values: Any, **named: Any) -> Any:
        # what may be slow comes first: it may not keep others from the model
        asked = {**dict(zip((one.name for one in kept), values, strict=False)), **named}
        return with_files(bench, run(**ready(asked)))

    call.__name__ = call.__qualname__ = endpoint.__name__
    call.__doc__ = endpoint.__doc__
    call.__annotations__ = {name: hint for name, hint in hints.items() if name not in shared}
    vars(call)["__signature__"] = signature.replace(parameters=kept, return_annotation=hints["return"])
    return call
