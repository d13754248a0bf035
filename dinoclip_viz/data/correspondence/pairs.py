"""Pairs of playground scenes that show one class, with points that both show; and how pairs of any source are named."""

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
"""A part of (size / 48)^2 pixels or more is seen well enough for a point: 16 at 192 px, a quarter of an 8 px patch."""
_ENOUGH = 1 << 40  # scenes to look through; the playground has no end
_FORM = "playground:SEED:PAIRS in whole numbers, as in playground:3010:200, or the folder of SPair-71k"


@dataclass(frozen=True)
class DrawnPairs:
    """Pairs of single-object scenes of one class: each scene joins the last one of its class that is still alone.

    A part that both scenes show makes a point: the pixel of the part that is nearest to the mean of its pixels.

    Attributes:
        seed: of the playground, 0 or more; below 1000 are those that the embedded models were trained on.
        count: pairs, 1 or more.
        size: side of a scene in pixels, 16 to 2048.

    Raises:
        SourceError: one of them is out of its range.

    Examples:
        >>> pair = next(DrawnPairs(seed=1500, count=1, size=96).pairs())
        >>> pair.source.load().size, len(pair.source_points) == len(pair.names)
        ((96, 96), True)
    """

    seed: int = 3010
    count: int = 200
    size: int = SIZE

    def __post_init__(self) -> None:
        """Checks the ranges as the playground does; nothing is drawn."""
        if self.count < 1:
            raise SourceError(f"{self.name}: {self.count} pairs; expected 1 or more")
        try:
            stream(self.seed, self.count, self.size, 1)
        except ValueError as error:
            raise SourceError(f"{self.name}: {error}") from error

    @property
    def name(self) -> str:
        """How `open_pairs` calls it."""
        return f"playground:{self.seed}:{self.count}"

    def pairs(self) -> Iterator[KeypointPair]:
        """The pairs in the order in which they are complete; at most one scene per class is kept meanwhile."""
        return islice(self._endless(), self.count)

    def _endless(self) -> Iterator[KeypointPair]:
        alone: dict[str, tuple[int, Scene]] = {}
        for index, scene in enumerate(stream(self.seed, _ENOUGH, self.size, objects=1)):
            name = scene.objects[0]["name"]
            if not scene.parts.any():  # nothing of the object is seen
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
    """X and y, in pixels, of one point per part: the middle of that pixel of it that is nearest to their mean.

    Args:
        parts: (height, width) index of each pixel's part + 1, 0 background.
        least: pixels below which a part gets no point.

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
    """The pairs that a name stands for.

    Args:
        text: "playground:SEED:PAIRS", or SPair-71k's folder.
        split: of SPair-71k, "test" by default; playground pairs have none.
        size: side in pixels of playground scenes; 192 by default. Images of SPair-71k stay as they are.

    Raises:
        SourceError: nothing of that name is there, or it has no such split.

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
    """(N, 2), also of no point."""
    return np.array(points, dtype=np.float32).reshape(-1, 2)
