"""Features that were computed once and are kept, bounded in bytes; and a small store of things kept by an id."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

from dinoclip_viz.encoders.base import ImageFeatures

T = TypeVar("T")


class FeatureCache:
    """Features by key, the least recently used dropped first; safe to ask from several threads.

    Args:
        limit: most bytes that the kept tensors occupy together. Features larger than that are computed and not kept.

    Attributes:
        hits, misses: how often features were there, and how often they were computed.
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
        """The features kept under the key; computed first, and by one thread alone, if there are none.

        Args:
            key: what the features depend on: the image's content, the model, size and fit.
            compute: makes them; what it raises is raised here, and nothing is kept.
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
    """Things kept by an id that a browser may hold in their place, the oldest dropped first.

    Args:
        most: how many are kept.

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

    def put(self, thing: T, name: str | None = None) -> str:
        """The id under which it is now kept: the name, or a new one that nobody can guess."""
        chosen = name or secrets.token_urlsafe(12)
        with self._lock:
            self._kept[chosen] = thing
            self._kept.move_to_end(chosen)
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)
        return chosen

    def get(self, name: str | None) -> T | None:
        """The thing, or None where the id is unknown, dropped or None."""
        with self._lock:
            if name is None or name not in self._kept:
                return None
            self._kept.move_to_end(name)
            return self._kept[name]
