"""Vectors in memory or on disk, read block by block as float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.store import Sharded

Vectors = Tensor | NDArray[np.generic] | Sharded
"""(N, D) vectors of any floating type: a tensor, an array, or the rows of a store."""

Indices = Sequence[int] | Tensor | NDArray[np.integer]
"""(T,) a whole number for each text."""

_ROWS = 4096


def block(vectors: Vectors, start: int, stop: int, order: NDArray[np.int64] | None = None) -> Tensor:
    """(stop - start, D) float32, the rows from `start` to `stop`.

    Args:
        vectors: (N, D).
        start, stop: 0 <= start <= stop <= N.
        order: (N,) takes the rows in this order in place of their own.
    """
    rows: slice | NDArray[np.int64] = slice(start, stop) if order is None else order[start:stop]
    if not isinstance(rows, slice) and len(rows) and rows[-1] - rows[0] + 1 == len(rows) and (np.diff(rows) == 1).all():
        rows = slice(int(rows[0]), int(rows[-1]) + 1)
    if isinstance(vectors, Tensor):
        return vectors[rows if isinstance(rows, slice) else torch.from_numpy(rows)].float()
    return torch.from_numpy(np.array(vectors[rows])).float()  # a copy: what is on disk cannot be written to


def indices(numbers: Indices) -> NDArray[np.int64]:
    """(T,) int64, a copy."""
    return np.array(numbers.cpu() if isinstance(numbers, Tensor) else numbers, dtype=np.int64)


def lengths(vectors: Vectors, name: str) -> Tensor:
    """(N,) float32 Euclidean length of each vector.

    Args:
        vectors: (N, D).
        name: what to call them in an error.

    Raises:
        ValueError: some are NaN or infinite; the message counts them and names the first.

    Examples:
        >>> lengths(torch.tensor([[3.0, 4.0]]), "vectors")
        tensor([5.])
    """
    found = []
    for start in range(0, len(vectors), _ROWS):
        part = block(vectors, start, min(start + _ROWS, len(vectors)))
        found.append(torch.linalg.vector_norm(part, dim=1))
    length = torch.cat(found) if found else torch.empty(0)
    bad = torch.nonzero(~length.isfinite())[:, 0].tolist()
    if bad:
        raise ValueError(
            f"{len(bad)} of {len(length)} rows of {name} are NaN or infinite, row {bad[0]} first; "
            "encode them again, on another device or in another dtype"
        )
    return length
