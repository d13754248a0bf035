"""A cache of features, bounded in bytes, and a small store of objects by id."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

from dinoclip_viz.encoders.base import ImageFeatures

T = TypeVar("T")


class FeatureCache:
    """Features by key, the least recently used dropped first; thread-safe.

    Args:
        limit: maximum bytes of all kept tensors. Larger features are computed and not kept.

    Attributes:
        hits, misses: number of requests for kept features, and number of computations.
    """

    def __init__(self, limit: int = 512 * 2**20) -> None:
        if limit < 0:
            raise ValueError(f"limit is {limit} bytes; expected 0 or more")
        self.limit, self.hits, self.misses = limit, 0, 0
        self._kept: OrderedDict[Hashable, ImageFeatures] = OrderedDict()
        self._under_way: dict[Hashable, Lock] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        """Bytes that the kept tensors occupy."""
        with self._lock:
            return sum(features.nbytes for features in self._kept.values())

    def get(self, key: Hashable, compute: Callable[[], ImageFeatures]) -> ImageFeatures:
        """The features of a key; computed by a single thread where there are none.

        Args:
            key: everything that the features depend on: the image's content, the model, size and fit.
            compute: computes them; on an error nothing is kept.
        """
        kept = self._look(key)
        if kept is not None:
            return kept
        with self._lock:
            mine = self._under_way.setdefault(key, Lock())
        with mine:
            kept = self._look(key)
            if kept is not None:
                return kept
            try:
                features = compute()
                self._keep(key, features)
            finally:
                with self._lock:
                    self._under_way.pop(key, None)
        return features

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._kept.clear()

    def _look(self, key: Hashable) -> ImageFeatures | None:
        with self._lock:
            features = self._kept.get(key)
            if features is not None:
                self._kept.move_to_end(key)
                self.hits += 1
            return features

    def _keep(self, key: Hashable, features: ImageFeatures) -> None:
        with self._lock:
            self.misses += 1
            if features.nbytes > self.limit:
                return
            self._kept[key] = features
            while sum(each.nbytes for each in self._kept.values()) > self.limit:
                self._kept.popitem(last=False)


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

    def get(self, name: str | None) -> T | None:
        """The object; None where the id is unknown, dropped or None."""
        with self._lock:
            if name is None or name not in self._kept:
                return None
            self._kept.move_to_end(name)
            return self._kept[name]
