"""Embedding of a data source into feature stores, resumable per shard."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from dinoclip_viz.data import Source, SourceError, open_source
from dinoclip_viz.data.levels import with_levels
from dinoclip_viz.encoders import EncoderError, as_encoder, load_text_encoder
from dinoclip_viz.encoders.base import ImageEncoder, TextEncoder
from dinoclip_viz.encoders.errors import type_name
from dinoclip_viz.encoders.towers.batching import BatchedImageEncoder
from dinoclip_viz.images import Levels
from dinoclip_viz.images.scaled import DECODES, Decode
from dinoclip_viz.pipeline.encoding import BatchSize, encoded
from dinoclip_viz.pipeline.shards import Patches, PendingShard, grid_of, jobs_of, patch_bytes, with_tokens
from dinoclip_viz.pipeline.space import check_disk
from dinoclip_viz.store import StoreSettings
from dinoclip_viz.store.settings import read_settings, shard_files, slug
from dinoclip_viz.store.writing import Shard, finish, first_missing, prepare, write_shard, writing

Watch = Callable[[int, int | None], None]
"""Called with the number of finished samples and the total, None if unknown."""

_ROWS = 2048  # samples per shard without patches
_PATCH_BYTES = 64 << 20  # patches per shard
_LIBRARIES = ("torch", "torchvision", "transformers", "open_clip_torch", "numpy", "pillow")


@dataclass(frozen=True)
class EmbedReport:
    """Result of `embed`.

    Attributes:
        stores: folders of the stores, one per encoder.
        images: number of images in each store.
        captions: number of captions in each store.
        failed: key and reason of each image that could not be read.
        encoded: number of images that this run encoded; the others were in the stores before.
        seconds: duration of this run in seconds.
    """

    stores: tuple[Path, ...]
    images: int
    captions: int
    failed: tuple[tuple[str, str], ...]
    encoded: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        """Throughput of this run, in images per second through all encoders."""
        return self.encoded / self.seconds if self.seconds > 0 else 0.0


def embed(
    source: Source | str | Path,
    encoders: str | ImageEncoder | Sequence[str | ImageEncoder],
    store: str | Path,
    texts: str | TextEncoder | None = None,
    size: int | None = None,
    patches: Patches = None,
    batch_size: BatchSize = 32,
    workers: int | None = None,
    shard_size: int | None = None,
    watch: Watch | None = None,
    levels: Levels = None,
    decode: Decode = "exact",
    compile: bool = False,
    engine: Engine | None = None,
    text_tokens: bool = False,
) -> EmbedReport:
    """Encode a data source into feature stores; an interrupted run resumes with the same result.

    Args:
        source: data source, or a path or name that `open_source` opens.
        encoders: one image encoder or several, by name or loaded. One encoder writes its store into `store`, several
            write one folder each inside it.
        store: folder of the store or stores.
        texts: text encoder of the captions, by name or loaded; without one, the captions are stored as text only.
        size: side of the square crop in pixels; by default each encoder's published one.
        patches: None for no patches, "full" for all, or a number R for R x R averaged patches.
        batch_size: images per forward pass; "auto" for 32 on a CPU, and what the memory at hand allows on a GPU.
        workers: number of processes that decode images; 0 decodes in threads of this process, one per CPU; None for one
            process per CPU if an encoder is on CUDA, else threads.
        shard_size: samples per shard, the unit of resumption; by default 2048, fewer with large patches.
        watch: called with the number of finished samples and the total.
        levels: levels with which images are read, as in `load_image`; they are part of the store's settings.
        decode: "exact"; or "scaled" for JPEGs decoded at the smallest scale at least twice the encoder's resized image,
            which is faster for large photographs and changes features slightly. It is part of the store's settings.
        compile: whether models on CUDA are compiled first, for long runs; about a minute each.
        engine: runs the shards elsewhere, such as `scale.RayEngine`; None for this process.
        text_tokens: whether the token vectors of the captions are stored too, which the recipe "freeze-align" reads.

    Raises:
        StoreError: the folder contains a store with other settings, features are not finite, or the disk has too little
            free space.
        SourceError: the source cannot be read or is empty.
        EncoderError: an encoder is neither loaded nor a name, or cannot be loaded.
        ValueError: there is no encoder, or an argument is out of range.
    """
    begun = time.monotonic()
    if engine is not None and (compile or workers):
        raise ValueError("found an engine with compile or workers; expected these in this process only; remove them")
    opened = open_source(str(source)) if isinstance(source, str | Path) else source
    source = with_levels(opened, levels)
    names = list(encoders) if isinstance(encoders, Sequence) and not isinstance(encoders, str) else [encoders]
    if not names:
        raise ValueError("found no encoder; expected at least one, such as playground-dino")
    loaded = [_compiled(as_encoder(name)) if compile else as_encoder(name) for name in names]
    tower = _text_encoder(texts)
    if text_tokens and tower is None:
        raise ValueError("found text_tokens without texts; expected the text encoder of the captions (--texts MODEL)")
    width = with_tokens(tower).token_dimension if text_tokens and tower is not None else 0
    rows = _shard_size(loaded, size, patches) if shard_size is None else shard_size
    if decode not in DECODES:
        raise ValueError(f"decode={decode!r}; expected 'exact' or 'scaled'")
    plan = [
        replace(
            store_settings(encoder, source.name, tower, size, patches, rows),
            levels=shown_levels(levels),
            decode=decode,
            token_dimension=width,
        )
        for encoder in loaded
    ]
    folders = _folders(Path(store).expanduser(), plan)
    check_disk(loaded, size, patches, source.count, folders[0])
    if workers is None:
        workers = (os.cpu_count() or 1) if any(one.device.type == "cuda" for one in loaded) else 0
    how = How(rows, size, patches, batch_size, workers, decode, text_tokens)
    with writing(folders):
        encoded = _fill(folders, plan, source, loaded, tower, how, watch, engine)
    return _report(folders, encoded, time.monotonic() - begun)


def _fill(
    folders: Sequence[Path],
    plan: Sequence[StoreSettings],
    source: Source,
    encoders: Sequence[ImageEncoder],
    texts: TextEncoder | None,
    how: How,
    watch: Watch | None,
    engine: Engine | None,
) -> int:
    """Write what the stores lack, and finish them; returns the number of images encoded."""
    if all([prepare(folder, settings) for folder, settings in zip(folders, plan, strict=True)]):
        return 0
    if engine is None:
        encoded = _write(folders, _shards(source, encoders, texts, first_missing(folders), how, watch))
    else:
        encoded = engine.run(source, encoders, texts, folders, how, watch)
    if not first_missing(folders):
        raise SourceError(f"{source.name} has no samples; expected at least one image")
    for folder, settings in zip(folders, plan, strict=True):
        finish(folder, settings)
    return encoded


class Engine(Protocol):
    """Runs the shards of `embed` and writes them."""

    def run(
        self,
        source: Source,
        encoders: Sequence[ImageEncoder],
        texts: TextEncoder | None,
        folders: Sequence[Path],
        how: How,
        watch: Watch | None,
    ) -> int:
        """Write the missing shards into all folders; the number of images encoded.

        Args:
            source: with its levels.
            encoders: one per folder.
            texts: text encoder of the captions, or None.
            folders: of the stores, prepared.
            how: how shards are encoded.
            watch: as in `embed`.
        """
        ...


def _compiled(encoder: ImageEncoder) -> ImageEncoder:
    if encoder.device.type != "cuda" or not isinstance(encoder, BatchedImageEncoder):
        raise ValueError(f"compile serves encoders of this package on CUDA; found {encoder.name} on {encoder.device}")
    return encoder.compiled()


def _text_encoder(texts: str | TextEncoder | None) -> TextEncoder | None:
    if texts is None or isinstance(texts, TextEncoder):
        return texts
    if not isinstance(texts, str):
        raise EncoderError(f"found {type_name(texts)} for texts; expected a text encoder, its name or None")
    return load_text_encoder(texts)


@dataclass(frozen=True)
class How:
    """How shards are encoded.

    Attributes:
        rows: samples per shard.
        size, patches, batch_size, workers, decode, text_tokens: as in `embed`.
    """

    rows: int
    size: int | None
    patches: Patches
    batch_size: BatchSize
    workers: int
    decode: Decode
    text_tokens: bool = False


def _shards(
    source: Source,
    encoders: Sequence[ImageEncoder],
    texts: TextEncoder | None,
    first: int,
    how: How,
    watch: Watch | None,
) -> Generator[tuple[int, Shard, float]]:
    """Number, features and duration in seconds of each shard from number `first` on."""
    jobs = jobs_of(encoders, how.size, how.patches)
    begun, done, number = time.monotonic(), first * how.rows, first
    pending = PendingShard(jobs, how.patches)
    samples = source.samples(done)
    if watch:
        watch(done, source.count)
    for part in encoded(samples, jobs, how.batch_size, how.workers, how.decode, how.rows):
        pending.add(part)
        done += part.batch.seen
        if watch:
            watch(done, source.count)
        if part.batch.last:
            yield number, pending.shard(texts, how.text_tokens), time.monotonic() - begun
            begun, number, pending = time.monotonic(), number + 1, PendingShard(jobs, how.patches)


def _write(folders: Sequence[Path], shards: Generator[tuple[int, Shard, float]]) -> int:
    """Write shards while the next one is encoded; returns the number of images."""
    images = 0
    with ThreadPoolExecutor(1) as writer, contextlib.closing(shards):
        writing: Future[None] | None = None
        for number, shard, seconds in shards:
            if writing is not None:
                writing.result()
            writing = writer.submit(write_shard, folders, number, shard, seconds)
            images += len(shard.rows)
        if writing is not None:
            writing.result()
    return images


def _shard_size(encoders: Sequence[ImageEncoder], size: int | None, patches: Patches) -> int:
    if patches is None:
        return _ROWS
    return max(32, min(_ROWS, _PATCH_BYTES // sum(patch_bytes(encoder, size, patches) for encoder in encoders)))


def store_settings(
    encoder: ImageEncoder, source: str, texts: TextEncoder | None, size: int | None, patches: Patches, rows: int
) -> StoreSettings:
    """The settings of a store of an encoder's features.

    Args:
        encoder: of the images.
        source: name of the source.
        texts: encoder of the captions, or None.
        size, patches: as in `embed`.
        rows: samples per shard.

    Raises:
        ValueError: rows below 1.
    """
    if rows < 1:
        raise ValueError(f"shard_size is {rows}; expected 1 or more")
    grid = grid_of(encoder, size, patches)
    return StoreSettings(
        encoder=encoder.name,
        space=encoder.space,
        patch_space=encoder.patch_space,
        dimension=encoder.dimension,
        patch_dimension=encoder.patch_dimension,
        revision=getattr(encoder, "revision", None),
        processor=getattr(encoder, "processor", ""),
        dtype=str(encoder.dtype).removeprefix("torch."),
        device=str(encoder.device),
        text_dtype="" if texts is None else str(texts.dtype).removeprefix("torch."),
        size=size or encoder.size,
        patches="" if patches is None else "full" if patches == "full" else f"{grid[0]} x {grid[1]}",
        source=source,
        texts=texts.name if texts is not None else "",
        text_space=texts.space if texts is not None else "",
        text_dimension=texts.dimension if texts is not None else 0,
        shard_size=rows,
        versions={"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
    )


def shown_levels(levels: Levels) -> str:
    """Levels as the settings of a store have them, "" for the whole range."""
    return "" if levels is None else levels if isinstance(levels, str) else f"{levels[0]:g}, {levels[1]:g}"


def _folders(store: Path, plan: Sequence[StoreSettings]) -> list[Path]:
    if len(plan) == 1:
        return [store]
    folders = [store / slug(settings.encoder) for settings in plan]
    if len(set(folders)) < len(folders):
        raise ValueError(
            f"found two encoders with the same name in {', '.join(one.encoder for one in plan)}; expected each once"
        )
    return folders


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
