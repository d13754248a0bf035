"""Data sets of the Hugging Face hub and folders written by `datasets`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

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
from dinoclip_viz.data.filesystems import RemoteFile
from dinoclip_viz.data.locations import is_address, located, shown
from dinoclip_viz.images import ImageLike

_TARS = {"txt": "caption", "json": "captions", "cls": "label", "__key__": "key"}  # columns of tar shards on the hub
_STORED = ("dataset_info.json", "state.json", "dataset_dict.json")
_INSTALL = 'pip install "dinoclip-viz[data]"'
_IMAGES = "one of images, of their bytes, or named image, file_name, path, url or the like"
_FORM = "hub:NAME or hub:NAME:CONFIG, as in hub:lmms-lab/flickr30k"


@dataclass(frozen=True)
class HubSource:
    """A data set that `datasets` can open, on the hub or in a local folder; its code is never run.

    Attributes:
        dataset: name on the hub ("owner/name"), or path of a folder: parquet files, an image folder, `save_to_disk`.
        config: the configuration, for a data set with several.
        split: the split; None for a data set with one split.
        streaming: whether rows are streamed; otherwise the data set is first downloaded to the cache.
    """

    dataset: str
    config: str | None = None
    split: str | None = None
    streaming: bool = True

    @property
    def name(self) -> str:
        """The name for `open_source`, and the split."""
        config = f":{self.config}" if self.config else ""
        return shown(f"hub:{self.dataset}{config}") + (f" ({shown(self.split)})" if self.split else "")

    @property
    def count(self) -> int | None:
        """The number of samples of a data set on disk; None for a stream."""
        if self.streaming and not is_saved(self.dataset):
            return None
        return len(cast("_Sized", self._open()))

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples in the data set's order; without a column of keys, the key is the sample's number.

        Raises:
            SourceError: `datasets` is not installed, the data set cannot be opened, has no column of images, stops
                early, or has several splits and none is given.
        """
        rows, columns = self._rows(start)
        number = start
        try:
            for row in rows:
                yield self._sample(row, columns, number)
                number += 1
        except Exception as error:  # datasets passes on errors of its readers and of the network
            raise SourceError(f"{self.name}: stopped after {number} samples ({_reason(error)}); try again") from error

    def _rows(self, start: int) -> tuple[Iterable[Mapping[str, object]], _Columns]:
        """The rows from number `start` on, with images as bytes or paths, and their columns."""
        data = self._open()
        import datasets

        try:
            features = data.features
            if features is None:  # a stream of text rows: columns of the first row
                features = next(iter(data), {})
            columns = _columns(features)
            if not columns.image:
                there = shown(", ".join(features)) or "none"
                raise SourceError(f"{self.name}: no column of images among {there}; expected {_IMAGES}")
            data = data.select_columns(columns.wanted(features))
            if columns.is_image:
                data = data.cast_column(columns.image, datasets.Image(decode=False))
            if isinstance(data, _Sized) and start >= len(data):
                return (), columns
            return data.skip(start) if start else data, columns
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(f"{self.name}: cannot be read ({_reason(error)}); expected rows with images") from error

    def _open(self) -> _Data:
        """The data set of one split."""
        try:
            import datasets
        except ImportError as error:
            raise SourceError(f"{self.name}: needs the library datasets; {_INSTALL}") from error
        local = os.path.isdir(self.dataset)
        if not local and (self.dataset.startswith((".", "/", "~")) or self.dataset.count("/") > 1):
            raise SourceError(f"{self.name}: no such folder; expected {_FORM}, or an existing folder")
        try:
            if is_saved(self.dataset):
                data = datasets.load_from_disk(self.dataset)
            else:
                split = None if self.streaming else self.split
                data = datasets.load_dataset(self.dataset, self.config, split=split, streaming=self.streaming)
        except Exception as error:  # of the hub's client, the network, the readers of every kind of file
            hint = "expected parquet files, an image folder or save_to_disk" if local else f"expected {_FORM}"
            raise SourceError(f"{self.name}: cannot be opened ({_reason(error)}); {hint}") from error
        return self._pick(data)

    def _pick(self, data: object) -> _Data:
        if not isinstance(data, dict):
            stored = str(getattr(data, "split", None) or "")
            if self.split is not None and self.streaming and self.split != stored:
                raise SourceError(f"{self.name}: saved without splits; omit split {shown(self.split)}")
            return cast("_Data", data)
        known = ", ".join(data)
        if self.split is None and len(data) != 1:
            raise SourceError(f"{self.name}: has the splits {shown(known)}; choose one with split")
        split = self.split or next(iter(data))
        if split not in data:
            raise SourceError(f"{self.name}: no split {shown(split)}; its splits: {shown(known)}")
        return cast("_Data", data[split])

    def _sample(self, row: Mapping[str, object], columns: _Columns, number: int) -> Sample:
        cells = {_TARS.get(name, name): cell for name, cell in named(row).items()}
        captions = captions_in({name: cells[name] for name in cells if is_caption_column(name)})
        label = label_in(cells)
        if columns.label:
            value = row.get(columns.label)
            label = columns.classes[value] if isinstance(value, int) and 0 <= value < len(columns.classes) else None
        image, path = self._image(row.get(columns.image), number)
        return Sample(key_in(cells) or f"{number:08d}", image, captions, path, label)

    def _image(self, cell: object, number: int) -> tuple[ImageLike | RemoteFile | Unreadable, str]:
        """The image to load, and its path or address for display."""
        data, path = (cell.get("bytes"), cell.get("path")) if isinstance(cell, Mapping) else (cell, cell)
        text = shown(path) if isinstance(path, str) else ""
        if isinstance(data, bytes):
            return data, text
        if not isinstance(path, str) or not path.strip():
            return Unreadable(f"{self.name}, row {number}: no image; expected its bytes, path or address"), ""
        if "://" in path and not is_address(path):
            return RemoteFile(path), text
        if not (is_address(path) or os.path.isabs(path) or os.path.isdir(self.dataset)):
            reason = f"{text}: a path on another machine in {self.name}; expected bytes or an address"
            return Unreadable(reason), text
        return located(Path(self.dataset), path)


@dataclass(frozen=True)
class _Columns:
    """The columns of a data set: image, label and, if labels are numbers, their class names."""

    image: str = ""
    is_image: bool = False
    label: str = ""
    classes: tuple[str, ...] = ()

    def wanted(self, names: Iterable[str]) -> list[str]:
        """The columns that samples need; others may be slow to read."""
        known = {*KEYS, *LABELS, *_TARS}
        return [
            name
            for name in names
            if name in (self.image, self.label) or name.lower() in known or is_caption_column(name.strip().lower())
        ]


class _Data(Protocol):
    """The methods used of `datasets.Dataset` and `IterableDataset`."""

    features: Mapping[str, object] | None

    def __iter__(self) -> Iterator[Mapping[str, object]]: ...
    def skip(self, n: int) -> _Data: ...
    def select_columns(self, column_names: list[str]) -> _Data: ...
    def cast_column(self, column: str, feature: object) -> _Data: ...


@runtime_checkable
class _Sized(Protocol):
    def __len__(self) -> int: ...


def hub_of(text: str, split: str | None = None) -> HubSource:
    """The source of hub:NAME or hub:NAME:CONFIG; nothing is opened.

    Raises:
        SourceError: the name is empty.

    Examples:
        >>> hub_of("hub:owner/photos:small")
        HubSource(dataset='owner/photos', config='small', split=None, streaming=True)
    """
    dataset, _, config = text.removeprefix("hub:").partition(":")
    if not dataset:
        raise SourceError(f"{text!r}: no name; expected {_FORM}")
    return HubSource(dataset, config or None, split)


def is_stored_data_set(folder: Path) -> bool:
    """Whether `datasets` wrote a folder, or it or its folder `data` has Parquet files."""
    return is_saved(folder) or any(True for name in ("", "data") for _ in (folder / name).glob("*.parquet"))


def is_saved(folder: str | Path) -> bool:
    """Whether `datasets.save_to_disk` wrote a folder."""
    names = [name for name in _STORED if os.path.isfile(os.path.join(folder, name))]
    return "dataset_dict.json" in names or len(names) == 2


def _columns(features: Mapping[str, object]) -> _Columns:
    """The columns by their features: images first, then stored bytes, then paths and addresses by name."""
    kinds = {name: type(feature).__name__ for name, feature in features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    stored = [name for name, feature in features.items() if isinstance(feature, Mapping) and "bytes" in feature]
    by_name = {name.strip().lower(): name for name, kind in kinds.items() if kind in ("Value", "str", "bytes")}
    image = [*images, *stored, *(by_name[name] for name in IMAGES if name in by_name), ""][0]
    labels = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    label = min(labels, key=lambda name: name.lower() not in LABELS, default="")
    classes = tuple(map(str, getattr(features[label], "names", ()))) if label else ()
    return _Columns(image, image in images, label, classes)


def _reason(error: Exception) -> str:
    """The error on one line."""
    return shown(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
