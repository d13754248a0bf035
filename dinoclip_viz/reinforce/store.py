"""Opening a reinforced store: its students, its teachers, and the views that their vectors belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.images import ImageLike, load_image
from dinoclip_viz.reinforce.augment import libraries, pixel_hash, replay
from dinoclip_viz.reinforce.settings import MANIFEST, Manifest, ReinforcedSettings, read_manifest
from dinoclip_viz.reinforce.tables import KIND, ViewRow, read_rows
from dinoclip_viz.store import FeatureStore, Sharded, StoreError
from dinoclip_viz.store.settings import shard_files

VIEWS = "view_emb"
VIEW_MEANS = "view_mean_emb"


@dataclass(frozen=True, eq=False)
class ReinforcedStore:
    """Views, captions and embeddings of a data source.

    Attributes:
        path: its folder.
        manifest: settings, versions and the names of the folders.
        students: stores of encoders to train on; `pooled` and `mean` are those of the unchanged images.
        teachers: stores of image-text models, with all captions in `texts`, real ones first per image.
    """

    path: Path
    manifest: Manifest
    students: tuple[FeatureStore, ...]
    teachers: tuple[FeatureStore, ...]

    @classmethod
    def open(cls, path: str | Path) -> ReinforcedStore:
        """The reinforced store in a folder, or that of one of its encoders' folders.

        Raises:
            StoreError: there is none, or it is unfinished or damaged.
        """
        folder = Path(path).expanduser()
        if not (folder / MANIFEST).is_file() and (folder.parent / MANIFEST).is_file():
            folder = folder.parent
        manifest = read_manifest(folder)
        if not manifest.complete:
            raise StoreError(f"{folder} is not finished; run the same `dinoclip reinforce` again to resume")
        students = tuple(FeatureStore.open(folder / name) for name in manifest.students)
        teachers = tuple(FeatureStore.open(folder / name) for name in manifest.teachers)
        store = cls(folder, manifest, students, teachers)
        counts = {str(each.path): len(each) for each in (*students, *teachers)}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{count} in {name}" for name, count in counts.items())
            raise StoreError(f"{folder} has different numbers of images: {listed}; reinforce the source again")
        return store

    def __len__(self) -> int:
        encoders = (*self.teachers, *self.students)
        return len(encoders[0]) if encoders else 0

    @property
    def settings(self) -> ReinforcedSettings:
        """Settings of views and captions."""
        return self.manifest.settings

    @cached_property
    def rows(self) -> list[ViewRow]:
        """One row per image: captions and parameters of its views."""
        numbers = range(len(shard_files(self.path, KIND, "parquet")))
        return [row for number in numbers for row in read_rows(self.path, number)]

    def views_of(self, store: FeatureStore) -> Sharded:
        """(n * K, D) float16 `pooled` of the views of one encoder, image by image.

        Raises:
            StoreError: they are missing or of another number.
        """
        return self._view_array(store, VIEWS)

    def view_means_of(self, store: FeatureStore) -> Sharded:
        """(n * K, D') float16 `mean` of the views of a student, image by image; errors as in `views_of`."""
        return self._view_array(store, VIEW_MEANS)

    def replay(self, row: int, image: ImageLike) -> list[Image.Image]:
        """The K views of an image, checked against the stored pixels.

        Args:
            row: number of the image.
            image: the image.

        Raises:
            StoreError: the image or its views differ from those of the store.
        """
        return checked_views(load_image(image), self.rows[row], self.manifest)

    def _view_array(self, store: FeatureStore, kind: str) -> Sharded:
        array = Sharded(shard_files(store.path, kind))
        expected = len(store) * self.settings.views
        if len(array) != expected:
            raise StoreError(
                f"{store.path / kind} has {len(array)} rows; expected {expected}, {self.settings.views} per image; "
                "delete the folder and reinforce again"
            )
        return array


def checked_views(image: Image.Image, row: ViewRow, manifest: Manifest) -> list[Image.Image]:
    """The views of a row replayed on its image.

    Raises:
        StoreError: the image has another size than the stored one, or the views have other pixels.
    """
    if row.width and image.size != (row.width, row.height):
        raise StoreError(
            f"image {row.key!r} has {image.width} x {image.height} pixels, in the store {row.width} x {row.height}; "
            "expected the images of the store"
        )
    try:
        views = [replay(image, view, manifest.settings.augmentation.size) for view in row.views]
    except ValueError as error:
        raise StoreError(f"image {row.key!r}: {error}; expected the images of the store") from error
    if row.pixels and pixel_hash(views) != row.pixels:
        raise StoreError(
            f"the views of image {row.key!r} have other pixels than the stored ones, made with "
            f"{_named(manifest.versions)}, now {_named(libraries())}; expected the images and versions of the store"
        )
    return views


def texts_of(teacher: FeatureStore) -> Sharded:
    """(T, D) vectors of the captions by a teacher.

    Raises:
        StoreError: it has none.
    """
    if teacher.texts is None:
        raise StoreError(f"{teacher.path} has no captions; expected those of a teacher: reinforce again")
    return teacher.texts


def caption_counts(rows: Sequence[ViewRow]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(N,) number of real captions and (N,) number of synthetic captions per image."""
    real = np.array([len(row.real) for row in rows], np.int64)
    synthetic = np.array([len(row.synthetic) for row in rows], np.int64)
    return real, synthetic


def _named(versions: object) -> str:
    known = versions if isinstance(versions, dict) else {}
    return ", ".join(f"{name} {known[name]}" for name in ("pillow", "torchvision") if name in known) or "other versions"
