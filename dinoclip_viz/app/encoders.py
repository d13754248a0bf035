"""Which of a model's encoders a tab looks at."""

from __future__ import annotations

import gradio as gr

from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.models import ImageTextModel

DINO, CLIP = "DINO's", "CLIP's own"


def encoder_of(model: ImageTextModel, whose: str) -> ImageEncoder:
    """The encoder whose patches are looked at.

    Raises:
        ValueError: the model has no CLIP, or neither name was given.
    """
    if whose == DINO:
        return model.guide or model.images
    if whose != CLIP:
        raise ValueError(f"patches of {whose!r}; expected {DINO!r} or {CLIP!r}")
    if model.clip is None:
        raise ValueError(f"{model.name} has no CLIP whose patches could be compared; choose {DINO} patches")
    return model.clip


def whose_choices(bench: Workbench, key: str) -> list[str]:
    """Whose patches there are."""
    return [DINO] if bench.model(key).clip is None else [DINO, CLIP]


def whose_input(bench: Workbench, key: str) -> gr.Radio:
    """The choice of patches, of those that the model has."""
    return gr.Radio(whose_choices(bench, key), value=DINO, label="Patches")
