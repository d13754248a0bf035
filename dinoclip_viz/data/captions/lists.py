"""Lists of images and captions: JSON, JSONL, CSV and TSV files with column names in common use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

from dinoclip_viz.data.base import Sample, SourceError, Unreadable
from dinoclip_viz.data.captions.columns import IMAGES, captions_in, image_in, key_in, label_in
from dinoclip_viz.data.captions.rows import Row, rows_of
from dinoclip_viz.data.captions.splits import check_splits, splits_in
from dinoclip_viz.data.locations import images_root, key_of_name, located, shown
from dinoclip_viz.data.texts import UTF8

_PEEK = 20  # rows used to find the folder that paths start from


@dataclass(frozen=True)
class ListSource:
    """The images of a list; consecutive rows of one image are one sample with several captions.

    All but .json is read row by row. A row that is invalid or has no image becomes an unreadable sample.

    Attributes:
        file: .json, .jsonl, .csv, .tsv or .txt.
        images: folder that relative paths start from; by default the list's folder, or a usual folder next to it.
        split: only the rows with this value in the column `split`; "train+val" joins two. None for all rows.
        encoding: of the file.
    """

    file: Path
    images: Path | None = None
    split: str | None = None
    encoding: str = UTF8

    @property
    def name(self) -> str:
        """The path of the list."""
        return shown(self.file)

    @property
    def count(self) -> int | None:
        """The number of samples of a .json file; None for files that are read row by row."""
        return sum(1 for _ in self.samples()) if self.file.suffix.lower() == ".json" else None

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples in the list's order.

        Raises:
            SourceError: the file cannot be read, is empty, is not a list of images, or has no such split.
        """
        return islice(self._samples(), start, None)

    def _samples(self) -> Iterator[Sample]:
        rows = rows_of(self.file, self.encoding)
        head = list(islice(rows, _PEEK))
        if not head:
            raise SourceError(f"{self.name}: no rows; expected an image and its captions in each")
        if self.split and not any("split" in row.values for row in head):
            raise SourceError(f"{self.name}: no column `split` for split {shown(self.split)}; omit split")
        root = self.images or images_root(self.file.parent, [image_in(row.values) for row in head])
        pending: Sample | None = None
        captions: list[str] = []
        for row in self._of_split(chain(head, rows)):
            sample = self._sample(row, root)
            if pending and sample.path and sample.path == pending.path:
                captions += sample.captions
                continue
            if pending:
                yield replace(pending, captions=tuple(captions))
            pending, captions = sample, list(sample.captions)
        if pending:
            yield replace(pending, captions=tuple(captions))

    def _of_split(self, rows: Iterator[Row]) -> Iterator[Row]:
        """The rows of the requested splits, and the invalid ones."""
        if self.split is None:
            yield from rows
            return
        wanted = splits_in(self.split)
        seen: set[str] = set()
        for row in rows:
            split = str(row.values.get("split", ""))
            seen.add(split)
            if row.fault or split in wanted:
                yield row
        check_splits(self.file, wanted, sorted(seen))

    def _sample(self, row: Row, root: Path) -> Sample:
        name = image_in(row.values)
        captions, label = captions_in(row.values), label_in(row.values)
        if row.fault or not name:
            position = f"{'row' if self.file.suffix.lower() == '.json' else 'line'} {row.number}"
            fault = row.fault or f"no image; expected one in a column of {', '.join(IMAGES)}"
            key = key_in(row.values) or f"{shown(self.file.name)}:{row.number}"
            return Sample(key, Unreadable(f"{self.name}, {position}: {shown(fault)}"), captions, label=label)
        image, path = located(root, name)
        return Sample(key_in(row.values) or key_of_name(name), image, captions, path, label)
