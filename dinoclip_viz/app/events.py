"""How handlers are tied to the page: settings of events, errors in one line and without the server's folders."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import gradio as gr

P = ParamSpec("P")
R = TypeVar("R")

MODEL_RUN: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 4}
"""Settings of every event that runs a model. One of them computes at a time, as in `handlers.answers.served`; the
others write their files."""
HELPER: dict[str, Any] = {"api_visibility": "private"}
"""Settings of events that serve the page alone."""
AGAIN: dict[str, Any] = {**MODEL_RUN, **HELPER, "trigger_mode": "always_last"}
"""Settings of events that run a model because an input changed."""

_FOLDERS = re.compile(r"(?<![\w:/.<~])(?:[A-Za-z]:|~)?[/\\](?:[^\s/\\'\"<>;:,()]+[/\\])+")


def one_line_errors(handler: Callable[P, R]) -> Callable[P, R]:
    """The handler with its ValueErrors (also ImageError, EncoderError, SpaceError) shown as one line on the page."""

    @functools.wraps(handler)
    def run(*given: P.args, **named: P.kwargs) -> R:
        try:
            return handler(*given, **named)
        except ValueError as error:
            line = without_folders(" ".join(str(error).split()))
            raise gr.Error(line, print_exception=False, title="Error") from error

    return run


def without_folders(text: str) -> str:
    """The text with every absolute path cut to its last part, so that a page never shows where a file is.

    Examples:
        >>> without_folders("/home/me/models/clip has no config.json; see https://huggingface.co/openai")
        'clip has no config.json; see https://huggingface.co/openai'
    """
    return _FOLDERS.sub("", text)
