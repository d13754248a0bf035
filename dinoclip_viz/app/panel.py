"""The parts of a tab that the page connects with the other tabs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr


@dataclass(frozen=True)
class Panel:
    """The parts of a tab that the page uses.

    Attributes:
        run: the handler that fills the tab, wrapped by `handlers.answers.remembered`.
        inputs: the components that it reads; outputs: those that it fills.
        image: the component that "Use in every tab" fills: a `gr.Image`, a `gr.Gallery` for several images, or None.
        spread: the button "Use in every tab", on tabs with one image.
        changed: components whose choices depend on the model; refresh: workbench, key -> their new state.
        area: the tab's `NoticeArea`.
    """

    run: Any
    inputs: list[Any]
    outputs: list[Any]
    image: Any = None
    spread: Any = None
    changed: tuple[Any, ...] = ()
    refresh: Any = None
    area: Any = None


def scene_buttons(noun: str = "scene") -> tuple[gr.Button, gr.Button]:
    """The buttons below an image input: "New scene" and "Use in every tab".

    Args:
        noun: what the page's own images are, as in `Scenes.noun`.
    """
    with gr.Row():
        return gr.Button(f"New {noun}", size="sm"), gr.Button("Use in every tab", size="sm")
