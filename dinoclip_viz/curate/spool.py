"""Captions read from sources, and their matches, on disk while they are curated: memory does not grow with them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.curate.matching import Matches
from dinoclip_viz.data import Sample, Source, Unreadable
from dinoclip_viz.data.captions.parquet import ParquetSource
from dinoclip_viz.data.captions.selection import Reference
from dinoclip_viz.data.locations import is_address, shown

LISTED = 100
"""Samples without an image that are listed; all are counted."""

_KINDS = {"texts": np.uint64, "lengths": np.int32, "ids": np.int32, "captions": np.int32}


class Line(NamedTuple):
    """A sample as its line in the spool.

    Attributes:
        text: number of its source, its number in the source or "", and its row as JSON, between tabs.
        key, captions: of the sample.
        is_file: whether its image is a file or has an http(s) address.
    """

    text: str
    key: str
    captions: tuple[str, ...]
    is_file: bool

    @classmethod
    def of(cls, sample: Sample, source: int, number: int) -> Line:
        """The line of a sample of a source."""
        image = sample.image
        if isinstance(image, str):
            file = image if is_address(image) else os.path.abspath(image)
        else:
            file = os.path.abspath(image) if isinstance(image, Path) else ""
        return cls.made(file, source, number, sample.key, sample.captions, sample.label)

    @classmethod
    def made(
        cls, image: str, source: int, number: int | None, key: str, captions: tuple[str, ...], label: str | None
    ) -> Line:
        """The line of an image: its absolute path or address, "" where it is no file."""
        row: dict[str, object] = {"image": image, "key": key, "captions": captions}
        if label is not None:
            row["label"] = label
        return cls(f"{source}\t{'' if number is None else number}\t{json.dumps(row)}", key, captions, bool(image))


def captions_of(text: str) -> list[str]:
    """The captions of a line's text."""
    captions: list[str] = json.loads(text.split("\t", 2)[2])["captions"]
    return captions


def row_of(text: str, picked: NDArray[np.bool_] | None, references: Sequence[Reference] | None) -> str:
    """The row of a line's text, in a list or a selection: JSON and a line end.

    Args:
        text: of the line.
        picked: for each caption, whether it is in the row; None for all.
        references: for a selection, to each source.
    """
    source, number, row = text.removesuffix("\n").split("\t", 2)
    if references is None and picked is None:
        return f"{row}\n"
    values: dict[str, object] = json.loads(row)
    captions = values["captions"]
    if picked is not None and isinstance(captions, list):
        values["captions"] = [caption for caption, keep in zip(captions, picked, strict=True) if keep]
    if references is None:
        return json.dumps(values) + "\n"
    del values["image"]
    where = {"number": int(number)} if number else {}
    return json.dumps({**references[int(source)].row(), **where, **values}) + "\n"


@dataclass(frozen=True)
class Block:
    """Some samples' captions.

    Attributes:
        texts: (N,) hash of each caption and its key.
        matches: of the N captions.
        captions: (S,) number of captions of each sample.
    """

    texts: NDArray[np.uint64]
    matches: Matches
    captions: NDArray[np.int32]


def rows_of_block(
    block: Block, chosen: NDArray[np.bool_], lines: Iterator[str], references: Sequence[Reference] | None
) -> Iterator[tuple[int, str, str]]:
    """For each sample: position of its first caption in the block, its line's text, and its row, "" if none is chosen.

    Args:
        block: of N captions.
        chosen: (N,) whether each is in its row.
        lines: texts of the block's lines, and of those after it, which are not read.
        references: as in `row_of`.
    """
    starts = np.cumsum(block.captions) - block.captions
    counts = np.add.reduceat(chosen.astype(np.int32), starts)
    parts = zip(starts.tolist(), block.captions.tolist(), counts.tolist(), lines, strict=False)
    for start, count, picked, text in parts:
        if not picked:
            yield start, text, ""
        elif picked == count:
            yield start, text, row_of(text, None, references)
        else:
            yield start, text, row_of(text, chosen[start : start + count], references)


class Spool:
    """Lines and blocks in a folder, written once and then read as often as needed, in order.

    Attributes:
        samples, captions: their numbers.
        files: whether the image of every sample is a file or has an address.
    """

    def __init__(self, folder: Path) -> None:
        self._lines = folder / "lines.jsonl"
        self._files = {kind: folder / kind for kind in _KINDS}
        self._sizes: list[dict[str, int]] = []
        self._text = self._lines.open("w", encoding="utf-8")
        self._open = [file.open("wb") for file in self._files.values()]
        self.samples, self.captions, self.files = 0, 0, True

    def add(self, lines: Sequence[Line], block: Block) -> None:
        """Append samples and their captions."""
        arrays: tuple[NDArray[np.generic], ...] = (
            block.texts, block.matches.lengths, block.matches.ids, block.captions
        )  # fmt: skip
        self._text.write("".join(f"{line.text}\n" for line in lines))
        for file, array in zip(self._open, arrays, strict=True):
            array.tofile(file)
        self._sizes.append({kind: len(array) for kind, array in zip(_KINDS, arrays, strict=True)})
        self.samples += len(lines)
        self.captions += len(block.texts)
        self.files = self.files and all(line.is_file for line in lines)

    def close(self) -> None:
        """Finish writing."""
        for file in (self._text, *self._open):
            file.close()

    def blocks(self) -> Iterator[Block]:
        """The blocks in order."""
        opened = [file.open("rb") for file in self._files.values()]
        try:
            for sizes in self._sizes:
                arrays = [
                    np.fromfile(file, dtype, sizes[kind])
                    for file, (kind, dtype) in zip(opened, _KINDS.items(), strict=True)
                ]
                yield Block(arrays[0], Matches(arrays[2], arrays[1]), arrays[3])
        finally:
            for file in opened:
                file.close()

    def lines(self) -> Iterator[str]:
        """The texts of the lines in order."""
        with self._lines.open(encoding="utf-8") as file:
            yield from file


@dataclass
class SourceCounts:
    """What was read from sources.

    Attributes:
        samples: number of samples.
        without_captions: how many of them have no caption.
        failed: how many name no image.
        listed: key and reason of the first of those.
    """

    samples: int = 0
    without_captions: int = 0
    failed: int = 0
    listed: list[tuple[str, str]] = field(default_factory=list)


def lines_of_sources(sources: Sequence[Source], counts: SourceCounts, at_once: int) -> Iterator[list[Line]]:
    """Samples with captions, in order, so many captions at a time; images are not kept.

    Args:
        sources: the sources.
        counts: of what is read; added to.
        at_once: number of captions.

    Raises:
        SourceError: a source cannot be read.
    """
    lines: list[Line] = []
    held = 0
    for position, source in enumerate(sources):
        texts = replace(source, skip_bytes=True) if isinstance(source, ParquetSource) else source
        for number, sample in enumerate(texts.samples()):
            counts.samples += 1
            if isinstance(sample.image, Unreadable):
                counts.failed += 1
                if len(counts.listed) < LISTED:
                    counts.listed.append((sample.key, shown(sample.image.reason)))
            elif not sample.captions:
                counts.without_captions += 1
            else:
                lines.append(Line.of(sample, position, number))
                held += len(sample.captions)
            if held >= at_once:
                yield lines
                lines, held = [], 0
    if lines:
        yield lines
