"""Unlabelled images in any form -> their vectors in a model's space, and their pixels where there are any."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, overload

import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.data import Sample, Source, open_source, reopen
from dinoclip_viz.data.locations import is_address, is_image_name
from dinoclip_viz.encoders.base import ImageFeatures, SpaceError, same_space
from dinoclip_viz.images import ImageError, ImageLike, ImagesLike, is_image, load_image, load_images
from dinoclip_viz.models import ImageTextModel
from dinoclip_viz.pipeline.encoding import Job, encoded, vectors, with_patches
from dinoclip_viz.store import FeatureStore, store_folders
from dinoclip_viz.tasks.retrieval.vectors import block

Images: TypeAlias = "ImagesLike | Source | FeatureStore | ImageFeatures | Unlabelled"
"""Images, a data source or its name, a feature store or its folder, or features."""

Progress: TypeAlias = Callable[[float, str], None]
"""Receives the completed fraction, 0 to 1, and one line."""

_ROWS = 4096

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """N images without labels.

    Attributes:
        name: of their source, "" for images in memory.
        keys: N identifiers within the source.
        vectors: (N, D) raw vectors in the model's space.
        space: the model's space.
        pixels: the N images, decoded on access; None for features alone.
        failed: key and reason of each image that could not be read.
        reopen: row -> image to show, for features whose source is known; None where it is not.
    """

    name: str
    keys: tuple[str, ...]
    vectors: Tensor = field(repr=False)
    space: str
    pixels: Sequence[ImageLike] | None = field(default=None, repr=False)
    failed: tuple[tuple[str, str], ...] = ()
    reopen: Callable[[int], Image.Image] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.vectors)

    def image(self, row: int) -> Image.Image:
        """The RGB image of a row.

        Raises:
            ImageError: it is not available.
        """
        if self.pixels is not None:
            return load_image(self.pixels[row])
        if self.reopen is None:
            raise ImageError(f"{self.keys[row]}: found features alone; expected images")
        return self.reopen(row)


class Decoded(Sequence[Image.Image]):
    """The images of samples, each decoded when it is accessed.

    Args:
        samples: readable ones; their labels and captions are not read.
    """

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, row: int) -> Image.Image: ...
    @overload
    def __getitem__(self, row: slice) -> Decoded: ...
    def __getitem__(self, row: int | slice) -> Image.Image | Decoded:
        return Decoded(self._samples[row]) if isinstance(row, slice) else self._samples[row].load()


def gather(model: ImageTextModel, images: Images, progress: Progress | None = None) -> Unlabelled:
    """The vectors of unlabelled images in a model's space; labels and captions are not read.

    Args:
        model: image-text model.
        images: one image or several; a source, or its name as in `open_source`; a feature store, or its folder;
            features of `model.encode_images`; or an earlier result, which is returned.
        progress: receives the completed fraction and one line.

    Raises:
        ImageError, SourceError, StoreError: something cannot be read, or there is no image.
        SpaceError: features of another model.
    """
    if isinstance(images, Unlabelled):
        same_space(images.space, model.space)
        return images
    if isinstance(images, ImageFeatures):
        same_space(images.space, model.space)
        return Unlabelled("", _numbers(len(images)), images.pooled, model.space)
    if isinstance(images, FeatureStore):
        return _of_store(model, images)
    if isinstance(images, (str, os.PathLike)) and not _is_one_image(images):
        folder = Path(images).expanduser()
        if store_folders(folder):
            return _of_store(model, FeatureStore.open(folder, _held(folder, model)))
        images = open_source(images)
    if isinstance(images, Source):
        return _of_samples(model, images.samples(), images.name, images.count, progress)
    listed = load_images(images) if is_image(images) else list(_iterable(images))
    if not listed:
        load_images([])  # raises
    samples = [Sample(f"images[{number}]", image) for number, image in enumerate(listed)]
    found = _of_samples(model, samples, "", len(samples), progress)
    if found.failed:
        raise ImageError(": ".join(found.failed[0]))
    return found


def _iterable(images: object) -> Iterable[ImageLike]:
    if not isinstance(images, Iterable):
        load_images(images)  # type: ignore[arg-type]  # raises
        return []
    return images


def _is_one_image(name: str | os.PathLike[str]) -> bool:
    text = os.fspath(name)
    return is_address(text) or (is_image_name(text) and not Path(text).expanduser().is_dir())


def _held(folder: Path, model: ImageTextModel) -> str | None:
    """The encoder of a folder of several stores whose features the model reads; None for a single store."""
    return model.images.space if len(store_folders(folder)) > 1 else None


def _of_store(model: ImageTextModel, store: FeatureStore) -> Unlabelled:
    if store.space != model.images.space:
        raise _another_space(store, model)
    store.check_finite()
    parts = []
    for start in range(0, len(store), _ROWS):
        stop = min(start + _ROWS, len(store))
        pooled = block(store.pooled, start, stop)
        mean = pooled if store.mean is None else block(store.mean, start, stop)
        grids = store.patches if model.reads_patches else None
        patches = None if grids is None else block(grids, start, stop)
        parts.append(model.pooled_in_space(pooled, mean, patches))
    table = store.metadata
    columns = {name: table[name].to_pylist() for name in ("key", "image_path") if name in table.column_names}
    paths = columns.get("image_path", [""] * len(store))
    keys = tuple(str(key) for key in columns.get("key", _numbers(len(store))))

    def reopened(row: int) -> Image.Image:
        return reopen(store.settings.source, keys[row], str(paths[row] or ""), levels=store.settings.image_levels)

    return Unlabelled(str(store.path), keys, torch.cat(parts), model.space, reopen=reopened)


def _of_samples(
    model: ImageTextModel,
    samples: Iterable[Sample],
    name: str,
    count: int | None,
    progress: Progress | None,
) -> Unlabelled:
    kept: list[Sample] = []
    parts: list[Tensor] = []
    failed: list[tuple[str, str]] = []
    job = Job(model.images, with_patches if model.reads_patches else vectors)
    for part in encoded(samples, [job]):
        kept += part.batch.samples
        failed += [(sample.path or sample.key, reason) for _, sample, reason in part.batch.failed]
        if part.kept:
            parts.append(model.pooled_in_space(**part.kept[0]))
        if progress is not None:
            done = len(kept) + len(failed)
            progress(done / count if count else 0.0, f"features of {done} images")
    if failed:
        log.warning("%s images cannot be read, such as %s", len(failed), failed[0][1])
    if not kept:
        raise ImageError(failed[0][1] if failed else f"{name or 'the source'} has no images; expected at least one")
    keys = tuple(sample.path or sample.key for sample in kept)
    return Unlabelled(name, keys, torch.cat(parts), model.space, Decoded(kept), tuple(failed))


def _another_space(store: FeatureStore, model: ImageTextModel) -> SpaceError:
    return SpaceError(
        f"{store.path} holds features of {store.space!r}; expected those of {model.images.space!r}, the image encoder "
        f"of {model.name}: embed the images with --encoder {model.images.name}"
    )


def _numbers(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))
