"""Folders of images: captions from a file in the folder or from texts next to the images, classes from folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from dinoclip_viz.data.base import Sample, SourceError, Unreadable
from dinoclip_viz.data.captions.files import source_of_file
from dinoclip_viz.data.captions.flickr import TOKEN_FILES
from dinoclip_viz.data.captions.rows import UTF8, is_utf8, lines_of
from dinoclip_viz.data.locations import SUFFIXES, is_image_name, key_of_name, shown

CAPTION_FILES = (
    "scenes.json",
    "index.json",
    *(f"captions.{ending}" for ending in ("json", "jsonl", "csv", "tsv", "txt")),
    "metadata.jsonl",
    "metadata.csv",
    *TOKEN_FILES,
    "results.csv",
    "dataset_coco.json",
    "dataset_flickr8k.json",
    "dataset_flickr30k.json",
)
"""Files in a folder that its captions are taken from; the first that is there counts."""

NO_CLASSES = frozenset(("train", "val", "valid", "validation", "dev", "test", "images", "masks"))
"""Names of folders that are parts of a data set, never classes."""


@dataclass(frozen=True)
class FolderSource:
    """The images of a folder and of the folders in it, sorted by name; hidden ones are skipped.

    With a caption file come its images in its order, whether or not they are there, then those that lie next to them
    and that it omits; folders within that have a metadata file of their own are read by it. Without, captions are
    the lines of a text of the same stem, and where every image lies in a folder of its class, that is its label.

    Attributes:
        folder: where the images are.
        encoding: of its caption file.
    """

    folder: Path
    encoding: str = UTF8

    @property
    def name(self) -> str:
        """The folder's path."""
        return shown(self.folder)

    @property
    def count(self) -> int | None:
        """How many samples, counted by listing them; None where the captions are read row by row."""
        captions = caption_file(self.folder)
        return sum(1 for _ in self.samples()) if captions is None or captions.suffix == ".json" else None

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples; the names of listed images are held in memory where there is a caption file.

        Raises:
            SourceError: there are no images, or the folder or its caption file cannot be read.
        """
        captions = caption_file(self.folder)
        if captions is not None:
            return islice(self._captioned(captions), start, None)
        if parts := self._parts():
            return islice((sample for part in parts for sample in self._of_part(part)), start, None)
        return self._plain(start)

    def _captioned(self, captions: Path) -> Iterator[Sample]:
        listed: dict[str, tuple[Path, set[str]]] = {}
        for sample in source_of_file(captions, encoding=self.encoding).samples():
            if isinstance(sample.image, Path):
                place, name = os.path.split(os.path.abspath(sample.image))
                listed.setdefault(place, (sample.image.parent, set()))[1].add(name)
            yield sample
        home = os.path.abspath(self.folder)
        for place, (folder, names) in sorted(listed.items()):
            if os.path.isdir(place) and os.path.commonpath((home, place)) == home:
                yield from self._beside(folder, names)

    def _beside(self, place: Path, listed: set[str]) -> Iterator[Sample]:
        """The images of one folder that its caption file omits."""
        for found in _found(place, nested=False):
            if found.path.name not in listed:
                yield Sample(self._key(found), found.path, path=shown(found.path))

    def _parts(self) -> list[Path]:
        """The folders directly within, if one of them has a metadata file of its own, as train and test may have."""
        folders = [Path(entry.path) for entry in _entries(self.folder) if entry.is_dir()]
        return folders if any(_metadata(folder) for folder in folders) else []

    def _of_part(self, part: Path) -> Iterator[Sample]:
        if _metadata(part) or any(True for _ in _found(part)):
            for sample in FolderSource(part).samples():
                yield replace(sample, key=f"{shown(part.name)}/{sample.key}")

    def _plain(self, start: int) -> Iterator[Sample]:
        classes = self._has_classes()
        empty = True
        for number, found in enumerate(_found(self.folder)):
            empty = False
            if number >= start:
                yield self._sample(found, classes)
        if empty:
            raise SourceError(f"{self.name}: no images in this folder; expected {', '.join(SUFFIXES)}")

    def _has_classes(self) -> bool:
        """Whether every image lies exactly one folder below."""
        folders = set()
        for found in _found(self.folder):
            parts = found.path.relative_to(self.folder).parts
            if len(parts) != 2:
                return False
            folders.add(parts[0].lower())
        return not folders & NO_CLASSES

    def _sample(self, found: _Found, classes: bool) -> Sample:
        path, key = shown(found.path), self._key(found)
        label = shown(found.path.parent.name) if classes else None
        if found.fault:
            return Sample(key, Unreadable(f"{path}: {found.fault}"), path=path)
        captions = _lines(found.text) if found.text else ()
        if captions is None:
            reason = f"{shown(found.text or '')}: not UTF-8 text; save the captions as UTF-8"
            return Sample(key, Unreadable(reason), path=path, label=label)
        return Sample(key, found.path, captions, path, label)

    def _key(self, found: _Found) -> str:
        path = Path(os.path.relpath(found.path, self.folder)).as_posix()
        return shown(path) if found.shares_stem else key_of_name(path)


@dataclass(frozen=True)
class _Found:
    """An image in a folder: the text of the same stem, whether another image shares it, and why it is unreadable."""

    path: Path
    text: Path | None = None
    shares_stem: bool = False
    fault: str = ""


def caption_file(folder: Path) -> Path | None:
    """The file that a folder's captions are taken from, None where there is none."""
    return next((folder / name for name in CAPTION_FILES if (folder / name).is_file()), None)


def _metadata(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("metadata.jsonl", "metadata.csv"))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, sorted by name, hidden ones skipped."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(f"{shown(folder)}: cannot be read ({error.strerror}); expected a folder") from error


def _found(folder: Path, nested: bool = True, above: tuple[str, ...] = ()) -> Iterator[_Found]:
    """The images in a folder, sorted; a link back to a folder above is not followed."""
    above = (*above, os.path.realpath(folder))
    try:
        entries = _entries(folder)
    except SourceError as error:
        if len(above) == 1:
            raise
        yield _Found(folder, fault=str(error))
        return
    texts = {entry.name for entry in entries if entry.name.endswith(".txt")}
    stems: dict[str, int] = {}
    for entry in entries:
        if is_image_name(entry.name):
            stem = os.path.splitext(entry.name)[0]
            stems[stem] = stems.get(stem, 0) + 1
    for entry in entries:
        if entry.is_dir():
            if nested and os.path.realpath(entry.path) not in above:
                yield from _found(Path(entry.path), nested, above)
        elif is_image_name(entry.name):
            stem = os.path.splitext(entry.name)[0]
            text = folder / f"{stem}.txt" if f"{stem}.txt" in texts else None
            yield _Found(Path(entry.path), text, stems[stem] > 1)


def _lines(text: Path) -> tuple[str, ...] | None:
    """The captions of a text next to an image, one per line; None where it is not UTF-8."""
    lines = [line.strip() for line in lines_of(text)]
    return tuple(line for line in lines if line) if all(map(is_utf8, lines)) else None
