"""The images of a report: which of a folder are shown, their names, and the pairs that were asked for."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dinoclip_viz.data.base import Sample, SourceError
from dinoclip_viz.data.captions.folders import FolderSource
from dinoclip_viz.data.levels import with_levels
from dinoclip_viz.data.locations import shown
from dinoclip_viz.images import Levels

Pair = tuple[int, int]
MOST = 2000
"""Largest number of images of a report: about 200 MB."""


@dataclass(frozen=True)
class Selection:
    """The chosen images of a folder.

    Attributes:
        samples: N samples, in the folder's order.
        names: name of each, relative to the folder.
        total: number of images in the folder.
        pairs: numbers of two samples, for each pair that was asked for.
    """

    samples: tuple[Sample, ...]
    names: tuple[str, ...]
    total: int
    pairs: tuple[Pair, ...]


def select(folder: Path, most: int, pairs: Sequence[tuple[str, str]] = (), levels: Levels = None) -> Selection:
    """The images of a folder and its subfolders, spread evenly over it if it has more than `most`.

    Args:
        folder: of the images.
        most: number of images, 1 to `MOST`. The images of pairs are always among them.
        pairs: names of two images each: relative to the folder, or the name of a file that the folder has once.
        levels: of all images, as in `load_image`.

    Raises:
        SourceError: there is no such folder, it has no images, or it cannot be read.
        ValueError: `most` is out of range, or a pair names an image that the folder does not have, or one twice.
    """
    if not 1 <= most <= MOST:
        raise ValueError(f"max_images is {most}; expected 1 to {MOST}, as one file holds all images")
    check_folder(folder)
    samples = list(with_levels(FolderSource(folder), levels).samples())
    if not samples:
        raise SourceError(f"{shown(folder)}: no images in this folder; expected one or more")
    names = [name_in(folder, sample) for sample in samples]
    asked = [(_number(first, names), _number(second, names)) for first, second in pairs]
    for (first, second), (one, _) in zip(asked, pairs, strict=True):
        if first == second:
            raise ValueError(f"the pair has {shown(one)} twice; expected two images")
    kept = spread(len(samples), most, sorted({number for pair in asked for number in pair}))
    position = {number: index for index, number in enumerate(kept)}
    return Selection(
        tuple(samples[number] for number in kept),
        tuple(names[number] for number in kept),
        len(samples),
        tuple((position[first], position[second]) for first, second in dict.fromkeys(asked)),
    )


def check_folder(folder: Path) -> None:
    """Check that a folder exists.

    Raises:
        SourceError: it does not, or is a file.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        raise SourceError(f"{shown(folder)}: {found}; expected a folder of images")


def spread(total: int, most: int, always: Sequence[int] = ()) -> list[int]:
    """Numbers 0 to total - 1 in order, at most `most`, evenly spread, with those of `always`.

    Examples:
        >>> spread(10, 4), spread(10, 2, always=[7]), spread(3, 100)
        ([0, 2, 5, 7], [0, 7], [0, 1, 2])
    """
    if total <= most:
        return list(range(total))
    others = [number for number in range(total) if number not in set(always)]
    count = max(0, most - len(always))
    return sorted({*always, *(others[index * len(others) // count] for index in range(count))})


def name_in(folder: Path, sample: Sample) -> str:
    """Path of a sample in the folder, its address, or its key: no path of the machine is part of it."""
    home = shown(folder).rstrip("/\\")
    if sample.path.startswith(home) and sample.path != home:
        return sample.path.removeprefix(home).lstrip("/\\")
    return sample.path if "://" in sample.path else sample.key


def _number(name: str, names: Sequence[str]) -> int:
    """Number of the image of that name.

    Raises:
        ValueError: there is none, or several files have it.
    """
    wanted = shown(name).replace("\\", "/").removeprefix("./")
    if wanted in names:
        return names.index(wanted)
    found = [number for number, other in enumerate(names) if other.rsplit("/", 1)[-1] == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"{wanted} is the name of {len(found)} files; expected a path in the folder: {names[found[0]]}"
        )
    near = difflib.get_close_matches(wanted, names, 1, 0.0)
    raise ValueError(f"found no image {wanted} in the folder; expected the name of one, such as {near[0]}")
