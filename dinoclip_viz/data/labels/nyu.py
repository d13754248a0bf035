"""NYU Depth v2 for linear probes of depth: a list of images and 16-bit depth maps in millimetres.

The split is that of Eigen et al. 2014, in the files of BTS (Lee et al. 2019), which AdaBins and DINOv2 use: about
24,000 training frames and the 654 official test images of 640 x 480 pixels. Each line of a list is

    bathroom/rgb_00045.jpg bathroom/sync_depth_00045.png 518.8579

that is, the image, its depth map and the focal length (unused); a leading slash of a path is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.data.base import Sample, SourceError
from dinoclip_viz.data.labels.label_files import read_depth
from dinoclip_viz.data.locations import found_in, is_image_name, shown
from dinoclip_viz.data.texts import lines_of

NYU_RANGE = (1e-3, 10.0)
"""The evaluated depths in metres: above the first, up to the second."""

_FOLDERS = ("", "nyu", "sync", "train", "test", "official_splits/train", "official_splits/test")
_PEEK = 20  # images used to find their folder


@dataclass(frozen=True)
class NyuSource:
    """The images of one list with their depth maps.

    Attributes:
        file: the list.
        folder: folder that its paths start from; None for a usual folder next to the list.
        unit: metres per step of the depth maps.
    """

    file: Path
    folder: Path | None = None
    unit: float = 0.001

    @property
    def name(self) -> str:
        """The path of the list."""
        return shown(self.file)

    @property
    def count(self) -> int | None:
        """The number of images with a depth map."""
        return len(self._rows)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Only "depth"."""
        return ("depth",)

    @property
    def depth_range(self) -> tuple[float, float]:
        """`NYU_RANGE`."""
        return NYU_RANGE

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The images in the list's order.

        Raises:
            SourceError: the list cannot be read, or a line is not an image and a depth map.
        """
        for key in list(self._rows)[start:]:
            path = found_in(self._root, key)
            yield Sample(key, path, path=shown(path))

    def names(self, kind: str) -> tuple[str, ...]:
        """An empty tuple: depth has no classes."""
        self._check(kind)
        return ()

    def truth(self, key: str, kind: str) -> NDArray[np.generic]:
        """The depth map of an image."""
        self._check(kind)
        if key not in self._rows:
            raise SourceError(f"{self.name}: no image {shown(key)[:100]}; expected a path as in the list")
        return read_depth(found_in(self._root, self._rows[key]), self.unit)

    def _check(self, kind: str) -> None:
        if kind != "depth":
            raise SourceError(f"{self.name}: no ground truth of kind {kind!r}; this source has depth")

    @cached_property
    def _rows(self) -> dict[str, str]:
        """Image -> depth map, as paths without a leading slash."""
        rows: dict[str, str] = {}
        for number, line in enumerate(lines_of(self.file), start=1):
            words = line.split()
            if not words or words[1:2] == ["None"]:  # a few images in BTS' lists have no depth
                continue
            if not _is_row(words):
                raise SourceError(
                    f"{self.name}, line {number}: {shown(line.strip())[:60]!r}; expected image, depth map, focal length"
                )
            rows[words[0].lstrip("/\\")] = words[1].lstrip("/\\")
        if not rows:
            raise SourceError(f"{self.name}: an empty list; expected lines of image, depth map and focal length")
        return rows

    @cached_property
    def _root(self) -> Path:
        if self.folder is not None:
            return self.folder
        first = list(self._rows)[:_PEEK]
        roots = [self.file.parent / name for name in _FOLDERS]
        return next((root for root in roots if any(found_in(root, name).is_file() for name in first)), roots[0])


def is_nyu_list(file: Path) -> bool:
    """Whether the first line of a text file has an image and a depth map."""
    if file.suffix.lower() != ".txt":
        return False
    first = next((line.split() for line in lines_of(file) if line.strip()), [])
    return _is_row(first)


def nyu_lists(folder: Path) -> list[Path]:
    """The lists in a folder, sorted by name."""
    return [file for file in sorted(folder.glob("*.txt")) if is_nyu_list(file)]


def _is_row(words: list[str]) -> bool:
    return len(words) in (2, 3) and is_image_name(words[0]) and (is_image_name(words[1]) or words[1] == "None")
