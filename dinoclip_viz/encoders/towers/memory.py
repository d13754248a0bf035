"""Batches that fit into the memory of a device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

Output = TypeVar("Output")

log = logging.getLogger(__name__)

_LARGEST = 512  # images per batch, beyond which no device gains
_ON_CPU = 32
_FRACTION = 0.6  # of the free memory that a batch may need
_PROBES = (2, 6)  # images of the two passes that measure the memory per image


@dataclass
class Halving(Generic[Output]):
    """Runs a model on batches that fit into the memory of its device: one that does not is halved, with a warning.

    Attributes:
        name: of the model, for the warning.
        join: concatenates outputs.
        most: images per pass that have been found to fit; None before any has failed.
    """

    name: str
    join: Callable[[Sequence[Output]], Output]
    most: int | None = None

    def __call__(self, run: Callable[[Tensor], Output], inputs: Tensor) -> Output:
        """The output for a batch.

        Args:
            run: the model.
            inputs: (B, ...) the batch.

        Raises:
            RuntimeError: one image alone exceeds the memory; the message states what to do.
        """
        if self.most is not None and len(inputs) > self.most:
            return self.join([self(run, some) for some in inputs.split(self.most)])
        try:
            return run(inputs)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if len(inputs) == 1:
                raise RuntimeError(
                    f"{self.name}: one image of {_shape(inputs)} exceeds the memory of the device; use a smaller "
                    "size, dtype bfloat16 or device cpu"
                ) from error
        # outside of the except block, since the exception keeps the tensors of the failed pass alive
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.most = (len(inputs) + 1) // 2
        log.warning("%s: a batch of %d images exceeds the memory; halved to %d", self.name, len(inputs), self.most)
        return self(run, inputs)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device, or the machine, has too little memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return "DefaultCPUAllocator" in text or "out of memory" in text.lower()


def fitting_batch(run: Callable[[Tensor], object], one: Tensor, device: torch.device) -> int:
    """Images per batch for the memory at hand: a power of two up to 512 on a GPU, 32 or fewer on a CPU.

    On a GPU, two passes measure the memory per image; the batch may need six tenths of what is free.

    Args:
        run: the model.
        one: (1, ...) input of one image.
        device: of the model.
    """
    if device.type != "cuda":
        return _ON_CPU
    peaks = []
    for count in _PROBES:
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run(one.expand(count, *one.shape[1:]).contiguous())
        torch.cuda.synchronize(device)
        peaks.append(torch.cuda.max_memory_allocated(device) - before)
    each = max(1.0, (peaks[1] - peaks[0]) / (_PROBES[1] - _PROBES[0]))
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return largest_power(free * _FRACTION / each)


def largest_power(count: float) -> int:
    """The largest power of two up to a count, from 1 to 512.

    Examples:
        >>> [largest_power(count) for count in (0.3, 5, 64, 1e6)]
        [1, 4, 64, 512]
    """
    power = 1
    while 2 * power <= min(count, _LARGEST):
        power *= 2
    return power


def _shape(inputs: Tensor) -> str:
    height, width = inputs.shape[1:3] if inputs.dtype == torch.uint8 else inputs.shape[2:4]
    return f"{width} x {height} pixels"
