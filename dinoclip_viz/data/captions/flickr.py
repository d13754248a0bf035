"""Flickr8k and Flickr30k in their published files: token files, split files, a folder of images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

from dinoclip_viz.data.base import Sample, SourceError, Unreadable
from dinoclip_viz.data.captions.splits import check_splits, name_with_split, splits_in
from dinoclip_viz.data.locations import images_root, located, shown
from dinoclip_viz.data.texts import NOT_UTF8, UTF8, is_utf8, lines_of

TOKEN_FILES = ("Flickr8k.token.txt", "results_20130124.token", "Flickr8k.lemma.token.txt")
"""Names of the published caption files, in order of preference."""

_TOKEN = re.compile(r"([^\t]+?)#\d+\t(.*)")
_ENDING = re.compile(r"\.(jpe?g|png)(\.\d+)?$", re.IGNORECASE)  # one image of Flickr8k is named ...jpg.1
_SPLITS = {"train": "train", "dev": "dev", "val": "dev", "test": "test"}
_PEEK = 20  # lines read to detect the layout


@dataclass(frozen=True)
class FlickrSource:
    """The images of a token file (lines of `name.jpg#0<TAB>caption`), which is read line by line.

    Attributes:
        file: `Flickr8k.token.txt`, `Flickr8k.lemma.token.txt` or `results_20130124.token`.
        images: folder of the images; by default the first of the usual folders next to the file.
        split: train, dev (or val) or test, or several joined by "+": the images listed in
            `Flickr_8k.trainImages.txt` and so on, next to the token file. None for all images.
        encoding: of the token file and the split files.
    """

    file: Path
    images: Path | None = None
    split: str | None = None
    encoding: str = UTF8

    @property
    def name(self) -> str:
        """The path of the token file, and the split."""
        return name_with_split(self.file, self.split)

    @property
    def count(self) -> int | None:
        """The number of samples; the file is read to count them."""
        return sum(1 for _ in self.samples())

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples in the token file's order; images only listed in a split come last, without captions.

        Raises:
            SourceError: a file cannot be read, no line has this layout, or there is no such split.
        """
        return islice(self._samples(), start, None)

    def _samples(self) -> Iterator[Sample]:
        matches = [_TOKEN.match(line) for line in islice(lines_of(self.file, self.encoding), _PEEK)]
        names = [match[1] for match in matches if match]
        if not names:
            expected = "expected lines of 'name.jpg#0<TAB>caption'"
            raise SourceError(f"{shown(self.file)}: no caption in the first {_PEEK} lines; {expected}")
        root = self.images or images_root(self.file.parent, names)
        wanted = self._wanted()
        left = dict(wanted or {})
        for (name, fault), lines in groupby(self._lines(), key=lambda line: line[:2]):
            captions = tuple(caption for *_, caption in lines if caption)
            if fault:
                yield Sample(fault.split(":")[0], Unreadable(f"{shown(self.file)}, {fault}"), captions)
            elif wanted is None or name in wanted:
                left.pop(name, None)
                yield _sample(root, name, captions)
        yield from (_sample(root, name, ()) for name in left)

    def _lines(self) -> Iterator[tuple[str, str, str]]:
        """For each line the image's name, the fault of the line or "", and the caption."""
        for number, line in enumerate(lines_of(self.file, self.encoding), start=1):
            match = _TOKEN.match(line)
            if match and is_utf8(line):
                yield match[1], "", match[2].strip()
            elif line.strip():
                fault = "expected 'name.jpg#0<TAB>caption'" if is_utf8(line) else NOT_UTF8
                yield "", f"line {number}: {fault}", ""

    def _wanted(self) -> dict[str, None] | None:
        """The names in the requested splits, in their order; None without a split."""
        if self.split is None:
            return None
        wanted: dict[str, None] = {}
        asked = splits_in(self.split)
        check_splits(self.file, (_SPLITS.get(split, split) for split in asked), dict.fromkeys(_SPLITS.values()))
        for split in asked:
            file = self.file.parent / f"Flickr_8k.{_SPLITS[split]}Images.txt"
            if not file.is_file():
                raise SourceError(f"{shown(file)}: no such file; expected this list of the split {shown(split)}")
            wanted.update(dict.fromkeys(line.strip() for line in lines_of(file, self.encoding) if line.strip()))
        return wanted


def is_token_file(file: Path, encoding: str = UTF8) -> bool:
    """Whether the first line of a text file has Flickr's layout.

    Raises:
        SourceError: the file cannot be read.
    """
    return any(_TOKEN.match(line) for line in islice(lines_of(file, encoding), 1))


def _sample(root: Path, name: str, captions: tuple[str, ...]) -> Sample:
    image, path = located(root, name)
    return Sample(shown(_ENDING.sub("", name)), image, captions, path)
