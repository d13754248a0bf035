"""Patch tokens with targets in bounded memory, the training data of a head."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

import numpy as np
import torch
from torch import Tensor

IN_MEMORY = 512 * 2**20
"""Bytes of patches in memory; beyond, they are stored in a temporary file."""


class PatchTable:
    """Rows of patch tokens, each with a target and the number of its image.

    Args:
        limit: bytes of patches in memory. Beyond it, all rows are stored in an unnamed temporary file, which is deleted
            with the table; targets (12 bytes per row) stay in memory.

    Attributes:
        width: D, or 0 for an empty table.
    """

    def __init__(self, limit: int = IN_MEMORY) -> None:
        self.limit, self.width = limit, 0
        self._held: list[Tensor] = []
        self._file: IO[bytes] | None = None
        self._targets: list[Tensor] = []
        self._owners: list[Tensor] = []
        self._count, self._sum, self._squares = 0, torch.zeros(0).double(), torch.zeros(0).double()
        self._rows: Tensor | None = None

    def __len__(self) -> int:
        return self._count

    def add(self, rows: Tensor, targets: Tensor, owner: int) -> None:
        """Append rows.

        Args:
            rows: (n, D) patches.
            targets: (n,) target of each.
            owner: number of their image.

        Raises:
            ValueError: D differs from that of the table, or a value is not finite.
        """
        if not self.width:
            self.width = rows.shape[1]
            self._sum, self._squares = (torch.zeros(self.width, dtype=torch.double) for _ in range(2))
        if rows.shape[1] != self.width:
            raise ValueError(f"patches of {rows.shape[1]} values; expected {self.width}, as before: use one encoder")
        exact = rows.double()
        if not bool(exact.isfinite().all()):
            raise ValueError("some patches are not finite; encode them again, on another device or in another dtype")
        self._count += len(rows)
        self._sum += exact.sum(0)
        self._squares += exact.square().sum(0)
        self._targets.append(targets.clone())
        self._owners.append(torch.full((len(rows),), owner, dtype=torch.int32))
        self._rows = None
        self._held.append(rows.float().contiguous())
        if self._file is not None or 4 * self._count * self.width > self.limit:
            self._spill()

    @property
    def targets(self) -> Tensor:
        """(N,) targets of all rows."""
        self._targets = [torch.cat(self._targets)]
        return self._targets[0]

    def moments(self) -> tuple[Tensor, Tensor]:
        """(D,) mean and (D,) standard deviation of the rows, float32."""
        mean = self._sum / self._count
        variance = (self._squares - self._count * mean.square()) / max(self._count - 1, 1)
        return mean.float(), variance.clamp(min=0).sqrt().float()

    def draws(self, batch: int, steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """`steps` random batches with replacement: (batch, D) rows, their targets and their images' numbers."""
        chance = torch.Generator().manual_seed(seed)
        rows, targets = self._all(), self.targets
        self._owners = [torch.cat(self._owners)]
        for _ in range(steps):
            chosen = torch.randint(self._count, (batch,), generator=chance)
            yield rows[chosen], targets[chosen], self._owners[0][chosen].long()

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="dinoclip-patches-")  # noqa: SIM115 (closed with the table)
        for part in self._held:
            self._file.write(part.numpy().tobytes())
        self._held.clear()

    def _all(self) -> Tensor:
        if self._rows is None and self._file is not None:
            self._file.flush()
            # "r+" because torch warns about read-only memory; it is not written to
            mapped = np.memmap(self._file, np.float32, "r+", shape=(self._count, self.width))
            self._rows = torch.from_numpy(mapped)
        elif self._rows is None:
            self._held = [torch.cat(self._held)]
            self._rows = self._held[0]
        return self._rows
