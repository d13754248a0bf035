"""Handlers through one function of a host that lends an accelerator for the length of a call, as ZeroGPU does.

The host runs that function in a forked process, which has the models of the page as they were when it was forked.
Arguments and answers cross by pickle, so a handler is named by its number, and what it left on the workbench for later
requests is brought back with its answer.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import gradio as gr

from dinoclip_viz.app.events import one_line_errors
from dinoclip_viz.app.handlers.streaming import STREAM

if TYPE_CHECKING:
    from dinoclip_viz.app.workbench import Workbench

Runner = Callable[..., Any]
"""A function whose call `runner(call, *given)` returns `call(*given)`, wherever that runs."""

_numbers = itertools.count()


class _Handler:
    """A handler and its workbench, found by its number in the page's process and in those forked from it."""

    def __init__(self, bench: Workbench, handler: Callable[..., Any]) -> None:
        self.bench, self.handler, self.number, self.process = bench, handler, next(_numbers), os.getpid()
        _handlers[self.number] = self


_handlers: WeakValueDictionary[int, _Handler] = WeakValueDictionary()


@dataclass(frozen=True)
class _Call:
    """What crosses to the other process in place of a handler: its number."""

    number: int

    def __call__(self, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The handler's answer, and the PCA bases that it left on the workbench."""
        known = _handlers[self.number]
        bench = known.bench
        if os.getpid() != known.process:  # the page's own process holds the lock while it waits for this one
            bench.running, known.process = RLock(), os.getpid()
        before = set(bench.bases.names())
        answer = one_line_errors(known.handler)(
            *(gr.Progress() if part is PROGRESS else part for part in given), **named
        )
        return answer, {name: bench.bases.get(name) for name in bench.bases.names() if name not in before}


class _Progress:
    """Stands for the progress of a request, which the other process makes anew."""

    def __reduce__(self) -> str:
        return "PROGRESS"  # the same object on both sides


PROGRESS = _Progress()


def through(runner: Runner, bench: Workbench, handler: Callable[..., Any]) -> Callable[..., Any]:
    """The handler, run by the host's function. Pieces of text are not streamed: the answer comes as a whole.

    Args:
        runner: the host's function.
        bench: the workbench that the handler reads.
        handler: a function of component values, whose answer can be pickled.
    """
    known = _Handler(bench, handler)

    def run(*given: Any, **named: Any) -> Any:
        named.pop(STREAM, None)
        sent = tuple(PROGRESS if isinstance(part, gr.Progress) else part for part in given)
        answer, bases = runner(_Call(known.number), sent, named)
        for name, value in bases.items():
            bench.bases.put(value, name)
        return answer

    return run
