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


def told(handler: Callable[P, R]) -> Callable[P, R]:
    """The handler, its expected errors (ImageError, EncoderError, SpaceError are ValueErrors) told in one line."""

    @functools.wraps(handler)
    def run(*given: P.args, **named: P.kwargs) -> R:
        try:
            return handler(*given, **named)
        except ValueError as error:
            raise gr.Error(" ".join(str(error).split()), print_exception=False, title="This did not work") from error

    return run
