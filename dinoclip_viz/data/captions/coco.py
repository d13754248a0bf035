"""COCO's caption annotations and Karpathy's splits of COCO, Flickr8k and Flickr30k."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from dinoclip_viz.data.base import Sample, SourceError, Unreadable
from dinoclip_viz.data.captions.columns import captions_in, image_in, named, texts_in
from dinoclip_viz.data.captions.splits import check_splits, name_with_split, splits_in
from dinoclip_viz.data.locations import found_in, images_root, key_of_name, located, shown
from dinoclip_viz.data.texts import UTF8, read_json

SPLITS = ("train", "restval", "val", "test")
"""Karpathy's splits in the order of the samples; COCO's training set is train and restval together."""

_PEEK = 20  # images used to find their folder


@dataclass(frozen=True)
class CocoSource:
    """The images of a COCO annotation file with their captions, in the file's order; it is read into memory.

    Attributes:
        file: `captions_val2017.json` or another of its layout.
        images: folder of the images; by default the first of the usual folders next to the file.
        encoding: of the file.
    """

    file: Path
    images: Path | None = None
    encoding: str = UTF8

    @property
    def name(self) -> str:
        """The path of the annotation file."""
        return shown(self.file)

    @property
    def count(self) -> int | None:
        """The number of samples; the file is read to count them."""
        return sum(1 for _ in self.samples())

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples in the order of `images`; unlisted images with captions come last, unreadable.

        Raises:
            SourceError: the file cannot be read, or has no captions in COCO's layout.
        """
        return islice(self._samples(), start, None)

    def _samples(self) -> Iterator[Sample]:
        images, parsed = _images(self.file, self.encoding)
        captions = self._captions(parsed)
        names = [image_in({"file_name": row.get("file_name")}) for row in images]
        root = self.images or images_root(self.file.parent, names[:_PEEK])
        for number, (row, file_name) in enumerate(zip(images, names, strict=True), start=1):
            identity = str(row.get("id", ""))
            texts = tuple(captions.pop(identity, ()))
            if not file_name:
                reason = f"{self.name}, image {number}: no file_name; expected the image's path"
                yield Sample(identity or f"{self.file.name}:{number}", Unreadable(reason), texts)
                continue
            image, path = located(root, file_name)
            yield Sample(shown(identity) or key_of_name(file_name), image, texts, path)
        for identity, left in captions.items():
            reason = f"{self.name}: captions of image {shown(identity)}, which `images` does not list"
            yield Sample(shown(identity), Unreadable(reason), tuple(left))

    def _captions(self, parsed: Mapping[str, object]) -> dict[str, list[str]]:
        """The captions of each image id."""
        annotations = parsed.get("annotations", [])
        rows = [row for row in annotations if isinstance(row, Mapping)] if isinstance(annotations, list) else []
        captions: dict[str, list[str]] = {}
        for row in rows:
            if texts := texts_in(row.get("caption")):
                captions.setdefault(str(row.get("image_id", "")), []).extend(texts)
        if rows and not captions:
            keys = ", ".join(map(str, list(rows[0])[:8]))
            raise SourceError(f"{self.name}: annotations of {shown(keys)} without captions; expected captions_*.json")
        return captions


@dataclass(frozen=True)
class KarpathySource:
    """The images of `dataset_coco.json`, `dataset_flickr8k.json` or `dataset_flickr30k.json`, read into memory.

    Attributes:
        file: the .json file.
        images: folder of the images, or of COCO's `train2014` and `val2014`; by default a usual folder.
        split: train, restval, val, test, or several joined by "+"; None for all, in this order.
        encoding: of the file.
    """

    file: Path
    images: Path | None = None
    split: str | None = None
    encoding: str = UTF8

    @property
    def name(self) -> str:
        """The path of the file, and the split."""
        return name_with_split(self.file, self.split)

    @property
    def count(self) -> int | None:
        """The number of samples; the file is read to count them."""
        return sum(1 for _ in self.samples())

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The samples, split by split, each split in the file's order.

        Raises:
            SourceError: the file cannot be read, has another layout, or has no such split.
        """
        return islice(self._samples(), start, None)

    def _samples(self) -> Iterator[Sample]:
        by_split: dict[str, list[Mapping[str, object]]] = {}
        images, _ = _images(self.file, self.encoding)
        for row in images:
            by_split.setdefault(str(row.get("split", "")), []).append(row)
        known = [*(name for name in SPLITS if name in by_split), *(name for name in by_split if name not in SPLITS)]
        wanted = splits_in(self.split) if self.split else known
        check_splits(self.file, wanted, known)
        rows = [row for name in wanted for row in by_split[name]]
        root, with_folder = self._layout(rows[:_PEEK])
        for number, row in enumerate(rows, start=1):
            key = next((str(row[name]) for name in ("cocoid", "imgid", "filename") if name in row), f"{number}")
            name, captions = _path(row, with_folder), captions_in(named(row))
            if not name:
                reason = f"{self.name}, image {number}: no filename; expected the image's name"
                yield Sample(shown(key), Unreadable(reason), captions)
                continue
            image, path = located(root, name)
            yield Sample(shown(key), image, captions, path)

    def _layout(self, rows: Sequence[Mapping[str, object]]) -> tuple[Path, bool]:
        """The folder that paths start from, and whether `filepath` (such as COCO's val2014) is a folder in it."""
        with_folder, without = ([_path(row, folder) for row in rows] for folder in (True, False))
        root = self.images or images_root(self.file.parent, with_folder)
        if any(found_in(root, name).is_file() for name in with_folder if name):
            return root, True
        flat = self.images or images_root(self.file.parent, without)
        found = any(found_in(flat, name).is_file() for name in without if name)
        return (flat, False) if found else (root, True)


def is_coco(parsed: object) -> bool:
    """Whether parsed JSON has the layout of COCO's annotations."""
    return isinstance(parsed, Mapping) and isinstance(parsed.get("images"), list) and not is_karpathy(parsed)


def is_karpathy(parsed: object) -> bool:
    """Whether parsed JSON has the layout of Karpathy's splits."""
    rows = parsed.get("images") if isinstance(parsed, Mapping) else None
    return isinstance(rows, list) and any(isinstance(row, Mapping) and "sentences" in row for row in rows[:_PEEK])


def _path(row: Mapping[str, object], with_folder: bool) -> str:
    """The path of an image in Karpathy's layout, "" without one."""
    name, folder = row.get("filename"), row.get("filepath")
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        return ""
    return os.path.join(folder, name) if with_folder and isinstance(folder, str) else name


def _images(file: Path, encoding: str) -> tuple[list[Mapping[str, object]], Mapping[str, object]]:
    """The rows of `images`, and the whole parsed file."""
    parsed = read_json(file, encoding)
    if not isinstance(parsed, Mapping) or not isinstance(rows := parsed.get("images"), list):
        raise SourceError(f"{shown(file)}: no list `images`; expected COCO's annotations or Karpathy's splits")
    if not rows:
        raise SourceError(f"{shown(file)}: an empty list `images`; expected images in it")
    return [row if isinstance(row, Mapping) else {} for row in rows], parsed
