"""Selections: JSON lines that name samples of other sources, with the captions to use; `dinoclip curate` writes them.

A row is {"source": name, "number": of the sample, "key": its key, "captions": [...]}, with "split", "images" and
"encoding" where the source was opened with them. Without a number, the key alone names the sample. Images thus stay in
tar shards, Parquet files or on the hub.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from dinoclip_viz.data.base import Sample, Source, SourceError
from dinoclip_viz.data.captions.columns import captions_in, image_in, key_in, label_in
from dinoclip_viz.data.captions.rows import Row, rows_of
from dinoclip_viz.data.filesystems import is_remote
from dinoclip_viz.data.locations import is_address, shown
from dinoclip_viz.data.texts import UTF8

SUFFIXES = (".jsonl", ".ndjson")
"""The extensions of selections."""

Opener = Callable[[str, str | None, Path | None, str], Source]
"""Name, split, folder of images and encoding -> the source, as `open_source`."""

_NAME_AND_SPLIT = re.compile(r"(.+) \(([^()]+)\)")


@dataclass(frozen=True)
class Reference:
    """How a source is opened again: the arguments of `open_source`.

    Attributes:
        source: its name, or an absolute path.
        split: one or more of its splits, None for all.
        images: folder of a list's images, "" for the usual one.
        encoding: of its texts.
    """

    source: str
    split: str | None = None
    images: str = ""
    encoding: str = UTF8

    @classmethod
    def to(cls, text: str, split: str | None = None, images: Path | None = None, encoding: str = UTF8) -> Reference:
        """The reference to a source, with absolute paths.

        Examples:
            >>> Reference.to("playground:7:20").row()
            {'source': 'playground:7:20'}
        """
        folder = os.path.abspath(images.expanduser()) if images is not None else ""
        return cls(text if _is_name(text) else os.path.abspath(os.path.expanduser(text)), split, folder, encoding)

    @classmethod
    def to_name(cls, name: str) -> Reference:
        """The reference to a source by its attribute `name`, as feature stores keep it: with a split in brackets.

        Examples:
            >>> Reference.to_name("hub:owner/photos (test)").row()
            {'source': 'hub:owner/photos', 'split': 'test'}
        """
        found = None if os.path.exists(name) else _NAME_AND_SPLIT.fullmatch(name)
        return cls.to(found[1], found[2]) if found else cls.to(name)

    def row(self) -> dict[str, str]:
        """The columns of a row, without those of default values."""
        given = {"source": self.source, "split": self.split or "", "images": self.images}
        given["encoding"] = "" if self.encoding == UTF8 else self.encoding
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True)
class SelectionSource:
    """The samples that a selection names, in its order, with its captions.

    Consecutive rows of one source are read in one pass if their samples are in the source's order; a row that names an
    earlier sample opens the source again.

    Attributes:
        file: .jsonl or .ndjson.
        opener: opens the sources.
        encoding: of the file.
    """

    file: Path
    opener: Opener
    encoding: str = UTF8

    @property
    def name(self) -> str:
        """The path of the selection."""
        return shown(self.file)

    @property
    def count(self) -> int | None:
        """None: the file would have to be read."""
        return None

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples from row `start` on.

        Raises:
            SourceError: the file or one of its sources cannot be read, a row names no sample, or a source has changed.
        """
        reader: _Reader | None = None
        for row in islice(rows_of(self.file, self.encoding), start, None):
            if row.fault or not _names_sample(row):
                fault = row.fault or "no source with a number or a key"
                raise SourceError(f"{self.name}, line {row.number}: {shown(fault)}; expected a row of a selection")
            reference = _reference(row.values)
            number = row.values.get("number")
            if reader is None or reader.reference != reference or (isinstance(number, int) and number < reader.next):
                reader = _Reader(reference, self._opened(reference))
            key = key_in(row.values)
            sample = reader.sample(number if isinstance(number, int) else None, key)
            if sample is None:
                wanted = f"sample {number} {shown(key)!r}" if number is not None else f"sample {shown(key)!r}"
                raise SourceError(
                    f"{self.name}, line {row.number}: {shown(reference.source)} has no {wanted} here; it has changed: "
                    "curate it again"
                )
            captions = captions_in({name: row.values[name] for name in ("captions", "caption") if name in row.values})
            yield replace(sample, captions=captions, label=label_in(row.values) or sample.label)

    def _opened(self, reference: Reference) -> Source:
        if os.path.abspath(self.file) == reference.source:
            raise SourceError(f"{self.name}: names itself as a source; expected another one")
        images = Path(reference.images) if reference.images else None
        return self.opener(reference.source, reference.split, images, reference.encoding)


class _Reader:
    """The samples of one source, read forwards.

    Attributes:
        reference: to the source.
        next: number of the sample that is read next.
    """

    def __init__(self, reference: Reference, source: Source) -> None:
        self.reference, self.source, self.next = reference, source, 0
        self._samples: Iterator[Sample] | None = None

    def sample(self, number: int | None, key: str) -> Sample | None:
        """The sample of a number and a key, or, without a number, the next one of that key; None without one."""
        if self._samples is None:
            self.next = number or 0
            self._samples = self.source.samples(self.next)
        for sample in self._samples:
            self.next += 1
            if number is None and sample.key == key:
                return sample
            if number is not None and self.next == number + 1:
                return sample if not key or sample.key == key else None
        return None


def selected_from(file: Path, key: str) -> str:
    """Name of the source that a selection has the sample of a key from, "" if it has none."""
    if not file.is_file() or not is_selection(file):
        return ""
    named = (row.values for row in rows_of(file, UTF8) if not row.fault and key_in(row.values) == key)
    return next((str(values["source"]) for values in named if isinstance(values.get("source"), str)), "")


def is_selection(file: Path, encoding: str = UTF8) -> bool:
    """Whether the first row of a .jsonl file names a sample of another source instead of an image.

    Raises:
        SourceError: the file cannot be read.
    """
    if file.suffix.lower() not in SUFFIXES:
        return False
    first = next(rows_of(file, encoding), None)
    return first is not None and not first.fault and not image_in(first.values) and _names_sample(first)


def _names_sample(row: Row) -> bool:
    number = row.values.get("number")
    numbered = isinstance(number, int) and not isinstance(number, bool) and number >= 0
    return isinstance(row.values.get("source"), str) and (numbered or (number is None and bool(key_in(row.values))))


def _reference(values: Mapping[str, object]) -> Reference:
    split, images, encoding = (str(values.get(name) or "") for name in ("split", "images", "encoding"))
    return Reference(str(values["source"]), split or None, images, encoding or UTF8)


def _is_name(text: str) -> bool:
    """Whether a source is named by anything but a path of this machine."""
    prefixed = text == "playground" or text.startswith(("playground:", "hub:"))
    return prefixed or is_remote(text) or is_address(text)
