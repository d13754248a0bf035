"""Folders of images with ground truth: images/ with masks/, parts/ or depth/, as `playground draw` writes them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.data.base import Sample, SourceError
from dinoclip_viz.data.labels.label_files import UNKNOWN, read_depth, read_labels, relabelled
from dinoclip_viz.data.locations import is_image_name, shown
from dinoclip_viz.data.texts import is_utf8, lines_of, read_json
from dinoclip_viz.images import ImageError

FOLDERS = {"class": "masks", "parts": "parts", "depth": "depth"}
"""Kind of ground truth -> folder next to images/."""
LISTS = {"class": ("classes", "mask_classes"), "parts": ("parts", "part_classes")}
"""Kind of ground truth -> stems of its files of class names: .json, .txt, .yaml or .yml."""
NO_CLASS = frozenset(("unlabeled", "unlabelled", "unknown", "ignore", "void"))
"""Names of labels that are not classes; their pixels are ignored."""

_ENDINGS = (".json", ".txt", ".yaml", ".yml")
_ENTRY = re.compile(r"\s+(\d{1,6}):\s*(.+)")
_SKY = 39.999  # metres; the playground's sky has no distance and is drawn at 40


@dataclass(frozen=True)
class MaskFolderSource:
    """The images in images/ with ground truth, sorted by name.

    Class names are read from scenes.json (of `playground draw`, whose masks hold the index + 1, and 0 for the
    background), or from classes.json, classes.txt, mask_classes.yaml and so on: a list, one line per class, or
    {number in the masks: name}. The names in `NO_CLASS` and the number 255 mean unknown. Depth maps are 16-bit PNG in
    millimetres, 0 where unknown.

    Attributes:
        folder: a folder with images/ and at least one of masks/, parts/, depth/.
    """

    folder: Path

    @property
    def name(self) -> str:
        """The path of the folder."""
        return shown(self.folder)

    @property
    def count(self) -> int | None:
        """The number of images with ground truth of any kind."""
        return len(self._stems)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds whose folder exists."""
        return tuple(kind for kind, name in FOLDERS.items() if (self.folder / name).is_dir())

    @property
    def depth_range(self) -> tuple[float, float]:
        """The range of 16 bits of millimetres; for `playground draw`, all but the sky."""
        return (1.0, _SKY) if (self.folder / "scenes.json").is_file() else (0.001, 65.535)

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The images.

        Raises:
            SourceError: no image has ground truth.
        """
        for stem, name in list(self._stems.items())[start:]:
            path = self.folder / "images" / name
            yield Sample(stem, path, path=shown(path))

    def names(self, kind: str) -> tuple[str, ...]:
        """The classes in the order of the labels; none for depth.

        Raises:
            SourceError: no file has the names, or it cannot be read.
        """
        self._check(kind)
        return () if kind == "depth" else self._classes[kind][0]

    def truth(self, key: str, kind: str) -> NDArray[np.generic]:
        """The mask or depth map of an image."""
        self._check(kind)
        if key not in self._stems:
            raise SourceError(f"{self.name}: no image {shown(key)[:100]}; expected a file's stem")
        file = self.folder / FOLDERS[kind] / f"{key}.png"
        if not file.is_file():
            raise ImageError(f"{shown(file)}: no such file; the image has no ground truth of kind {kind}")
        return read_depth(file) if kind == "depth" else relabelled(read_labels(file), self._classes[kind][1], file)

    def _check(self, kind: str) -> None:
        if kind not in self.kinds:
            raise SourceError(f"{self.name}: no ground truth of kind {kind!r}; this source has {', '.join(self.kinds)}")

    @cached_property
    def _stems(self) -> dict[str, str]:
        """Stem -> file name of each image with ground truth."""
        files = [name for kind in self.kinds for name in _names(self.folder / FOLDERS[kind])]
        known = {Path(name).stem for name in files if name.endswith(".png")}
        stems = {Path(name).stem: name for name in _names(self.folder / "images") if Path(name).stem in known}
        if not stems:
            raise SourceError(f"{self.name}: no image in images/ has ground truth; expected masks/NAME.png")
        return stems

    @cached_property
    def _classes(self) -> dict[str, tuple[tuple[str, ...], dict[int, int]]]:
        """Kind -> (class names, number in the file -> label)."""
        return {kind: _numbered(_listed(self.folder, kind), self.name) for kind in self.kinds if kind in LISTS}


def is_mask_folder(folder: Path) -> bool:
    """Whether a folder has images/ and a folder of ground truth."""
    return (folder / "images").is_dir() and any((folder / name).is_dir() for name in FOLDERS.values())


def read_class_names(file: Path) -> dict[int, str]:
    """Number in the masks -> class name, from a .json, .txt, .yaml or .yml file.

    Of YAML only the block `classes:` or `names:` with lines `number: name` is read, as in published files.

    Raises:
        SourceError: the file cannot be read, or has no class names.
    """
    if file.suffix == ".json":
        found = _of_json(read_json(file))
    elif file.suffix == ".txt":
        lines = [line.strip() for line in lines_of(file)]
        found = dict(enumerate(line for line in lines if line))
    else:
        found, within = {}, False
        for line in lines_of(file):
            if line and not line[0].isspace():
                within = line.split("#")[0].strip() in ("classes:", "names:")
            elif within and (entry := _ENTRY.fullmatch(line.split(" #")[0].rstrip())):
                found[int(entry[1])] = entry[2].strip("'\"")
    if not found or not all(map(is_utf8, found.values())):
        raise SourceError(f"{shown(file)}: no class names; expected a list of them, or {{number: name}}, in UTF-8")
    return found


def _listed(folder: Path, kind: str) -> dict[int, str]:
    scenes = folder / "scenes.json"
    if scenes.is_file():
        parsed = read_json(scenes)
        names = parsed.get("classes" if kind == "class" else "parts") if isinstance(parsed, Mapping) else None
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return {0: "background", **{index + 1: name for index, name in enumerate(names)}}
    for stem in LISTS[kind]:
        for ending in _ENDINGS:
            if (folder / f"{stem}{ending}").is_file():
                return read_class_names(folder / f"{stem}{ending}")
    raise SourceError(
        f"{shown(folder)}: no class names of {FOLDERS[kind]}/; expected {LISTS[kind][0]}.txt, one name per line"
    )


def _numbered(listed: Mapping[int, str], where: str) -> tuple[tuple[str, ...], dict[int, int]]:
    """The class names in the order of their numbers, and number -> label."""
    classes = [number for number in sorted(listed) if listed[number].lower() not in NO_CLASS]
    if len(classes) > UNKNOWN:
        raise SourceError(f"{where}: {len(classes)} classes; expected at most {UNKNOWN}")
    table = {number: UNKNOWN for number in listed} | {number: label for label, number in enumerate(classes)}
    return tuple(listed[number] for number in classes), {UNKNOWN: UNKNOWN} | table


def _of_json(parsed: object) -> dict[int, str]:
    if isinstance(parsed, Mapping) and isinstance(parsed.get("classes"), list | Mapping):
        parsed = parsed["classes"]
    if isinstance(parsed, list):
        return {index: str(name) for index, name in enumerate(parsed)}
    entries = parsed.items() if isinstance(parsed, Mapping) else ()
    return {int(number): str(name) for number, name in entries if str(number).isdigit()}


def _names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if is_image_name(name) and not name.startswith("."))
    except OSError as error:
        raise SourceError(f"{shown(folder)}: cannot be read ({error.strerror}); expected a folder") from error
