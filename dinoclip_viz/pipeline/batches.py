"""Batches of prepared images, collected in the background."""

from __future__ import annotations

import queue
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dinoclip_viz.data.base import Sample
from dinoclip_viz.images.scaled import Size
from dinoclip_viz.pipeline.decoding import Outcome, Prepared

Item = TypeVar("Item")
_WAIT = 0.1  # seconds between two looks at whether the reader has left


@dataclass
class Batch:
    """Consecutive samples of a source, those that could be read with the inputs of their encoders.

    Attributes:
        samples: the B samples that could be read.
        numbers: their numbers in the stream, from 0.
        sizes: width and height of their images in pixels.
        failed: number, sample and reason of each that could not be read.
        inputs: for each recipe, (B, ...) arrays; the images themselves where the recipe is None.
        last: whether a group of samples ends here.
    """

    samples: list[Sample] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    failed: list[tuple[int, Sample, str]] = field(default_factory=list)
    inputs: list[Tensor | list[Image.Image]] = field(default_factory=list)
    last: bool = False

    @property
    def seen(self) -> int:
        """Number of samples, those that failed included."""
        return len(self.samples) + len(self.failed)


def batches(
    outcomes: Iterable[Outcome], batch_size: int, group: int | None = None, pinned: bool = False
) -> Iterator[Batch]:
    """Batches of `batch_size` images; the last one of a group of samples may be smaller, or empty.

    Args:
        outcomes: samples with their images.
        batch_size: images per batch.
        group: number of samples after which a batch ends in any case; None for none.
        pinned: whether inputs are in page-locked memory, from which a GPU copies without blocking.

    Raises:
        ValueError: two images of a batch have different patch grids.
    """
    batch, ready, ended = Batch(), list[Prepared](), True
    for number, (sample, outcome) in enumerate(outcomes):
        if isinstance(outcome, str):
            batch.failed.append((number, sample, outcome))
        else:
            batch.samples.append(sample)
            batch.numbers.append(number)
            batch.sizes.append(outcome.size)
            ready.append(outcome)
        ended = batch.last = group is not None and (number + 1) % group == 0
        if ended or len(ready) == batch_size:
            yield _with_inputs(batch, ready, pinned)
            batch, ready = Batch(), []
    if batch.seen or not ended:  # an empty batch marks the end of the last group
        batch.last = True
        yield _with_inputs(batch, ready, pinned)


def _with_inputs(batch: Batch, ready: Sequence[Prepared], pinned: bool) -> Batch:
    if ready:
        columns = zip(*(one.arrays for one in ready), strict=True)
        batch.inputs = [_input(column, pinned) for column in columns]
    return batch


def _input(column: Sequence[NDArray[np.generic] | Image.Image], pinned: bool) -> Tensor | list[Image.Image]:
    images = [one for one in column if isinstance(one, Image.Image)]
    return images or _stacked([one for one in column if not isinstance(one, Image.Image)], pinned)


def _stacked(arrays: Sequence[NDArray[np.generic]], pinned: bool) -> Tensor:
    first = arrays[0]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        named = ", ".join(f"{shape[1]} x {shape[0]}" for shape in shapes[:4])
        raise ValueError(
            f"found {len(shapes)} different input sizes ({named} pixels) in a batch; expected one; "
            "use encode_each, fit='crop', or batch_size=1"
        )
    kind = torch.uint8 if first.dtype == np.uint8 else torch.float32
    together = torch.empty((len(arrays), *first.shape), dtype=kind, pin_memory=pinned)
    np.stack(arrays, out=together.numpy())
    return together


@dataclass
class _Failure:
    error: BaseException


@dataclass
class _End:
    pass


class _Ahead(Generic[Item]):
    """Items of an iterator, taken by a thread before they are needed."""

    def __init__(self, items: Iterator[Item], length: int) -> None:
        self._items = items
        self._ready: queue.Queue[Item | _Failure | _End] = queue.Queue(length)
        self._left = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    return
            self._put(_End())
        except BaseException as error:
            self._put(_Failure(error))

    def _put(self, item: Item | _Failure | _End) -> bool:
        """Whether the reader is still there."""
        while not self._left.is_set():
            try:
                self._ready.put(item, timeout=_WAIT)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[Item]:
        while True:
            item = self._ready.get()
            if isinstance(item, _End):
                return
            if isinstance(item, _Failure):
                raise item.error
            yield item

    def close(self) -> None:
        """Ends the thread."""
        self._left.set()
        self._thread.join()


@contextmanager
def ahead(items: Iterator[Item], length: int = 2) -> Iterator[Iterator[Item]]:
    """An iterator over the same items, which a thread takes up to `length` before they are needed.

    An error of the items is raised where they are read.
    """
    reader = _Ahead(items, length)
    try:
        yield iter(reader)
    finally:
        reader.close()
