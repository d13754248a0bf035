"""A data source through frozen encoders into stores: several encoders in one pass, resumable shard by shard."""

from __future__ import annotations

import logging
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dinoclip_viz.data import Source, SourceError, open_source
from dinoclip_viz.data.decoding import Decoded, decoded
from dinoclip_viz.encoders import load_encoder, load_text_encoder
from dinoclip_viz.encoders.base import ImageEncoder, TextEncoder
from dinoclip_viz.store import StoreError, StoreSettings
from dinoclip_viz.store.settings import read_settings, shard_files, slug
from dinoclip_viz.store.writing import FailedRow, ImageRow, Shard, finish, first_missing, prepare, write_shard

log = logging.getLogger(__name__)

Patches = str | int | None
"""None keeps no patches, "full" all of them, a number R averages them to R x R."""

Watch = Callable[[int, int | None], None]
"""Called with the number of samples done and their whole number, None where that is unknown."""

DENSE = "maskclip"
"""The heat-map method whose patches a CLIP's store keeps beside its own: they live in the space of its texts."""

_ROWS = 2048
_PATCH_BYTES = 64 << 20
_LIBRARIES = ("torch", "torchvision", "transformers", "open_clip_torch", "numpy", "pillow")


@dataclass(frozen=True)
class EmbedReport:
    """What a run of `embed` left.

    Attributes:
        stores: a folder an encoder.
        images: images in each store; captions: captions in each.
        failed: key and reason of each image that could not be read.
        encoded: images that this run encoded; the others were there before.
        seconds: how long this run took.
    """

    stores: tuple[Path, ...]
    images: int
    captions: int
    failed: tuple[tuple[str, str], ...]
    encoded: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        """Images encoded a second, by all of the encoders."""
        return self.encoded / self.seconds if self.seconds > 0 else 0.0


def embed(
    source: Source | str | Path,
    encoders: str | ImageEncoder | Sequence[str | ImageEncoder],
    store: str | Path,
    texts: str | TextEncoder | None = None,
    size: int | None = None,
    patches: Patches = None,
    batch_size: int = 32,
    workers: int = 0,
    shard_size: int | None = None,
    watch: Watch | None = None,
) -> EmbedReport:
    """Encode a data source into stores; a run that was stopped goes on where it was, with the same result.

    Args:
        source: where images and captions come from, or what `open_source` opens.
        encoders: names or encoders. One writes its store into `store` itself, several a folder each in it.
        store: the folder.
        texts: the model whose text tower encodes the captions; without it they stay words in the metadata.
        size: side of the square crop in pixels, by default each encoder's published one.
        patches: None, "full" or a number R for R x R averaged patches.
        batch_size: images that go through an encoder at once.
        workers: processes that decode; 0 decodes in threads of this process. In a script, more than 0 needs the
            usual `if __name__ == "__main__":`.
        shard_size: samples a shard, the unit of resumption; by default 2048, fewer where patches are large.
        watch: is told how far it is.

    Raises:
        StoreError: the folder holds a store of something else, features are not finite, or the disk is too small.
        SourceError: the source cannot be read, or is empty.
        EncoderError: an encoder cannot be loaded.
        ValueError: no encoder, or an argument out of its range.
    """
    begun = time.monotonic()
    source = open_source(str(source)) if isinstance(source, str | Path) else source
    names = list(encoders) if isinstance(encoders, Sequence) and not isinstance(encoders, str) else [encoders]
    if not names:
        raise ValueError("no encoder was given; expected at least one, such as playground-dino")
    loaded = [load_encoder(name) if isinstance(name, str) else name for name in names]
    tower = load_text_encoder(texts) if isinstance(texts, str) else texts
    rows = _shard_size(loaded, size, patches) if shard_size is None else shard_size
    plan = [_settings(encoder, source, tower, size, patches, rows) for encoder in loaded]
    folders = _folders(Path(store).expanduser(), plan)
    _check_disk(loaded, size, patches, source.count, folders[0])
    finished = [prepare(folder, settings) for folder, settings in zip(folders, plan, strict=True)]
    encoded = 0
    if not all(finished):
        for number, shard, seconds in _shards(
            source, loaded, tower, first_missing(folders), rows, (size, patches, batch_size, workers), watch
        ):
            write_shard(folders, number, shard, seconds)
            encoded += len(shard.rows)
        if not first_missing(folders):
            raise SourceError(f"{source.name} has no samples; expected at least one image")
        for folder, settings in zip(folders, plan, strict=True):
            finish(folder, settings)
    return _report(folders, encoded, time.monotonic() - begun)


def embed_shard(
    images: Iterable[Decoded],
    encoders: Sequence[ImageEncoder],
    texts: TextEncoder | None,
    size: int | None = None,
    patches: Patches = None,
    batch_size: int = 32,
) -> Shard:
    """The features of some images; the same for the same images, wherever and whenever it runs.

    Args:
        images: samples with their images, or with the reason why there is none.
        encoders, texts, size, patches, batch_size: as in `embed`.

    Raises:
        StoreError: an encoder gives vectors that are not finite in float16.
    """
    rows: list[ImageRow] = []
    failed: list[FailedRow] = []
    parts = [{kind: [nothing] for kind, nothing in _nothing(one, size, patches).items()} for one in encoders]
    waiting: list[Image.Image] = []

    def encode() -> None:
        keys = [row.key for row in rows[len(rows) - len(waiting) :]]
        for encoder, part in zip(encoders, parts, strict=True):
            for kind, values in _features(encoder, waiting, size, patches, batch_size).items():
                part[kind].append(_half(values, encoder.name, keys))
        waiting.clear()

    for sample, image in images:
        if isinstance(image, str):
            failed.append(FailedRow(sample.key, sample.path, image))
            continue
        said = tuple(text for text in sample.captions if text.strip())
        rows.append(ImageRow(sample.key, sample.path, said, sample.label, *image.size))
        waiting.append(image)
        if len(waiting) == batch_size:
            encode()
    if waiting:
        encode()
    captions = [text for row in rows for text in row.captions]
    owners = np.repeat(np.arange(len(rows)), [len(row.captions) for row in rows]).astype(np.int64)
    arrays = [{kind: np.concatenate(values) for kind, values in part.items()} for part in parts]
    return Shard(rows, failed, arrays, _encode_captions(captions, texts) if texts is not None else None, owners)


def patch_bytes(encoder: ImageEncoder, size: int | None, patches: Patches) -> int:
    """Bytes on disk of one image's patches, and of those by MaskCLIP's path where the encoder is a CLIP.

    Raises:
        ValueError: `patches` is no grid of this encoder.
    """
    rows, columns = _grid(encoder, size, patches)
    return 2 * rows * columns * (encoder.patch_dimension + encoder.dimension * (DENSE in encoder.methods))


def _shards(
    source: Source,
    encoders: Sequence[ImageEncoder],
    texts: TextEncoder | None,
    first: int,
    rows: int,
    how: tuple[int | None, Patches, int, int],
    watch: Watch | None,
) -> Iterator[tuple[int, Shard, float]]:
    """Number, features and seconds of the shards from number `first` on."""
    size, patches, batch_size, workers = how
    with decoded(source.samples(first * rows), workers, 2 * batch_size) as images:
        counted = _counted(images, first * rows, source.count, watch)
        number = first
        while True:
            begun = time.monotonic()
            shard = embed_shard(islice(counted, rows), encoders, texts, size, patches, batch_size)
            if not shard.rows and not shard.failed:
                return
            yield number, shard, time.monotonic() - begun
            number += 1


def _counted(images: Iterator[Decoded], done: int, count: int | None, watch: Watch | None) -> Iterator[Decoded]:
    if watch:
        watch(done, count)
    for number, one in enumerate(images, start=done + 1):
        yield one
        if watch:
            watch(number, count)


def _features(
    encoder: ImageEncoder, images: Sequence[Image.Image], size: int | None, patches: Patches, batch_size: int
) -> dict[str, Tensor]:
    dense = [DENSE] if patches is not None and DENSE in encoder.methods else []
    features = encoder.encode(images, size, "crop", dense, batch_size)
    values = {"img_emb": features.pooled, "mean_emb": features.mean}
    if patches is not None:
        grid = _grid(encoder, size, patches)
        values["patch_emb"] = _smaller(features.patches, grid)
        if dense:
            values["dense_emb"] = _smaller(features.dense[DENSE], grid)
    return values


def _smaller(patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, R, C, D) the patches averaged to a grid."""
    if patches.shape[1:3] == grid:
        return patches
    return F.adaptive_avg_pool2d(patches.permute(0, 3, 1, 2), grid).permute(0, 2, 3, 1)


def _half(values: Tensor, name: str, keys: Sequence[str]) -> NDArray[np.float16]:
    half = values.half()
    finite = torch.isfinite(half).flatten(1).all(dim=1)
    if not finite.all():
        first = keys[int((~finite).nonzero()[0])]
        raise StoreError(
            f"{name} gives vectors that are NaN or beyond float16's range, for {first!r} first; "
            "try another device or dtype"
        )
    array: NDArray[np.float16] = half.numpy()
    return array


def _nothing(encoder: ImageEncoder, size: int | None, patches: Patches) -> dict[str, NDArray[np.float16]]:
    shapes: dict[str, tuple[int, ...]] = {"img_emb": (encoder.dimension,), "mean_emb": (encoder.patch_dimension,)}
    if patches is not None:
        grid = _grid(encoder, size, patches)
        shapes["patch_emb"] = (*grid, encoder.patch_dimension)
        if DENSE in encoder.methods:
            shapes["dense_emb"] = (*grid, encoder.dimension)
    return {kind: np.empty((0, *shape), np.float16) for kind, shape in shapes.items()}


def _encode_captions(captions: Sequence[str], texts: TextEncoder) -> NDArray[np.float16]:
    unique = list(dict.fromkeys(captions))
    if not unique:
        return np.empty((0, texts.dimension), np.float16)
    vectors = _half(texts.encode(unique).pooled, texts.name, unique)
    place = {text: row for row, text in enumerate(unique)}
    return vectors[[place[text] for text in captions]]


def _grid(encoder: ImageEncoder, size: int | None, patches: Patches) -> tuple[int, int]:
    side = (size or encoder.size) // encoder.patch
    if patches in (None, "full"):
        return side, side
    if not isinstance(patches, int) or not 1 <= patches <= side:
        raise ValueError(f'patches is {patches!r}; expected None, "full" or 1 to {side} for {encoder.name}')
    return patches, patches


def _shard_size(encoders: Sequence[ImageEncoder], size: int | None, patches: Patches) -> int:
    if patches is None:
        return _ROWS
    return max(32, min(_ROWS, _PATCH_BYTES // sum(patch_bytes(encoder, size, patches) for encoder in encoders)))


def _settings(
    encoder: ImageEncoder, source: Source, texts: TextEncoder | None, size: int | None, patches: Patches, rows: int
) -> StoreSettings:
    if rows < 1:
        raise ValueError(f"shard_size is {rows}; expected 1 or more")
    grid = _grid(encoder, size, patches)
    return StoreSettings(
        encoder=encoder.name,
        space=encoder.space,
        patch_space=encoder.patch_space,
        dimension=encoder.dimension,
        patch_dimension=encoder.patch_dimension,
        revision=getattr(encoder, "revision", None),
        processor=getattr(encoder, "processor", ""),
        dtype=str(encoder.dtype).removeprefix("torch."),
        size=size or encoder.size,
        patches="" if patches is None else "full" if patches == "full" else f"{grid[0]} x {grid[1]}",
        source=source.name,
        texts=texts.name if texts is not None else "",
        text_space=texts.space if texts is not None else "",
        text_dimension=texts.dimension if texts is not None else 0,
        shard_size=rows,
        versions={"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
    )


def _folders(store: Path, plan: Sequence[StoreSettings]) -> list[Path]:
    if len(plan) == 1:
        return [store]
    folders = [store / slug(settings.encoder) for settings in plan]
    if len(set(folders)) < len(folders):
        raise ValueError(
            f"two of the encoders {', '.join(one.encoder for one in plan)} have the same name; give each once"
        )
    return folders


def _check_disk(
    encoders: Sequence[ImageEncoder], size: int | None, patches: Patches, count: int | None, folder: Path
) -> None:
    """Say how much disk patches will take, and refuse where there is too little."""
    if patches is None:
        return
    each = sum(patch_bytes(encoder, size, patches) for encoder in encoders)
    if count is None:
        log.warning("patches take %.1f MB on disk for every 1,000 images", each / 1e3)
        return
    log.warning("patches of %d images take %.1f MB on disk", count, each * count / 1e6)
    place = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    free = shutil.disk_usage(place).free
    if each * count > free:
        raise StoreError(
            f"patches of {count} images need {each * count / 1e9:.1f} GB, but {place} has {free / 1e9:.1f} GB free; "
            "average them to a smaller grid, such as patches=4"
        )


def _report(folders: Sequence[Path], encoded: int, seconds: float) -> EmbedReport:
    import pyarrow.parquet as pq

    _, manifest = read_settings(folders[0])
    rows = [
        (str(row["key"]), str(row["error"]))
        for file in shard_files(folders[0], "failed", "parquet")
        for row in pq.read_table(file).to_pylist()
    ]
    images, captions = (int(str(manifest[name])) for name in ("images", "captions"))
    return EmbedReport(tuple(folders), images, captions, tuple(rows), encoded, seconds)
