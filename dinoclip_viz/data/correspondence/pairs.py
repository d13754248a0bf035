"""Pairs of playground scenes of one class with common points, and the source of pairs of a name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoclip_viz.data.base import Sample, SourceError
from dinoclip_viz.data.correspondence.spair import KeypointPair, SPairSource
from dinoclip_viz.data.locations import shown
from dinoclip_viz.playground import PARTS, Scene, stream

SIZE = 192
_LEAST = 48
"""A part of (size / 48)^2 pixels or more gets a point: 16 pixels at 192 px, a quarter of an 8 px patch."""
_ENOUGH = 1 << 40  # scenes to search; the playground is unlimited
_FORM = "playground:SEED:PAIRS in whole numbers, as in playground:3010:200, or the folder of SPair-71k"


@dataclass(frozen=True)
class DrawnPairs:
    """Pairs of single-object scenes of one class: each scene is paired with the last unpaired one of its class.

    Each part visible in both scenes has a point: the part's pixel nearest to the mean of its pixels.

    Attributes:
        seed: of the playground, 0 or more; the embedded models were trained on seeds below 1000.
        count: number of pairs, 1 or more.
        size: side of a scene in pixels, 16 to 2048.

    Raises:
        SourceError: a value is out of its range.

    Examples:
        >>> pair = next(DrawnPairs(seed=1500, count=1, size=96).pairs())
        >>> pair.source.load().size, len(pair.source_points) == len(pair.names)
        ((96, 96), True)
    """

    seed: int = 3010
    count: int = 200
    size: int = SIZE

    def __post_init__(self) -> None:
        """Checks the ranges; nothing is drawn."""
        if self.count < 1:
            raise SourceError(f"{self.name}: {self.count} pairs; expected 1 or more")
        try:
            stream(self.seed, self.count, self.size, 1)
        except ValueError as error:
            raise SourceError(f"{self.name}: {error}") from error

    @property
    def name(self) -> str:
        """The name for `open_pairs`."""
        return f"playground:{self.seed}:{self.count}"

    def pairs(self) -> Iterator[KeypointPair]:
        """The pairs in order of completion; at most one unpaired scene per class is in memory."""
        return islice(self._endless(), self.count)

    def _endless(self) -> Iterator[KeypointPair]:
        alone: dict[str, tuple[int, Scene]] = {}
        for index, scene in enumerate(stream(self.seed, _ENOUGH, self.size, objects=1)):
            name = scene.objects[0]["name"]
            if not scene.parts.any():  # the object is not visible
                continue
            if name not in alone:
                alone[name] = (index, scene)
                continue
            number, first = alone.pop(name)
            yield self._pair(f"{self.seed}-{number:06d}-{index:06d}", first, scene)

    def _pair(self, key: str, first: Scene, second: Scene) -> KeypointPair:
        least = (self.size / _LEAST) ** 2
        one, other = part_points(first.parts, least), part_points(second.parts, least)
        both = [part for part in one if part in other]
        boxes = [scene.objects[0]["box"] for scene in (first, second)]
        (a0, a1, a2, a3), (b0, b1, b2, b3) = boxes
        return KeypointPair(
            key=key,
            category=first.objects[0]["name"],
            source=Sample(f"{key}-a", first.image),
            target=Sample(f"{key}-b", second.image),
            source_points=_rows([one[part] for part in both]),
            target_points=_rows([other[part] for part in both]),
            source_box=(a0, a1, a2, a3),
            target_box=(b0, b1, b2, b3),
            names=tuple(PARTS[part - 1] for part in both),
            source_parts=first.parts,
            target_parts=second.parts,
        )


def part_points(parts: NDArray[np.integer], least: float = 1) -> dict[int, tuple[float, float]]:
    """Part -> (x, y) of its point in pixels: the centre of the part's pixel nearest to the mean of its pixels.

    Args:
        parts: (height, width) index of each pixel's part + 1, 0 for the background.
        least: minimum number of pixels of a part with a point.

    Examples:
        >>> part_points(np.array([[2, 2, 2], [0, 7, 0]]))
        {2: (1.5, 0.5), 7: (1.5, 1.5)}
    """
    points = {}
    for part in np.unique(parts[parts > 0]).tolist():
        rows, columns = np.nonzero(parts == part)
        if len(rows) < least:
            continue
        nearest = ((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2).argmin()
        points[int(part)] = (float(columns[nearest]) + 0.5, float(rows[nearest]) + 0.5)
    return points


def open_pairs(text: str, split: str | None = None, size: int | None = None) -> DrawnPairs | SPairSource:
    """The source of pairs that a name or path refers to.

    Args:
        text: "playground", "playground:SEED:PAIRS", or SPair-71k's folder.
        split: of SPair-71k, None for "test"; playground pairs have no splits.
        size: side of playground scenes in pixels, None for 192. Images of SPair-71k keep their size.

    Raises:
        SourceError: the source or the split does not exist.

    Examples:
        >>> open_pairs("playground:1500:20").count
        20
    """
    if text == "playground" or text.startswith("playground:"):
        if split is not None:
            raise SourceError(f"{shown(text)}: has no splits; omit split {shown(split)}")
        numbers = text.split(":")[1:]
        if text != "playground" and not (
            len(numbers) == 2 and all(part.isascii() and part.isdigit() and len(part) < 19 for part in numbers)
        ):
            raise SourceError(f"{shown(text)[:100]!r}; expected {_FORM}")
        seed, count = map(int, numbers) if numbers else (DrawnPairs.seed, DrawnPairs.count)
        return DrawnPairs(seed, count, size or SIZE)
    try:
        folder = Path(text).expanduser()
        found = bool(text) and folder.is_dir()
    except (OSError, ValueError, RuntimeError):
        found = False
    if not found:
        raise SourceError(f"{shown(text)[:200]!r}: no such folder; expected {_FORM}")
    return SPairSource(folder, split or "test")


def _rows(points: list[tuple[float, float]]) -> NDArray[np.float32]:
    """The points (N, 2); N may be 0."""
    return np.array(points, dtype=np.float32).reshape(-1, 2)
