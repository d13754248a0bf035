"""Handlers whose text appears while it is generated."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

STREAM = "stream"
"""Name of the parameter that receives pieces of text."""


def streamed(handler: Callable[..., Any], partial: Callable[[str], Any]) -> Callable[..., Iterator[Any]]:
    """The handler as a generator: what `partial` makes of the text so far, then the handler's answer.

    The handler runs in a thread of its own; where its answer is kept, it is yielded at once.

    Args:
        handler: a function of component values, as by `remembered`, that passes `stream` on to the model.
        partial: text so far -> a value for each output.
    """

    @functools.wraps(handler)
    def run(*given: Any) -> Iterator[Any]:
        pieces: SimpleQueue[str | None] = SimpleQueue()

        def compute() -> Any:
            try:
                return handler(*given, **{STREAM: pieces.put})
            finally:
                pieces.put(None)

        pool = ThreadPoolExecutor(1)
        answer, text = pool.submit(compute), ""
        pool.shutdown(wait=False)  # a visitor who leaves is not waited for
        while (piece := pieces.get()) is not None:
            text += piece
            yield partial(text)
        yield answer.result()

    shown = inspect.signature(handler)
    kept = [one for one in shown.parameters.values() if one.name != STREAM]
    run.__signature__ = shown.replace(parameters=kept)  # type: ignore[attr-defined]  # Gradio fills what it lists
    return run
