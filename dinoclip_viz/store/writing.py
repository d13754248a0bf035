"""Writing a store shard by shard, each one atomically, so that an interrupted run can resume."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.disk import LOCK, locked, replacing
from dinoclip_viz.store.settings import FORMAT, MANIFEST, StoreError, StoreSettings, read_settings, sha256

if TYPE_CHECKING:
    import pyarrow as pa

Arrays = Mapping[str, NDArray[np.float16]]
"""Kind of file, such as "img_emb" -> rows."""


@dataclass(frozen=True)
class ImageRow:
    """A row of the metadata: one image of `width` x `height` pixels."""

    key: str
    image_path: str
    captions: tuple[str, ...]
    label: str | None
    width: int
    height: int


@dataclass(frozen=True)
class FailedRow:
    """An image that could not be read, and the reason."""

    key: str
    image_path: str
    error: str


@dataclass(frozen=True)
class Shard:
    """The features of consecutive samples of a source.

    Attributes:
        rows: the n images that could be read.
        failed: the images that could not be read.
        arrays: for each encoder, kind of file -> (n, ...) float16.
        captions: (t, E) float16; None if captions are not encoded.
        owners: (t,) index, below n, of the row that each caption describes.
        tokens: (N, D) float16 token vectors of the captions, one caption after the other, and (t,) the number of each
            caption's; None if they are not stored.
    """

    rows: Sequence[ImageRow]
    failed: Sequence[FailedRow]
    arrays: Sequence[Arrays]
    captions: NDArray[np.float16] | None
    owners: NDArray[np.int64]
    tokens: tuple[NDArray[np.float16], NDArray[np.int64]] | None = None


@contextlib.contextmanager
def writing(folders: Sequence[Path]) -> Iterator[None]:
    """Holds the folders of stores for this process, so that no other one writes there.

    Finished stores are not written to, so they are not held, and may be on a read-only disk.

    Raises:
        StoreError: another process writes there; the message has its id, its machine and the time since when.
    """
    with contextlib.ExitStack() as held:
        for folder in sorted(folders):
            if not is_finished(folder):
                held.enter_context(locked(folder, StoreError))
        yield


def is_finished(folder: Path) -> bool:
    """Whether a folder holds a finished store."""
    return (folder / MANIFEST).is_file() and bool(read_settings(folder)[1].get("complete"))


def prepare(folder: Path, settings: StoreSettings) -> bool:
    """Prepares a folder for writing; returns whether it already holds the finished store.

    Raises:
        StoreError: the folder holds something else.
    """
    if (folder / MANIFEST).is_file():
        found, manifest = read_settings(folder)
        difference, dtypes = found.difference(settings), found.dtype_difference(settings)
        if dtypes:
            raise StoreError(f"{folder} holds features of {found.encoder} {dtypes}, or choose another folder")
        if difference:
            raise StoreError(
                f"{folder} holds a store with other settings (stored and expected: {difference}); choose another folder"
            )
        if manifest.get("complete"):
            return True
        if settings.device and settings.device not in found.device.split(", "):
            devices = ", ".join(filter(None, (found.device, settings.device)))
            put_json(folder / MANIFEST, {**manifest, "settings": asdict(replace(found, device=devices))})
    elif folder.is_dir() and any(not file.name.startswith(LOCK) for file in folder.iterdir()):
        raise StoreError(f"{folder} is not empty and holds no store (no {MANIFEST}); choose another folder")
    else:
        put_json(folder / MANIFEST, {"format": FORMAT, "complete": False, "settings": asdict(settings)})
    for left_over in (*folder.rglob("*.tmp"), *folder.rglob(".*.part*")):
        left_over.unlink(missing_ok=True)
    return False


def first_missing(folders: Sequence[Path]) -> int:
    """The number of the first shard that is not yet complete in all stores."""
    number = 0
    while all(_record(folder, number).is_file() for folder in folders):
        number += 1
    return number


def missing(folders: Sequence[Path], shards: int) -> list[int]:
    """The numbers, of so many shards, that are not yet complete in all stores."""
    return [number for number in range(shards) if not all(_record(folder, number).is_file() for folder in folders)]


def write_shard(folders: Sequence[Path], number: int, shard: Shard, seconds: float) -> None:
    """Writes a shard into the stores, its record last; common files are written once and linked."""
    shared: dict[str, Callable[[BinaryIO], object]] = {
        f"metadata/metadata_{number}.parquet": lambda file: _write_metadata(file, shard.rows),
        f"failed/failed_{number}.parquet": lambda file: _write_failed(file, shard.failed),
    }
    if shard.captions is not None:
        shared[f"caption_emb/caption_emb_{number}.npy"] = _saving(shard.captions)
    if shard.tokens is not None:
        shared[f"token_emb/token_emb_{number}.npy"] = _saving(shard.tokens[0])
        shared[f"token_count/token_count_{number}.npy"] = _saving(shard.tokens[1])
    for folder, arrays in zip(folders, shard.arrays, strict=True):
        own = {f"{kind}/{kind}_{number}.npy": _saving(values) for kind, values in arrays.items()}
        for name, write in own.items():
            put(folder / name, write)
        for name, write in shared.items():
            if folder == folders[0]:
                put(folder / name, write)
            else:
                _link(folders[0] / name, folder / name)
        record = {
            "images": len(shard.rows),
            "failed": len(shard.failed),
            "captions": shard.owners.tolist(),
            "checksums": {name: sha256(folder / name) for name in (*own, *shared)},
        }
        put_json(_record(folder, number), record)
        _log(folder / "log.jsonl", {"shard": number, "at": round(time.time()), "seconds": round(seconds, 2)})


def finish(folder: Path, settings: StoreSettings) -> None:
    """Completes a store: joins the records of its shards into `text_to_image.npy` and the manifest."""
    records: list[dict[str, Any]] = []
    while _record(folder, len(records)).is_file():
        records.append(json.loads(_record(folder, len(records)).read_text(encoding="utf-8")))
    starts = np.cumsum([0, *(record["images"] for record in records)]).tolist()
    owners = [np.array(r["captions"], np.int64) + start for r, start in zip(records, starts[:-1], strict=True)]
    joined = np.concatenate(owners)
    put(folder / "text_to_image.npy", _saving(joined))
    checksums = {name: digest for record in records for name, digest in record["checksums"].items()}
    manifest = {
        "format": FORMAT,
        "complete": True,
        "settings": asdict(replace(settings, device=read_settings(folder)[0].device)),  # of all runs
        "shards": len(records),
        "images": starts[-1],
        "captions": len(joined),
        "failed": sum(record["failed"] for record in records),
        "checksums": {**checksums, "text_to_image.npy": sha256(folder / "text_to_image.npy")},
    }
    put_json(folder / MANIFEST, manifest)


def _log(file: Path, line: Mapping[str, float]) -> None:
    try:
        with file.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(line) + "\n")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error


def _record(folder: Path, number: int) -> Path:
    return folder / "shards" / f"shard_{number}.json"


def _write_metadata(file: BinaryIO, rows: Sequence[ImageRow]) -> None:
    import pyarrow as pa

    text, count = pa.string(), pa.int32()
    captions = [list(row.captions) for row in rows]
    columns = {
        "key": pa.array([row.key for row in rows], text),
        "image_path": pa.array([row.image_path for row in rows], text),
        "caption": pa.array([texts[0] if texts else "" for texts in captions], text),
        "captions": pa.array(captions, pa.list_(text)),
        "label": pa.array([row.label for row in rows], text),
        "width": pa.array([row.width for row in rows], count),
        "height": pa.array([row.height for row in rows], count),
    }
    _write_table(file, pa.table(columns))


def _write_failed(file: BinaryIO, rows: Sequence[FailedRow]) -> None:
    import pyarrow as pa

    text = pa.string()
    columns = {name: pa.array([getattr(row, name) for row in rows], text) for name in ("key", "image_path", "error")}
    _write_table(file, pa.table(columns))


def _write_table(file: BinaryIO, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, file)


def _saving(values: NDArray[np.generic]) -> Callable[[BinaryIO], object]:
    return lambda file: np.save(file, values, allow_pickle=False)


def put_json(file: Path, value: object) -> None:
    """Writes a value as JSON, atomically."""
    put(file, lambda opened: opened.write((json.dumps(value, indent=1) + "\n").encode()))


def put(file: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file atomically: under another name, flushed to disk, then renamed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as aside, aside.open("wb") as opened:
        write(opened)


def _link(source: Path, target: Path) -> None:
    """Links a file under a second name; copies it if the file system has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as aside:
        aside.unlink(missing_ok=True)
        try:
            os.link(source, aside)
        except OSError:
            shutil.copyfile(source, aside)
