"""The rows of several files as one array."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.store.settings import StoreError


class Sharded:
    """The rows of several `.npy` files as one array, read on access.

    It is indexed along its first axis by an integer, a slice or an array of integers, as in numpy. `numpy.asarray`
    reads it into memory.

    Args:
        files: the shards in order, with equal shapes except for the first axis.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._maps: list[NDArray[np.generic]] = []
        for file in files:
            try:
                self._maps.append(np.load(file, mmap_mode="r", allow_pickle=False))
            except (OSError, ValueError, EOFError) as error:
                raise StoreError(f"{file} cannot be read ({error}); the store is damaged: embed it again") from error
        self._starts = np.concatenate([[0], np.cumsum([len(part) for part in self._maps])]).astype(np.int64)
        shapes = {part.shape[1:] for part in self._maps if len(part)}
        if len(shapes) > 1:
            raise StoreError(f"{files[0].parent} has shards of different shapes, {sorted(shapes)}; embed it again")
        tail = next(iter(shapes)) if shapes else (self._maps[0].shape[1:] if self._maps else ())
        self.shape: tuple[int, ...] = (int(self._starts[-1]), *tail)
        self.dtype = self._maps[0].dtype if self._maps else np.dtype(np.float16)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """The size of all rows in bytes."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: int | slice | NDArray[np.integer] | Sequence[int]) -> NDArray[np.generic]:
        if isinstance(rows, int | np.integer):
            if not -len(self) <= rows < len(self):
                raise IndexError(f"row {rows} of {len(self)}")
            row = int(rows) % len(self)
            shard = bisect_right(self._starts, row) - 1
            one: NDArray[np.generic] = self._maps[shard][row - self._starts[shard]]
            return one
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return self._run(start, stop)
            rows = np.arange(start, stop, step)
        return self._gather(np.asarray(rows))

    def __array__(self, dtype: np.dtype[np.generic] | None = None, copy: bool | None = None) -> NDArray[np.generic]:
        whole = self._run(0, len(self))
        return whole if dtype is None else whole.astype(dtype)

    def __iter__(self) -> Iterator[NDArray[np.generic]]:
        for part in self._maps:
            yield from part

    def chunks(self, rows: int) -> Iterator[NDArray[np.generic]]:
        """All rows, in parts of at most `rows` rows."""
        for start in range(0, len(self), rows):
            yield self._run(start, min(start + rows, len(self)))

    def _run(self, start: int, stop: int) -> NDArray[np.generic]:
        parts = [
            part[max(start - begin, 0) : stop - begin]
            for part, begin in zip(self._maps, self._starts[:-1].tolist(), strict=True)
            if begin < stop and begin + len(part) > start
        ]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty((0, *self.shape[1:]), self.dtype)

    def _gather(self, rows: NDArray[np.generic]) -> NDArray[np.generic]:
        if rows.dtype == np.bool_:
            if rows.shape != (len(self),):
                raise IndexError(f"a mask of shape {rows.shape} for {len(self)} rows")
            rows = np.flatnonzero(rows)
        numbers = rows.astype(np.int64).ravel()
        numbers = np.where(numbers < 0, numbers + len(self), numbers)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"rows {numbers.min()} to {numbers.max()} of {len(self)}")
        out = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
        edges = np.searchsorted(ordered, self._starts)
        for shard in np.flatnonzero(np.diff(edges)).tolist():  # one pass per shard that is read, not per row
            here = slice(edges[shard], edges[shard + 1])
            out[order[here]] = self._maps[shard][ordered[here] - self._starts[shard]]
        return out.reshape(*rows.shape, *self.shape[1:])


class Ragged:
    """The token vectors of T captions, one caption after the other, read on access.

    Args:
        values: (N, D) vectors of all tokens.
        counts: (T,) number of tokens of each caption; their sum is N.

    Attributes:
        values: as given.
        offsets: (T + 1,) first row of each caption in `values`, and N.
    """

    def __init__(self, values: Sharded, counts: Sharded) -> None:
        self.values = values
        self.offsets: NDArray[np.int64] = np.concatenate([[0], np.cumsum(np.asarray(counts, np.int64))])
        if self.offsets[-1] != len(values):
            raise StoreError(
                f"found {len(values)} token vectors for {self.offsets[-1]} tokens; the store is damaged: embed it again"
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def read(self, captions: NDArray[np.integer]) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
        """(n, D) token vectors of some captions, one caption after the other, and (len(captions),) their numbers."""
        rows, counts = ragged_rows(self.offsets, captions)
        return self.values[rows], counts


def ragged_rows(offsets: NDArray[np.int64], items: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n,) rows of some items that have any number of rows each, one item after the other, and the number of each.

    Args:
        offsets: (T + 1,) first row of each of T items, and the number of rows.
        items: numbers of the items, in any order.

    Examples:
        >>> rows, counts = ragged_rows(np.array([0, 2, 5]), np.array([1, 0, 1]))
        >>> rows.tolist(), counts.tolist()
        ([2, 3, 4, 0, 1, 2, 3, 4], [3, 2, 3])
    """
    counts = np.diff(offsets)[items]
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(offsets[items] - (ends - counts), counts), counts
