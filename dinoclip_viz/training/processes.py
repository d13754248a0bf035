"""Data-parallel training: each process computes a slice of every batch, and all hold the same weights."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as started by `torchrun`, `accelerate launch` or Ray Train; a single one otherwise.

    The loss is that of the whole batch for any number of processes: each computes its slice of the projected vectors,
    the slices are gathered, and their gradients add up to the gradient of the batch.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def slice(self, rows: int) -> slice:
        """This process's slice of a batch.

        Args:
            rows: size of the batch, a multiple of `count`.
        """
        each = rows // self.count
        return slice(self.rank * each, (self.rank + 1) * each)

    def gather(self, mine: Tensor) -> Tensor:
        """The slices of all processes, concatenated; gradients flow only into this process's own."""
        if self.count == 1:
            return mine
        mine = mine.contiguous()
        parts = [torch.empty_like(mine) for _ in range(self.count)]
        torch.distributed.all_gather(parts, mine.detach())
        parts[self.rank] = mine
        return torch.cat(parts)

    def sum_gradients(self, module: nn.Module) -> None:
        """Add up the gradients of the slices, except those of the loss's parameters, which are complete in each."""
        if self.count == 1:
            return
        for name, weights in module.named_parameters():
            if weights.grad is not None and not name.startswith("whole."):
                torch.distributed.all_reduce(weights.grad)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of all processes' values, without a gradient."""
        if self.count == 1:
            return value.detach()
        total = value.detach().clone()
        torch.distributed.all_reduce(total)
        return total / self.count

    def wait(self) -> None:
        """Block until all processes have arrived."""
        if self.count > 1:
            torch.distributed.barrier()


def join_processes() -> Processes:
    """The processes of this run, connected by gloo on the CPU or nccl on GPUs.

    Raises:
        RuntimeError: the other processes cannot be reached.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():  # by Ray Train
        return Processes(torch.distributed.get_rank(), torch.distributed.get_world_size())
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes()
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Processes(torch.distributed.get_rank(), count)
