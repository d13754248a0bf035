"""Samples decoded in order ahead of their use, by threads or processes."""

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
"""A sample with its image, or with the message of the error."""

_THREADS = 2
_TOGETHER = 8  # images per task of a process


@contextmanager
def decoded(samples: Iterable[Sample], workers: int = 0, ahead: int = 64) -> Iterator[Iterator[Decoded]]:
    """An iterator over the samples and their images, in order; the next ones are decoded in the background.

    Args:
        samples: any number; memory is constant.
        workers: number of decoding processes; 0 for threads of this process.
        ahead: number of images decoded in advance.

    Raises:
        ValueError: `workers` is negative.
        RuntimeError: a worker process ended, for example because memory ran out.
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
    """Ends this worker when its parent process is gone, even if the parent was killed."""
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
