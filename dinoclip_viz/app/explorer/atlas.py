"""What the explorer knows about stores: positions, clusters, similarities and thumbnails, each computed once."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.app.cache import Cache, Shelf
from dinoclip_viz.app.events import without_folders
from dinoclip_viz.app.retrieval.gallery import Gallery, query_encoder, tile_of
from dinoclip_viz.app.workbench import Workbench
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.store import FeatureStore
from dinoclip_viz.tasks.embedding_map import cluster_rows, project, similarities
from dinoclip_viz.tasks.embedding_map.projection import Method
from dinoclip_viz.tasks.retrieval import search

THUMBNAIL, QUALITY = 128, 80
"""Longer side in pixels and JPEG quality of the image that is shown next to a point."""
ARRAYS, CARDS = 2**28, 2**25
"""Bytes of kept arrays and of kept thumbnails."""

Card = dict[str, str | int]


class Atlas:
    """The stores that the explorer has shown, and what was computed about them.

    A page names a store by a token, so that it holds no path of the server.

    Args:
        bench: the workbench.
        gallery: the images to explore.
    """

    def __init__(self, bench: Workbench, gallery: Gallery) -> None:
        self._bench, self._gallery = bench, gallery
        self._arrays: Cache[NDArray[Any]] = Cache(ARRAYS, lambda array: array.nbytes)
        self._cards: Cache[Card] = Cache(CARDS, lambda card: len(str(card["src"])) + 256)
        self._stores: Shelf[FeatureStore] = Shelf(64)

    def __str__(self) -> str:
        return str(self._gallery)

    def store(self, key: str) -> FeatureStore:
        """The store that is explored with a model.

        Args:
            key: of the model.
        """
        return self._gallery.store(self._bench.model(key))

    def token(self, store: FeatureStore) -> str:
        """The name of a store on the page."""
        made = hashlib.sha256(str(store.path).encode()).hexdigest()[:16]
        self._stores.put(store, made)
        return made

    def points(self, store: FeatureStore, method: Method) -> NDArray[np.float32]:
        """(N, 2) positions on the map, as by `project`."""
        return self._arrays.get((str(store.path), method), lambda: project(store.pooled, method))

    def clusters(self, store: FeatureStore, count: int) -> NDArray[np.int64]:
        """(N,) cluster of each image, as by `cluster_rows`."""
        most = min(count, len(store))
        return self._arrays.get((str(store.path), "clusters", most), lambda: cluster_rows(store.pooled, most))

    def similarity(self, store: FeatureStore, key: str, text: str) -> NDArray[np.float32]:
        """(N,) cosine of each image with a text.

        Raises:
            ValueError: the text is empty, or the model cannot search the store.
        """
        model: ImageTextModel = self._bench.model(key)
        query_encoder(store, model)
        query, vectors = search.text_queries(store, text, model)
        return similarities(query[0], vectors)

    def shown(self, token: object) -> FeatureStore:
        """The store of a token.

        Raises:
            ValueError: the token is none of this page, or too many other stores were shown since.
        """
        store = self._stores.get(token) if isinstance(token, str) else None
        if store is None:
            raise ValueError("the map is no longer known; draw it again")
        return store

    def card(self, asked: object) -> Card:
        """Store, row, thumbnail and caption of a point that the page asks for.

        Args:
            asked: {"store": token, "row": number}.

        Raises:
            ValueError: it is no point of a map of this page.
        """
        token, row = (asked.get("store"), asked.get("row")) if isinstance(asked, dict) else (None, None)
        store = self.shown(token)
        if not isinstance(row, int) or not 0 <= row < len(store):
            raise ValueError(f"found row {row!r:.50}; expected 0 to {len(store) - 1}")
        return self._cards.get((token, row), lambda: {"store": str(token), "row": row, **self._made(store, row)})

    def _made(self, store: FeatureStore, row: int) -> dict[str, str]:
        ((key, path, _),) = search.described(store, [row])
        image = tile_of(store, key, path).convert("RGB")
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=QUALITY)
        src = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
        return {"src": src, "title": captions(store, [row])[0]}


def captions(store: FeatureStore, rows: Sequence[int]) -> list[str]:
    """Label and caption of each row; the key where there is neither."""
    table = store.metadata
    labels = table["label"] if "label" in table.column_names else None
    made = []
    for row, (key, _, caption) in zip(rows, search.described(store, rows), strict=True):
        label = labels[int(row)].as_py() if labels is not None else None
        made.append(" · ".join(str(part) for part in (label, caption) if part) or without_folders(key))
    return made
