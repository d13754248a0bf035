"""Caches bounded in bytes whose values are computed once for equal requests, and a small store of objects by id."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Any, Generic, TypeVar

from dinoclip_viz.encoders.base import ImageFeatures

T = TypeVar("T")

OVERHEAD, OBJECT = 64, 8192
"""Bytes that a text, a number or a list is counted as in addition to its content, and those of any other object."""


class Cache(Generic[T]):
    """Values by key, the least recently used dropped first; thread-safe.

    Requests for a key whose value is being computed wait for that value, or for its error.

    Args:
        limit: maximum bytes of all kept values. A larger value is returned and not kept.
        size: value -> its bytes.
        most: maximum number of kept values.

    Attributes:
        hits, misses: number of requests that were answered without a computation, and number of computations.

    Examples:
        >>> cache = Cache(limit=10, size=len)
        >>> cache.get("key", lambda: "value"), cache.get("key", lambda: "other"), cache.nbytes
        ('value', 'value', 5)
    """

    def __init__(self, limit: int, size: Callable[[T], int], most: int = 2**20) -> None:
        if limit < 0:
            raise ValueError(f"limit is {limit} bytes; expected 0 or more")
        self.limit, self.most, self.hits, self.misses = limit, most, 0, 0
        self._size = size
        self._kept: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._nbytes = 0
        self._under_way: dict[Hashable, Future[T]] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        """Bytes of the kept values."""
        return self._nbytes

    def get(self, key: Hashable, compute: Callable[[], T], valid: Callable[[T], bool] = lambda value: True) -> T:
        """The value of a key; computed by a single thread where there is none.

        Args:
            key: everything that the value depends on.
            compute: computes it; on an error nothing is kept.
            valid: whether a kept value can still be used; otherwise it is computed again.
        """
        kept = self._kept.get(key)
        usable = kept is not None and valid(kept[0])
        with self._lock:
            found = self._kept.get(key)
            if found is not None and (usable or found is not kept):  # another one: it was computed meanwhile
                self._kept.move_to_end(key)
                self.hits += 1
                return found[0]
            under_way = self._under_way.get(key)
            if under_way is None:
                mine: Future[T] = Future()
                self._under_way[key] = mine
                self.misses += 1
            else:
                self.hits += 1
        if under_way is not None:
            return under_way.result()
        return self._computed(key, compute, mine)

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._kept.clear()
            self._nbytes = 0

    def _computed(self, key: Hashable, compute: Callable[[], T], mine: Future[T]) -> T:
        try:
            value = compute()
        except BaseException as error:
            with self._lock:
                self._under_way.pop(key, None)
            mine.set_exception(error)
            raise
        with self._lock:
            self._keep(key, value)
            self._under_way.pop(key, None)
        mine.set_result(value)
        return value

    def _keep(self, key: Hashable, value: T) -> None:
        _, before = self._kept.pop(key, (None, 0))
        self._nbytes -= before
        size = self._size(value)
        if size > self.limit:
            return
        self._kept[key] = value, size
        self._nbytes += size
        while self._nbytes > self.limit or len(self._kept) > self.most:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._nbytes -= dropped


class FeatureCache(Cache[ImageFeatures]):
    """Features by key: the image's content, the model, size and fit.

    Args:
        limit: maximum bytes of all kept tensors.
        most: maximum number of kept features: those of small models would fill the limit only after hours of use.
    """

    def __init__(self, limit: int = 512 * 2**20, most: int = 96) -> None:
        super().__init__(limit, lambda features: features.nbytes, most)


def size_of(answer: Any) -> int:
    """Approximate bytes of an answer.

    Examples:
        >>> size_of(("four", ["12345678"]))
        268
    """
    if isinstance(answer, str):
        return OVERHEAD + len(answer)
    if not isinstance(answer, dict | list | tuple):
        return OVERHEAD if answer is None or isinstance(answer, int | float) else OBJECT
    parts = answer.values() if isinstance(answer, dict) else answer
    return OVERHEAD + sum(size_of(part) for part in parts)


class Shelf(Generic[T]):
    """Objects by id, the least recently used dropped first. A browser holds ids, not objects.

    Args:
        most: maximum number of objects.

    Examples:
        >>> shelf = Shelf(most=1)
        >>> first, second = shelf.put("a"), shelf.put("b")
        >>> shelf.get(first), shelf.get(second)
        (None, 'b')
    """

    def __init__(self, most: int = 64) -> None:
        self.most = most
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._lock = Lock()

    def put(self, value: T, name: str | None = None) -> str:
        """Keep an object; its id is the name, or a new random one."""
        chosen = name or secrets.token_urlsafe(12)
        with self._lock:
            self._kept[chosen] = value
            self._kept.move_to_end(chosen)
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)
        return chosen

    def names(self) -> list[str]:
        """The ids of all kept objects, the least recently used first."""
        with self._lock:
            return list(self._kept)

    def get(self, name: str | None) -> T | None:
        """The object; None where the id is unknown, dropped or None."""
        with self._lock:
            if name is None or name not in self._kept:
                return None
            self._kept.move_to_end(name)
            return self._kept[name]
