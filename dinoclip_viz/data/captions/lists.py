"""Lists of images and captions as files: JSON, JSONL, CSV, TSV, by the column names that are really in use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from dinoclip_viz.data.base import Sample, SourceError, Unreadable
from dinoclip_viz.data.captions.columns import IMAGES, captions_in, image_in, key_in, label_in
from dinoclip_viz.data.captions.rows import UTF8, Row, rows_of
from dinoclip_viz.data.locations import images_root, key_of_name, placed, shown

_PEEK = 20  # rows whose images are looked for to find the folder that they start from


@dataclass(frozen=True)
class ListSource:
    """The rows of a list; those of one image that follow each other are one sample with several captions.

    All but .json is read row by row. A row without an image, or that cannot be read, comes as an unreadable sample.

    Attributes:
        file: .json, .jsonl, .csv, .tsv or .txt.
        images: folder that relative paths start from; by default the list's own, or a usual folder next to it.
        split: only rows with this in their column `split`; "train+val" joins two.
        encoding: of the text.
    """

    file: Path
    images: Path | None = None
    split: str | None = None
    encoding: str = UTF8

    @property
    def name(self) -> str:
        """The list's path."""
        return shown(self.file)

    @property
    def count(self) -> int | None:
        """How many samples a .json file holds; None for what is read row by row."""
        return sum(1 for _ in self.samples()) if self.file.suffix.lower() == ".json" else None

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples in the list's order.

        Raises:
            SourceError: the file cannot be read, is no list of images or empty, or has no such split.
        """
        return islice(self._samples(), start, None)

    def _samples(self) -> Iterator[Sample]:
        rows = rows_of(self.file, self.encoding)
        head = list(islice(rows, _PEEK))
        if not head:
            raise SourceError(f"{self.name}: no rows; expected an image and its captions in each")
        if self.split and not any("split" in row.values for row in head):
            raise SourceError(f"{self.name}: no split {shown(self.split)}, there is no column `split`; omit split")
        root = self.images or images_root(self.file.parent, [image_in(row.values) for row in head])
        pending: Sample | None = None
        for row in self._of_split(chain(head, rows)):
            sample = self._sample(row, root)
            if pending and sample.path and sample.path == pending.path:
                pending = replace(pending, captions=pending.captions + sample.captions)
                continue
            if pending:
                yield pending
            pending = sample
        if pending:
            yield pending

    def _of_split(self, rows: Iterator[Row]) -> Iterator[Row]:
        """The rows of the split that is asked for, and those that cannot be read."""
        if self.split is None:
            yield from rows
            return
        wanted = set(self.split.split("+"))
        seen: set[str] = set()
        for row in rows:
            split = str(row.values.get("split", ""))
            seen.add(split)
            if row.fault or split in wanted:
                yield row
        if missing := wanted - seen:
            asked, known = (shown(", ".join(sorted(names - {""}))) for names in (missing, seen))
            raise SourceError(f"{self.name}: no split {asked}; its splits: {known}, or several joined by '+'")

    def _sample(self, row: Row, root: Path) -> Sample:
        name = image_in(row.values)
        captions, label = captions_in(row.values), label_in(row.values)
        if row.fault or not name:
            place = f"{'row' if self.file.suffix.lower() == '.json' else 'line'} {row.number}"
            fault = row.fault or f"no image; expected one in a column of {', '.join(IMAGES)}"
            key = key_in(row.values) or f"{shown(self.file.name)}:{row.number}"
            return Sample(key, Unreadable(f"{self.name}, {place}: {shown(fault)}"), captions, label=label)
        image, path = placed(root, name)
        return Sample(key_in(row.values) or key_of_name(name), image, captions, path, label)
