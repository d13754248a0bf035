"""How handlers are tied to the page: one model run at a time, errors in one line."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import gradio as gr

P = ParamSpec("P")
R = TypeVar("R")

MODEL_RUN: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
"""Settings of every event that runs a model."""
HELPER: dict[str, Any] = {"api_visibility": "private"}
"""Settings of events that serve the page alone."""
AGAIN: dict[str, Any] = {**MODEL_RUN, **HELPER, "trigger_mode": "always_last"}
"""Settings of events that run a model because an input changed."""


def one_line_errors(handler: Callable[P, R]) -> Callable[P, R]:
    """The handler with its ValueErrors (also ImageError, EncoderError, SpaceError) shown as one line on the page."""

    @functools.wraps(handler)
    def run(*given: P.args, **named: P.kwargs) -> R:
        try:
            return handler(*given, **named)
        except ValueError as error:
            raise gr.Error(" ".join(str(error).split()), print_exception=False, title="Error") from error

    return run


def draw_next(
    button: gr.Button, last: int, draw: Callable[[int], tuple[Any, ...]], targets: list[Any], run: Any
) -> None:
    """Let a button draw the next scenes into the targets, and run a handler on them.

    Args:
        button: the button.
        last: seed of the last scene drawn.
        draw: last seed -> the new last seed, and a value for each target.
        targets: components that hold images.
        run: handler, its inputs and its outputs.
    """
    seed = gr.State(last)
    handler, inputs, outputs = run
    button.click(draw, seed, [seed, *targets], show_progress="hidden", **HELPER).then(handler, inputs, outputs, **AGAIN)
