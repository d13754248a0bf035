"""How handlers are tied to the page: one model run at a time, errors in one line."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import gradio as gr

P = ParamSpec("P")
R = TypeVar("R")

MODEL_RUN: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
"""What every event that runs a model shares."""
HELPER: dict[str, Any] = {"api_visibility": "private"}
"""What events that only serve the page share."""
AGAIN: dict[str, Any] = {**MODEL_RUN, **HELPER, "trigger_mode": "always_last"}
"""What events share that run a model because a choice was changed."""


def told(handler: Callable[P, R]) -> Callable[P, R]:
    """The handler, its expected errors (ImageError, EncoderError, SpaceError are ValueErrors) told in one line."""

    @functools.wraps(handler)
    def run(*given: P.args, **named: P.kwargs) -> R:
        try:
            return handler(*given, **named)
        except ValueError as error:
            raise gr.Error(" ".join(str(error).split()), print_exception=False, title="This did not work") from error

    return run


def draw_next(
    button: gr.Button, last: int, draw: Callable[[int], tuple[Any, ...]], targets: list[Any], run: Any
) -> None:
    """Let a button draw the next images into the targets, and run what comes then.

    Args:
        button: what is pressed.
        last: seed that was used last.
        draw: takes that seed; gives the seed that is now the last, and a value for each target.
        targets: components that hold images.
        run: handler, its inputs and its outputs.
    """
    seed = gr.State(last)
    handler, inputs, outputs = run
    button.click(draw, seed, [seed, *targets], show_progress="hidden", **HELPER).then(handler, inputs, outputs, **AGAIN)
