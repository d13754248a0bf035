"""The gallery that Search and Nearest neighbours compare with, and how its images are shown."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import gradio as gr
from PIL import Image

from dinoclip_viz import viz
from dinoclip_viz.app.events import without_folders
from dinoclip_viz.data import PlaygroundSource
from dinoclip_viz.data.reopen import reopen
from dinoclip_viz.encoders.base import ImageEncoder, SpaceError
from dinoclip_viz.encoders.devices import dtype_name
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.pipeline import embed
from dinoclip_viz.store import FeatureStore, check_one_dtype
from dinoclip_viz.store.settings import slug
from dinoclip_viz.tasks.retrieval import search

SCENES, SCENES_SEED = 200, 4000
TILE = 288
"""Longer side of a shown image in pixels."""


class Gallery:
    """A given feature store, or synthetic scenes that are embedded at the first search.

    Args:
        path: of the store; None for synthetic scenes.
        model: the page's first model, which must be able to search the store.

    Raises:
        StoreError: there is no store, it is damaged, or the model made it in another dtype.
        SpaceError: the model cannot search it.
    """

    def __init__(self, path: str | Path | None, model: ImageTextModel) -> None:
        self._given = FeatureStore.open(path) if path is not None else None
        self._stores: dict[str, FeatureStore] = {}
        self._lock = Lock()
        if self._given is not None:
            self._given.check_finite()
            query_encoder(self._given, model)
        else:
            self._folder = tempfile.TemporaryDirectory(prefix="dinoclip-gallery-")

    def store(self, model: ImageTextModel) -> FeatureStore:
        """The given store; else the scenes, embedded by the model's image encoder."""
        if self._given is not None:
            return self._given
        with self._lock:
            known = self._stores.get(model.images.space)
            if known is None:
                folder = Path(self._folder.name) / slug(model.images.space)
                embed(PlaygroundSource(SCENES_SEED, SCENES), model.images, folder)
                known = self._stores[model.images.space] = FeatureStore.open(folder)
        return known

    def __str__(self) -> str:
        if self._given is None:
            return f"{SCENES} synthetic scenes"
        encoder = without_folders(self._given.settings.encoder)
        return f"{len(self._given):,} images of {self._given.path.name}, encoded by {encoder}"


def query_encoder(store: FeatureStore, model: ImageTextModel) -> ImageEncoder | ImageTextModel:
    """The model's image encoder if it made the store, else the model, whose vectors live in the store's space.

    Raises:
        SpaceError: the model has no vectors in the store's space.
        StoreError: the model's image encoder made the store, in another dtype.
    """
    if model.images.patch_space == store.patch_space:
        computed = {str(store.path): store.settings.dtype, model.name: dtype_name(model.images.dtype)}
        check_one_dtype(store.settings.encoder, computed)
    if model.images.space == store.space:
        return model.images
    try:
        search.carried(store, model)
    except SpaceError as error:
        raise SpaceError(
            f"{model.name} cannot search this gallery, which holds features of {store.settings.encoder}; "
            "choose the model that made it, or a projector from its space"
        ) from error
    return model


def tiles(store: FeatureStore, found: Sequence[search.Hit]) -> list[tuple[Image.Image, str]]:
    """Each image with its cosine and caption; a grey tile with the key where the image cannot be opened."""
    return [
        (tile_of(store, hit.key, hit.image_path), f"{hit.score:.3f} · {hit.caption or without_folders(hit.key)}")
        for hit in found
    ]


def tile_of(store: FeatureStore, key: str, image_path: str) -> Image.Image:
    """An image of a store; a grey tile with the key where it cannot be opened."""
    try:
        image = reopen(store.settings.source, key, image_path, levels=store.settings.image_levels)
    except ValueError:  # moved, on another machine, or not downloaded
        return viz.grey_tile(without_folders(key), TILE)
    image.thumbnail((2 * TILE, 2 * TILE), Image.Resampling.LANCZOS)
    return viz.enlarge(image, TILE, smooth=True)


def results_gallery(label: str, columns: int, name: str) -> gr.Gallery:
    """The component that shows the tiles.

    Args:
        label: of the component.
        columns: number of tiles per row.
        name: its id in the page.
    """
    return gr.Gallery(
        label=label,
        columns=columns,
        height="auto",
        object_fit="contain",
        format="png",
        buttons=["download", "fullscreen"],
        interactive=False,
        elem_id=name,
    )
