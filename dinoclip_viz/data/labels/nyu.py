"""NYU Depth v2 as linear depth is measured on it: a list of images and depth maps, 16-bit PNG in millimetres.

The split is that of Eigen et al. 2014 in the files that BTS (Lee et al. 2019) made of it and that AdaBins and DINOv2
take: about 24,000 training frames and the 654 official test images of 640 x 480. Each line of a list is

    bathroom/rgb_00045.jpg bathroom/sync_depth_00045.png 518.8579

the image, its depth map, and the focal length (not used), with or without a slash before the paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.data.base import Sample, SourceError
from dinoclip_viz.data.captions.rows import lines_of
from dinoclip_viz.data.labels.label_files import read_depth
from dinoclip_viz.data.locations import is_image_name, shown

NYU_RANGE = (1e-3, 10.0)
"""Metres above the first and up to the second count."""

_PLACES = ("", "nyu", "sync", "train", "test", "official_splits/train", "official_splits/test")
_PEEK = 20


@dataclass(frozen=True)
class NyuSource:
    """The images of one list with their depth.

    Attributes:
        file: the list.
        folder: what its paths start from; by default a usual folder next to the list.
        unit: metres of one step of the depth maps.
    """

    file: Path
    folder: Path | None = None
    unit: float = 0.001

    @property
    def name(self) -> str:
        """The list's path."""
        return shown(self.file)

    @property
    def count(self) -> int | None:
        """How many lines it has."""
        return len(self._rows)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Depth alone."""
        return ("depth",)

    @property
    def depth_range(self) -> tuple[float, float]:
        """`NYU_RANGE`."""
        return NYU_RANGE

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The images in the list's order.

        Raises:
            SourceError: it cannot be read, or a line is no pair of files.
        """
        for key in list(self._rows)[start:]:
            path = self._root / key
            yield Sample(key, path, path=shown(path))

    def names(self, kind: str) -> tuple[str, ...]:
        """None: depth has no classes."""
        self._check(kind)
        return ()

    def truth(self, key: str, kind: str) -> NDArray[np.generic]:
        """The depth map of a line."""
        self._check(kind)
        if key not in self._rows:
            raise SourceError(f"{self.name}: no image {shown(key)[:100]}; expected a path as the list has it")
        return read_depth(self._root / self._rows[key], self.unit)

    def _check(self, kind: str) -> None:
        if kind != "depth":
            raise SourceError(f"{self.name}: no ground truth of kind {kind!r}; this source has depth")

    @cached_property
    def _rows(self) -> dict[str, str]:
        """Image -> depth map, as paths without a slash in front."""
        rows: dict[str, str] = {}
        for number, line in enumerate(lines_of(self.file), start=1):
            words = line.split()
            if not words or words[1:2] == ["None"]:  # BTS' lists have a few images without depth
                continue
            if not _is_row(words):
                raise SourceError(
                    f"{self.name}, line {number}: {shown(line.strip())[:60]!r}; expected image, depth map, focal length"
                )
            rows[words[0].lstrip("/")] = words[1].lstrip("/")
        if not rows:
            raise SourceError(f"{self.name}: an empty list; expected lines of image, depth map and focal length")
        return rows

    @cached_property
    def _root(self) -> Path:
        if self.folder is not None:
            return self.folder
        first = list(self._rows)[:_PEEK]
        places = [self.file.parent / place for place in _PLACES]
        return next((place for place in places if any((place / name).is_file() for name in first)), places[0])


def is_nyu_list(file: Path) -> bool:
    """Whether a text file's first line names an image and a depth map."""
    if file.suffix.lower() != ".txt":
        return False
    first = next((line.split() for line in lines_of(file) if line.strip()), [])
    return _is_row(first)


def nyu_lists(folder: Path) -> list[Path]:
    """The lists that lie in a folder, sorted by name."""
    return [file for file in sorted(folder.glob("*.txt")) if is_nyu_list(file)]


def _is_row(words: list[str]) -> bool:
    return len(words) in (2, 3) and is_image_name(words[0]) and (is_image_name(words[1]) or words[1] == "None")
