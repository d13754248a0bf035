"""Parquet files with images: their bytes, paths or addresses, in columns with names in common use."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from dinoclip_viz.data.base import Sample, SourceError, Unreadable
from dinoclip_viz.data.captions.columns import (
    IMAGES,
    KEYS,
    LABELS,
    captions_in,
    is_caption_column,
    key_in,
    label_in,
    named,
)
from dinoclip_viz.data.filesystems import RemoteFile, is_remote, open_file
from dinoclip_viz.data.locations import is_address, shown
from dinoclip_viz.images import ImageError, ImageLike

SUFFIX = ".parquet"

_ROWS = 64  # read at a time: images may have megabytes
_ROWS_OF_TEXT = 8192
_BINARY = ("jpg", "jpeg", "png", "webp", "img", "bytes", "image_bytes")  # names of columns of bytes alone
_CELLS = "bytes, {bytes, path} as `datasets` writes it, a path or an address"


@dataclass(frozen=True)
class ParquetSource:
    """The rows of one or more Parquet files; a few rows at a time are in memory.

    The image is in a column named image, path, url or the like; captions, key and label in columns as in a list.

    Attributes:
        files: paths or addresses of the files, in reading order.
        name: what they were opened by.
        skip_bytes: whether bytes of images are not read; samples whose image is bytes then have a `Skipped` one.
    """

    files: tuple[str, ...]
    name: str
    skip_bytes: bool = False

    @property
    def count(self) -> int:
        """The number of rows of all files, from their footers."""
        return sum(_rows(file) for file in self.files)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples, file by file; files before `start` are not read, only their footers.

        Raises:
            SourceError: a file cannot be read, or has no column of images.
        """
        number = 0
        for file in self.files:
            count = _rows(file)
            if number + count > start:
                yield from self._of_file(file, number, max(0, start - number))
            number += count

    def _of_file(self, file: str, first: int, start: int) -> Iterator[Sample]:
        import pyarrow.parquet as pq

        with _opened(file) as opened:
            table = pq.ParquetFile(opened)
            columns = table.schema_arrow.names
            image = _image_column(columns, table.schema_arrow)
            if not image:
                raise SourceError(
                    f"{shown(file)}: no column of images among {shown(', '.join(columns))}; expected one named "
                    f"{', '.join((*IMAGES[:2], *_BINARY[:2]))} or the like"
                )
            classes = _classes(table.schema_arrow.metadata)
            skipped = self.skip_bytes and _holds_bytes(table.schema_arrow.field(image).type)
            wanted = [name for name in columns if (name == image and not skipped) or _is_wanted(name)]
            row = 0
            for batch in table.iter_batches(_ROWS_OF_TEXT if skipped else _ROWS, columns=wanted):
                if row + len(batch) > start:
                    for index, values in enumerate(batch.to_pylist(), start=row):
                        if index >= start:
                            yield self._sample(values, image, file, first + index, classes)
                row += len(batch)

    def _sample(
        self, values: Mapping[str, object], image: str, file: str, number: int, classes: Mapping[str, Sequence[str]]
    ) -> Sample:
        values = {name: _class(value, classes.get(name)) for name, value in values.items()}
        cells = named({name: value for name, value in values.items() if name != image})
        captions = captions_in({name: cells[name] for name in cells if is_caption_column(name)})
        found, path = _image(values[image], file, number) if image in values else (Skipped(), "")
        return Sample(key_in(cells) or f"{number:08d}", found, captions, path, label_in(cells))


@dataclass(frozen=True)
class Skipped:
    """The image of a sample that was read for its captions alone; calling it raises an error."""

    def __call__(self) -> Image.Image:
        """Raises an ImageError."""
        raise ImageError("the image was skipped; expected a source with skip_bytes=False")


def _image(cell: object, file: str, number: int) -> tuple[ImageLike | RemoteFile | Unreadable, str]:
    """The image of a cell, and its path or address for display."""
    data, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, Mapping) else (cell, cell)
    if isinstance(data, bytes):
        return data, shown(path) if isinstance(path, str) else ""
    if not isinstance(path, str) or not path.strip():
        return Unreadable(f"{shown(file)}, row {number}: no image; expected {_CELLS}"), ""
    if is_address(path):
        return path, shown(path)
    if is_remote(path):
        return RemoteFile(path), shown(path)
    beside = f"{os.path.dirname(file)}/{path}" if not os.path.isabs(path) else path
    return RemoteFile(beside) if is_remote(beside) else Path(beside), shown(path)


def _image_column(columns: Sequence[str], schema: Any) -> str:
    """The column of images: of bytes or structs if there is one, else of paths or addresses; "" without one."""
    known = [name for name in columns if name.strip().lower() in (*IMAGES, *_BINARY)]
    inside = [name for name in known if _holds_bytes(schema.field(name).type)]
    order = {name: index for index, name in enumerate((*IMAGES, *_BINARY))}
    chosen = inside or [name for name in known if name.strip().lower() in IMAGES]
    return min(chosen, key=lambda name: order[name.strip().lower()], default="")


def _holds_bytes(kind: Any) -> bool:
    """Whether cells of an Arrow type hold bytes, alone or with a path."""
    import pyarrow.types as kinds

    if kinds.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(kinds.is_binary(kind) or kinds.is_large_binary(kind))


def _classes(metadata: Mapping[bytes, bytes] | None) -> dict[str, list[str]]:
    """Column of numbers -> the names of their classes, as `datasets` writes them."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {name: list(kind["names"]) for name, kind in features.items() if kind.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _class(value: object, names: Sequence[str] | None) -> object:
    if names is None or not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None


def _is_wanted(name: str) -> bool:
    plain = name.strip().lower()
    return plain in (*KEYS, *LABELS) or is_caption_column(plain)


def _rows(file: str) -> int:
    import pyarrow.parquet as pq

    with _opened(file) as opened:
        return int(pq.ParquetFile(opened).metadata.num_rows)


class _opened:  # noqa: N801
    """A file open for reading, whose errors name it."""

    def __init__(self, file: str) -> None:
        self._file = file

    def __enter__(self) -> Any:
        try:
            self._open = open_file(self._file)
        except SourceError:
            raise
        except Exception as error:  # every file system has its own errors
            raise SourceError(f"{shown(self._file)}: cannot be opened ({error}); expected a Parquet file") from error
        return self._open

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self._open.close()
        import pyarrow as pa

        if isinstance(error, pa.ArrowException | OSError):
            line = " ".join(str(error).split())[:160]
            raise SourceError(f"{shown(self._file)}: broken or no Parquet file ({line}); expected one") from error
