"""Sources whose images are read with levels: the values shown as black and white."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from dinoclip_viz.data.base import Sample
from dinoclip_viz.images import Levels, check_levels

AnySource = TypeVar("AnySource")


@dataclass(frozen=True)
class LevelledSource:
    """A source of images, labels or pairs, whose samples have levels; all else is delegated to the source.

    Attributes:
        source: the source.
        levels: of all its images, as in `load_image`.
    """

    source: Any
    levels: Levels

    def samples(self, start: int = 0) -> Iterator[Sample]:
        """The source's samples from number `start` on, with the levels."""
        return (replace(sample, levels=self.levels) for sample in self.source.samples(start))

    def pairs(self) -> Iterator[Any]:
        """The source's pairs of images, with the levels."""
        for pair in self.source.pairs():
            both = (replace(sample, levels=self.levels) for sample in (pair.source, pair.target))
            yield replace(pair, **dict(zip(("source", "target"), both, strict=True)))

    def __getattr__(self, name: str) -> Any:
        """The source's attribute of that name."""
        if name.startswith("__") or name == "source":
            raise AttributeError(name)
        return getattr(self.source, name)


def with_levels(source: AnySource, levels: Levels) -> AnySource:
    """The source with its images read at the levels; the source itself if `levels` is None.

    Args:
        source: any source of samples or pairs.
        levels: as in `load_image`.

    Raises:
        ValueError: the levels are invalid.
    """
    levels = check_levels(levels)
    return source if levels is None else cast(AnySource, LevelledSource(source, levels))
