"""The encoder whose patches a tab shows: a model's DINO or its CLIP."""

from __future__ import annotations

import gradio as gr

from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.models import ImageTextModel

DINO, CLIP = "DINO", "CLIP"


def encoder_of(model: ImageTextModel, source: str) -> ImageEncoder:
    """One of the model's image encoders.

    Args:
        model: the model.
        source: `DINO` or `CLIP`.

    Raises:
        ValueError: the source is neither, or the model has no CLIP.
    """
    if source == DINO:
        return model.guide or model.images
    if source != CLIP:
        raise ValueError(f"found patches of {source!r}; expected {DINO!r} or {CLIP!r}")
    if model.clip is None:
        raise ValueError(f"{model.name} has no CLIP; choose patches of {DINO!r}")
    return model.clip


def source_choices(bench: Workbench, key: str) -> list[str]:
    """Sources of patches that the model has."""
    return [DINO] if bench.model(key).clip is None else [DINO, CLIP]


def source_input(bench: Workbench, key: str) -> gr.Radio:
    """The choice among the model's sources of patches."""
    return gr.Radio(source_choices(bench, key), value=DINO, label="Encoder of the patches")
