"""Vectors in any form: tensors, arrays, nested lists or rows on disk, checked once and read in blocks of float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.store import Sharded

Vectors: TypeAlias = Tensor | NDArray[np.generic] | Sharded
"""(N, D) vectors of any numeric type: a tensor, an array, or the rows of a store."""

Numbers: TypeAlias = Tensor | NDArray[np.generic] | Sequence[float] | Sequence[Tensor] | Sequence[NDArray[np.generic]]
"""Numbers in memory along one axis or more: a tensor, an array or a list."""

VectorsLike: TypeAlias = Vectors | Sequence[Sequence[float]] | Sequence[Tensor] | Sequence[NDArray[np.generic]]
"""(N, D) vectors that `as_vectors` accepts: `Vectors`, or a nested list."""

Indices: TypeAlias = Sequence[int] | Tensor | NDArray[np.integer]
"""(T,) one integer per text."""

_ROWS = 4096


class Rows(Protocol):
    """(N, D) raw vectors that are read by slices of rows: a tensor, an array, a memory map, or `Carried`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """N and D."""
        ...

    def __getitem__(self, rows: slice, /) -> Tensor | NDArray[np.generic]:
        """A slice of rows."""
        ...


@overload
def as_vectors(vectors: VectorsLike, name: str) -> Vectors: ...
@overload
def as_vectors(vectors: VectorsLike | Rows, name: str) -> Rows: ...
def as_vectors(vectors: VectorsLike | Rows, name: str) -> Rows:
    """(N, D) vectors as a tensor, an array or rows on disk; nested lists are converted, everything else is passed on.

    Args:
        vectors: (N, D) numbers.
        name: of the argument, for the error.

    Raises:
        ValueError: rows of different lengths, values that are not numbers, or not two axes; the message gives the name.

    Examples:
        >>> as_vectors([[3.0, 4.0]], "queries").shape
        (1, 2)
        >>> as_vectors([[3.0, 4.0], [1.0]], "queries")
        Traceback (most recent call last):
        ...
        ValueError: queries has rows of different lengths; expected (N, D) numbers: give each row D values
    """
    lazy = hasattr(vectors, "shape") and not hasattr(vectors, "__array__")  # rows on disk
    found: Rows = vectors if lazy else _numeric(vectors, name, "(N, D)")  # type: ignore[assignment]
    if len(found.shape) != 2:
        raise ValueError(f"{name} has shape {tuple(found.shape)}; expected (N, D), one row per item")
    return found


def as_tensor(values: Numbers | VectorsLike, name: str, expected: str = "(N, D)") -> Tensor:
    """Numbers as a tensor of their own type.

    Args:
        values: numbers in memory, of any number of axes.
        name: of the argument, for the error.
        expected: the shape that the error names.

    Raises:
        ValueError: rows of different lengths, or values that are not numbers; the message gives the name.

    Examples:
        >>> as_tensor([[1, 2], [3, 4]], "points")
        tensor([[1, 2],
                [3, 4]])
    """
    found = _numeric(values, name, expected)
    return found if isinstance(found, Tensor) else torch.from_numpy(np.array(found))


def block(vectors: Vectors, start: int, stop: int, order: NDArray[np.int64] | None = None) -> Tensor:
    """(stop - start, D) float32 rows from `start` to `stop`.

    Args:
        vectors: (N, D).
        start, stop: 0 <= start <= stop <= N.
        order: (N,) row numbers that replace the stored order.
    """
    rows: slice | NDArray[np.int64] = slice(start, stop) if order is None else order[start:stop]
    if not isinstance(rows, slice) and len(rows) and rows[-1] - rows[0] + 1 == len(rows) and (np.diff(rows) == 1).all():
        rows = slice(int(rows[0]), int(rows[-1]) + 1)
    if isinstance(vectors, Tensor):
        return vectors[rows if isinstance(rows, slice) else torch.from_numpy(rows)].float()
    return torch.from_numpy(np.array(vectors[rows])).float()  # a copy: memory maps are read-only


def indices(numbers: Indices, name: str = "text_to_image") -> NDArray[np.int64]:
    """(T,) int64, a copy.

    Args:
        numbers: (T,) integers.
        name: of the argument, for the error.

    Raises:
        ValueError: not one axis of integers; the message gives the name.

    Examples:
        >>> indices([0, 2]).tolist()
        [0, 2]
    """
    found = as_tensor(numbers, name, "(T,)")
    if found.ndim != 1 or (found.is_floating_point() and len(found)):
        kind = str(found.dtype).removeprefix("torch.")
        raise ValueError(f"{name} has shape {tuple(found.shape)} and type {kind}; expected (T,) integers")
    return np.array(found.cpu(), dtype=np.int64)


def lengths(vectors: Vectors, name: str) -> Tensor:
    """(N,) float32 Euclidean length of each vector.

    Args:
        vectors: (N, D).
        name: of the argument, for the error.

    Raises:
        ValueError: some values are NaN or infinite; the message gives the number of rows and the first.

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


def _numeric(values: object, name: str, expected: str) -> Tensor | NDArray[np.generic]:
    """The values as a tensor or an array of numbers."""
    if isinstance(values, Tensor):
        found: Tensor | NDArray[np.generic] = values
    else:
        try:
            tensors = (
                isinstance(values, Sequence) and len(values) > 0 and all(isinstance(row, Tensor) for row in values)
            )
            found = torch.stack(list(values)) if tensors else np.asarray(values)  # type: ignore[call-overload]
        except (ValueError, RuntimeError, TypeError) as error:
            raise ValueError(
                f"{name} has rows of different lengths; expected {expected} numbers: give each row D values"
            ) from error
    if found.is_complex() if isinstance(found, Tensor) else found.dtype.kind not in "fiub":
        kind = str(found.dtype).removeprefix("torch.")
        raise ValueError(f"{name} has values of type {kind}; expected {expected} numbers")
    return found
