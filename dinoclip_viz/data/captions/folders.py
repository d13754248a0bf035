"""Folders of images: captions from a file in the folder or text files next to the images, classes from subfolders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from dinoclip_viz.data.base import Sample, SourceError, Unreadable
from dinoclip_viz.data.captions.files import source_of_file
from dinoclip_viz.data.captions.flickr import TOKEN_FILES
from dinoclip_viz.data.locations import SUFFIXES, is_image_name, key_of_name, shown
from dinoclip_viz.data.texts import NOT_UTF8, UTF8, is_utf8, lines_of

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
"""Names of caption files in a folder, in order of preference."""

NO_CLASSES = frozenset(("train", "val", "valid", "validation", "dev", "test", "images", "masks"))
"""Names of folders that are splits or parts of a data set, never classes."""


@dataclass(frozen=True)
class FolderSource:
    """The images of a folder and its subfolders, sorted by name; hidden files are skipped.

    With a caption file, the samples are the file's images in its order, whether or not they exist, then the unlisted
    images in the same folders. Subfolders with a metadata file of their own are read by it. Without a caption file,
    captions are the lines of a text file of the same stem, and if every image is exactly one folder below, the name of
    that folder is its label.

    Attributes:
        folder: the folder of the images.
        encoding: of the caption file, or of the text files next to the images.
    """

    folder: Path
    encoding: str = UTF8

    @property
    def name(self) -> str:
        """The path of the folder."""
        return shown(self.folder)

    @property
    def count(self) -> int | None:
        """The number of samples, counted by listing them; None for a caption file that is read row by row."""
        captions = caption_file(self.folder)
        return sum(1 for _ in self.samples()) if captions is None or captions.suffix == ".json" else None

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples; with a caption file, the names of its images are held in memory.

        Raises:
            SourceError: the folder has no images, or it or its caption file cannot be read.
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
                parent, name = os.path.split(os.path.abspath(sample.image))
                listed.setdefault(parent, (sample.image.parent, set()))[1].add(name)
            yield sample
        home = os.path.abspath(self.folder)
        for parent, (folder, names) in sorted(listed.items()):
            if os.path.isdir(parent) and os.path.commonpath((home, parent)) == home:
                yield from self._unlisted(folder, names)

    def _unlisted(self, folder: Path, listed: set[str]) -> Iterator[Sample]:
        """The images of a folder that the caption file does not list."""
        for found in _found(folder, nested=False):
            if found.path.name not in listed:
                yield Sample(self._key(found), found.path, path=shown(found.path))

    def _parts(self) -> list[Path]:
        """The direct subfolders if one of them has a metadata file, as train and test may have."""
        folders = [Path(entry.path) for entry in _entries(self.folder) if entry.is_dir()]
        return folders if any(_metadata(folder) for folder in folders) else []

    def _of_part(self, part: Path) -> Iterator[Sample]:
        if _metadata(part) or any(True for _ in _found(part)):
            for sample in FolderSource(part, self.encoding).samples():
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
        """Whether every image is exactly one folder below, and none of these folders is a split."""
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
        try:
            captions = _lines(found.text, self.encoding) if found.text else ()
        except SourceError as error:
            return Sample(key, Unreadable(str(error)), path=path, label=label)
        return Sample(key, found.path, captions, path, label)

    def _key(self, found: _Found) -> str:
        path = Path(os.path.relpath(found.path, self.folder)).as_posix()
        return shown(path) if found.shares_stem else key_of_name(path)


@dataclass(frozen=True)
class _Found:
    """An image in a folder, the text file of its stem, whether other images have its stem, and its fault or ""."""

    path: Path
    text: Path | None = None
    shares_stem: bool = False
    fault: str = ""


def caption_file(folder: Path) -> Path | None:
    """The caption file of a folder, None without one."""
    return next((folder / name for name in CAPTION_FILES if (folder / name).is_file()), None)


def _metadata(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("metadata.jsonl", "metadata.csv"))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder, sorted by name, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise SourceError(f"{shown(folder)}: cannot be read ({error.strerror}); expected a folder") from error


def _found(folder: Path, nested: bool = True, above: tuple[str, ...] = ()) -> Iterator[_Found]:
    """The images in a folder, sorted; links to a parent folder are not followed."""
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


def _lines(text: Path, encoding: str) -> tuple[str, ...]:
    """The captions in the text file of an image, one per line."""
    lines = [line.strip() for line in lines_of(text, encoding)]
    if not all(map(is_utf8, lines)):
        raise SourceError(f"{shown(text)}: {NOT_UTF8}")
    return tuple(line for line in lines if line)
