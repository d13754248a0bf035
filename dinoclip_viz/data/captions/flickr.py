"""Flickr8k and Flickr30k as they were published: token files, split files, a folder of images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

from dinoclip_viz.data.base import Sample, SourceError, Unreadable
from dinoclip_viz.data.captions.rows import NOT_UTF8, UTF8, is_utf8, lines_of, name_with_split
from dinoclip_viz.data.locations import images_root, placed, shown

TOKEN_FILES = ("Flickr8k.token.txt", "results_20130124.token", "Flickr8k.lemma.token.txt")
"""Names of the published caption files, the one that is preferred first."""

_TOKEN = re.compile(r"([^\t]+?)#\d+\t(.*)")
_ENDING = re.compile(r"\.(jpe?g|png)(\.\d+)?$", re.IGNORECASE)  # Flickr8k names one image ...jpg.1
_SPLITS = {"train": "train", "dev": "dev", "val": "dev", "test": "test"}
_PEEK = 20  # lines that are looked at


@dataclass(frozen=True)
class FlickrSource:
    """The images of a token file (`name.jpg#0<TAB>caption`), read line by line, captions joined image by image.

    Attributes:
        file: `Flickr8k.token.txt`, `Flickr8k.lemma.token.txt` or `results_20130124.token`.
        images: folder of the images; by default the first of the usual folders next to the file.
        split: train, dev (or val) or test, or several joined by "+": the images that `Flickr_8k.trainImages.txt` and
            its like, next to the token file, name. None is all of them.
        encoding: of the text.
    """

    file: Path
    images: Path | None = None
    split: str | None = None
    encoding: str = UTF8

    @property
    def name(self) -> str:
        """The token file's path, and the split."""
        return name_with_split(self.file, self.split)

    @property
    def count(self) -> int | None:
        """How many samples; the file is read for it."""
        return sum(1 for _ in self.samples())

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples in the token file's order; images of a split that it omits come last, without captions.

        Raises:
            SourceError: a file cannot be read, no line is of this layout, or there is no such split.
        """
        return islice(self._samples(), start, None)

    def _samples(self) -> Iterator[Sample]:
        matches = [_TOKEN.match(line) for line in islice(lines_of(self.file, self.encoding), _PEEK)]
        names = [match[1] for match in matches if match]
        if not names:
            raise SourceError(f"{shown(self.file)}: no line like 'name.jpg#0<TAB>caption' among the first {_PEEK}")
        root = self.images or images_root(self.file.parent, names)
        wanted = self._wanted()
        left = dict.fromkeys(wanted or ())
        for (name, fault), lines in groupby(self._lines(), key=lambda line: line[:2]):
            captions = tuple(caption for *_, caption in lines if caption)
            if fault:
                yield Sample(fault.split(":")[0], Unreadable(f"{shown(self.file)}, {fault}"), captions)
            elif wanted is None or name in wanted:
                left.pop(name, None)
                yield _sample(root, name, captions)
        yield from (_sample(root, name, ()) for name in left)

    def _lines(self) -> Iterator[tuple[str, str, str]]:
        """Of each line the image's name, what is wrong with the line or "", and the caption."""
        for number, line in enumerate(lines_of(self.file, self.encoding), start=1):
            match = _TOKEN.match(line)
            if match and is_utf8(line):
                yield match[1], "", match[2].strip()
            elif line.strip():
                fault = "expected 'name.jpg#0<TAB>caption'" if is_utf8(line) else NOT_UTF8
                yield "", f"line {number}: {fault}", ""

    def _wanted(self) -> set[str] | None:
        if self.split is None:
            return None
        wanted: set[str] = set()
        for split in self.split.split("+"):
            if split not in _SPLITS:
                raise SourceError(f"{shown(self.file)}: no split {shown(split)}; its splits: train, dev, test")
            file = self.file.parent / f"Flickr_8k.{_SPLITS[split]}Images.txt"
            if not file.is_file():
                raise SourceError(f"{shown(file)}: no such file; a split needs it next to {shown(self.file.name)}")
            wanted.update(line.strip() for line in lines_of(file) if line.strip())
        return wanted


def is_token_file(file: Path, encoding: str = UTF8) -> bool:
    """Whether the first line of a text file is of Flickr's layout.

    Raises:
        SourceError: the file cannot be read.
    """
    return any(_TOKEN.match(line) for line in islice(lines_of(file, encoding), 1))


def _sample(root: Path, name: str, captions: tuple[str, ...]) -> Sample:
    image, path = placed(root, name)
    return Sample(shown(_ENDING.sub("", name)), image, captions, path)
