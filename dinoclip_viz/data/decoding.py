"""Samples decoded ahead of their use, by threads or by processes, in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context, parent_process
from threading import Thread

from PIL import Image

from dinoclip_viz.data.base import Sample
from dinoclip_viz.images import ImageError

Decoded = tuple[Sample, Image.Image | str]
"""A sample and its image, or the reason why it has none."""

_THREADS = 2
_TOGETHER = 8  # images that a process fetches at once


@contextmanager
def decoded(samples: Iterable[Sample], workers: int = 0, ahead: int = 64) -> Iterator[Iterator[Decoded]]:
    """The samples in order, each with its image; within the `with`, the next ones are decoded meanwhile.

    Args:
        samples: any number; memory does not grow with it.
        workers: processes that decode; 0 decodes in threads of this process.
        ahead: images in memory that nobody has asked for yet.

    Raises:
        ValueError: `workers` is negative.
        RuntimeError: a worker died, for want of memory perhaps.
    """
    if workers < 0:
        raise ValueError(f"workers is {workers}; expected 0 or more")
    pool: Executor = (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent)
        if workers
        else ThreadPoolExecutor(_THREADS)
    )
    try:
        yield _in_order(iter(samples), pool, _TOGETHER if workers else 1, ahead)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(samples: Iterator[Sample], pool: Executor, together: int, ahead: int) -> Iterator[Decoded]:
    waiting: deque[tuple[list[Sample], Future[list[Image.Image | str]]]] = deque()
    while True:
        while len(waiting) * together < max(ahead, together):
            group = list(islice(samples, together))
            if not group:
                break
            waiting.append((group, pool.submit(_load, group)))
        if not waiting:
            return
        group, job = waiting.popleft()
        yield from zip(group, job.result(), strict=True)


def _end_with_parent() -> None:
    """In a worker: end when the process that started it is gone, perhaps killed, and can no longer end it."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _load(samples: Sequence[Sample]) -> list[Image.Image | str]:
    loaded: list[Image.Image | str] = []
    for sample in samples:
        try:
            loaded.append(sample.load())
        except ImageError as error:
            loaded.append(str(error))
    return loaded
