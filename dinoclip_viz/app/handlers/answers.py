"""Handlers as the page runs them: one model run at a time, equal requests answered once, images as complete files."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from dinoclip_viz.app.events import AGAIN, HELPER, one_line_errors
from dinoclip_viz.app.handlers.remote import through
from dinoclip_viz.app.workbench import Workbench

P = ParamSpec("P")
R = TypeVar("R")


def served(bench: Workbench, handler: Callable[P, R], runs_model: bool = True) -> Callable[P, Any]:
    """The handler with images as paths of complete files, and errors in one line.

    Args:
        bench: the workbench.
        handler: a function of component values.
        runs_model: whether it runs a model, so that only one such handler computes at a time. Files are written after
            that, while the next one computes.
    """
    compute = handler if bench.runner is None or not runs_model else through(bench.runner, bench, handler)

    @functools.wraps(handler)
    def run(*given: P.args, **named: P.kwargs) -> Any:
        if runs_model:
            with bench.running:
                answer = compute(*given, **named)
        else:
            answer = handler(*given, **named)
        return bench.tidy(bench.files.served(answer))

    return one_line_errors(run)


def remembered(
    bench: Workbench,
    name: str,
    handler: Callable[P, R],
    inputs: Sequence[Any],
    valid: Callable[[Any], bool] = lambda answer: True,
    relevant: Callable[..., Sequence[Any]] = lambda *values: values,
) -> Callable[P, Any]:
    """The handler as by `served`, computed once for equal requests while its answer is kept.

    Args:
        bench: the workbench, which keeps the answers.
        name: of the handler, unique on the page.
        handler: a function of the inputs' values; it depends on nothing else that changes.
        inputs: its components.
        valid: whether a kept answer can still be given, provided that its files are there.
        relevant: the inputs' values -> the same without what the answer does not depend on.
    """
    kinds = [type(component) for component in inputs]
    run = served(bench, handler)

    @functools.wraps(run)
    def ask(*given: P.args, **named: P.kwargs) -> Any:
        values = relevant(*given[: len(kinds)])
        key = (name, *(_key(value, kind) for value, kind in zip(values, kinds, strict=True)))

        def still(answer: Any) -> bool:
            return valid(answer) and bench.files.still(bench.files.paths_in(answer))

        return _copy(bench.answers.get(key, lambda: run(*given, **named), still))

    return ask


def draw_next(
    bench: Workbench, button: gr.Button, last: int, draw: Callable[[int], tuple[Any, ...]], targets: list[Any], run: Any
) -> None:
    """Let a button draw the next scenes into the targets, and run a handler on them.

    Args:
        bench: the workbench.
        button: the button.
        last: seed of the last scene drawn.
        draw: last seed -> the new last seed, and a value for each target.
        targets: components that hold images.
        run: handler, its inputs and its outputs.
    """
    seed = gr.State(last)
    handler, inputs, outputs = run
    drawn = button.click(served(bench, draw, False), seed, [seed, *targets], show_progress="hidden", **HELPER)
    drawn.then(handler, inputs, outputs, **AGAIN)


def _key(value: Any, kind: type) -> Hashable:
    """What distinguishes the value of a component from others: the content of files, the parts of lists."""
    if issubclass(kind, gr.Image):
        return None if value is None else _content(str(value))
    if issubclass(kind, gr.Gallery):
        return tuple((_content(str(path)), caption) for path, caption in value or ())
    if isinstance(value, list | tuple):
        return tuple(_key(part, type(None)) for part in value)
    return type(value).__name__, value if isinstance(value, Hashable) else repr(value)


def _content(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except (OSError, ValueError):  # reported by the handler that reads it
        return path


def _copy(answer: Any) -> Any:
    """The answer with its lists and updates copied: Gradio changes updates in place."""
    if isinstance(answer, list | tuple):
        return type(answer)(_copy(part) for part in answer)
    if isinstance(answer, dict):
        return {name: _copy(part) for name, part in answer.items()}
    return answer
