"""Clips with a mask of the objects in every frame: DAVIS 2017 in its published folders, and moving scenes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.data.base import SourceError
from dinoclip_viz.data.correspondence.pairs import part_points
from dinoclip_viz.data.labels.label_files import read_labels
from dinoclip_viz.data.locations import shown
from dinoclip_viz.data.texts import lines_of
from dinoclip_viz.images import ImageError, load_image
from dinoclip_viz.playground.moving import FRAMES, Clip, clip, clips

SIZE = 192
VOID = 255
_LEAST = 48
"""A part of (size / 48)^2 pixels or more in the first frame gets a point, as in pairs of scenes."""
_RESOLUTION = "480p"
_KEPT = 8  # drawn frames in memory: images are encoded some frames before their masks are compared
_FORM = "playground:SEED:CLIPS in whole numbers, as in playground:3000:30, or the folder of DAVIS 2017"

Follow = Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.bool_]]]


@dataclass(frozen=True, eq=False)
class LabelledClip:
    """A clip whose frames and masks are read one at a time.

    Attributes:
        key: identifier within the source.
        count: number of frames, 1 or more.
        image: frame number -> the frame, RGB; raises ImageError.
        mask: frame number -> (height, width) uint8, 0 for the background and k for object k; raises ImageError.
        points: (N, 2) x and y of points in the first frame, in pixels; N is 0 where no ground truth follows points.
        follow: points of the first frame -> (T, N, 2) positions and (T, N) visible; None without such ground truth.
    """

    key: str
    count: int
    image: Callable[[int], Image.Image]
    mask: Callable[[int], NDArray[np.uint8]]
    points: NDArray[np.float64]
    follow: Follow | None = None

    def frames(self) -> Iterator[Image.Image]:
        """The frames in order.

        Raises:
            ImageError: a frame cannot be read.
        """
        return (self.image(number) for number in range(self.count))


@dataclass(frozen=True)
class DrawnClips:
    """Moving scenes of the playground.

    Each visible part of each object of the first frame has a point: its pixel nearest to the mean of its pixels.

    Attributes:
        seed: 0 or more; the embedded models were trained on seeds below 1000.
        count: number of clips, 1 or more.
        frames: per clip, 3 or more: the first and the last do not count.
        size: side of a frame in pixels, 16 to 2048.

    Raises:
        SourceError: a value is out of its range.
    """

    seed: int = 3000
    count: int = 30
    frames: int = FRAMES
    size: int = SIZE

    def __post_init__(self) -> None:
        """Checks the ranges; nothing is drawn."""
        if self.count < 1 or self.frames < 3:
            found = f"{self.count} clips of {self.frames} frames"
            raise SourceError(f"{self.name}: {found}; expected 1 or more of 3 or more")
        try:
            clip(self.seed, self.frames, self.size)
        except ValueError as error:
            raise SourceError(f"{self.name}: {error}") from error

    @property
    def name(self) -> str:
        """The name for `open_clips`."""
        return f"playground:{self.seed}:{self.count}"

    def clips(self) -> Iterator[LabelledClip]:
        """The clips in order; a frame is drawn when it is asked for."""
        for number, moving in enumerate(clips(self.seed, self.count, self.frames, self.size)):
            yield drawn_clip(f"{self.seed}-{number:06d}", moving)


@dataclass(frozen=True)
class DavisSource:
    """The clips of DAVIS 2017 (Pont-Tuset et al. 2017) in its published folders.

    `ImageSets/2017/val.txt` lists the clips; `JPEGImages/480p/CLIP/00000.jpg` are frames and
    `Annotations/480p/CLIP/00000.png` their masks, whose palette indices are the objects. Unknown pixels (255) are
    background.

    Attributes:
        folder: the folder of `ImageSets`, `JPEGImages` and `Annotations`.
        split: stem of a list in `ImageSets/2017`, whose masks are public: val or train.

    Raises:
        SourceError: the folder has another layout, or the split does not exist.
    """

    folder: Path
    split: str = "val"

    def __post_init__(self) -> None:
        """Checks that the folders exist, so that errors are raised at once."""
        missing = [part for part in ("JPEGImages", "Annotations") if not (self.folder / part / _RESOLUTION).is_dir()]
        lists = self.folder / "ImageSets" / "2017"
        if missing or not lists.is_dir():
            names = [f"{part}/{_RESOLUTION}" for part in missing] + ([] if lists.is_dir() else ["ImageSets/2017"])
            raise SourceError(
                f"{shown(self.folder)}: no {', no '.join(names)} in it; expected the folder of DAVIS 2017 with "
                "JPEGImages/480p, Annotations/480p and ImageSets/2017"
            )
        splits = sorted(path.stem for path in lists.glob("*.txt"))
        if self.split not in splits:
            raise SourceError(f"{self.name}: no such split; expected one of {', '.join(splits) or 'none: no list'}")

    @property
    def name(self) -> str:
        """The folder's path, and the split."""
        return f"{shown(self.folder)} ({shown(self.split)})"

    @property
    def count(self) -> int:
        """The number of clips."""
        return len(self._keys())

    def clips(self) -> Iterator[LabelledClip]:
        """The clips in the order of the list; all files are found first, images are read when they are asked for.

        Raises:
            SourceError: a clip has no frames, or a frame without a mask; the message names it.
        """
        return iter([self._clip(key) for key in self._keys()])

    def _keys(self) -> list[str]:
        file = self.folder / "ImageSets" / "2017" / f"{self.split}.txt"
        keys = [line.strip() for line in lines_of(file) if line.strip()]
        wrong = next((key for key in keys if os.path.basename(key) != key or key.startswith(".")), None)
        if wrong is not None or not keys:
            found = "no clips" if wrong is None else f"the name {shown(wrong)[:100]!r}"
            raise SourceError(f"{shown(file)}: found {found}; expected the names of folders, one per line")
        return keys

    def _clip(self, key: str) -> LabelledClip:
        images, masks = (self.folder / part / _RESOLUTION / key for part in ("JPEGImages", "Annotations"))
        frames = sorted(images.glob("*.jpg"))
        if not frames:
            raise SourceError(f"{shown(images)}: no frames; expected 00000.jpg and so on")
        truth = [masks / f"{frame.stem}.png" for frame in frames]
        lacking = next((file for file in truth if not file.is_file()), None)
        if lacking is not None:
            raise SourceError(f"{shown(lacking)}: no such file; expected a mask for each frame")
        return LabelledClip(
            key=key,
            count=len(frames),
            image=lambda number: load_image(frames[number]),
            mask=lambda number: read_objects(truth[number]),
            points=np.zeros((0, 2)),
        )


def drawn_clip(key: str, moving: Clip) -> LabelledClip:
    """A moving scene with the points of its first frame."""
    first = moving[0]
    least = (moving.size / _LEAST) ** 2
    points = [
        point
        for number in np.unique(first.instances[first.instances > 0]).tolist()
        for point in part_points(np.where(first.instances == number, first.parts, 0), least).values()
    ]
    frame = lru_cache(maxsize=_KEPT)(moving.__getitem__)
    return LabelledClip(
        key=key,
        count=len(moving),
        image=lambda number: frame(number).image,
        mask=lambda number: frame(number).instances,
        points=np.array(points, np.float64).reshape(-1, 2),
        follow=moving.follow,
    )


def read_objects(file: Path) -> NDArray[np.uint8]:
    """(height, width) objects of a mask file: its palette indices or grey values, 255 unknown and so background.

    A file with no other values than 0 and 255 is black and white: its white is object 1.

    Raises:
        ImageError: the file is missing, broken, an image in colours, or holds numbers above 255.
    """
    values = read_labels(file)
    if values.max() > VOID:
        found = f"the number {values.max()}"
        raise ImageError(f"{shown(file)}: found {found}; expected 0 to {VOID}: the object of each pixel")
    kinds = np.unique(values).tolist()
    if VOID in kinds:
        values = np.where(values == VOID, 1 if set(kinds) <= {0, VOID} else 0, values)
    return values.astype(np.uint8)


def open_clips(
    text: str, split: str | None = None, frames: int | None = None, size: int | None = None
) -> DrawnClips | DavisSource:
    """The source of clips that a name or path refers to.

    Args:
        text: "playground", "playground:SEED:CLIPS", or the folder of DAVIS 2017.
        split: of DAVIS, None for "val"; playground clips have no splits.
        frames: per clip of the playground, None for 24.
        size: side in pixels of playground frames, None for 192. Frames of DAVIS keep their size.

    Raises:
        SourceError: the source or the split does not exist, or `frames` is given for DAVIS.

    Examples:
        >>> open_clips("playground:1500:20").count
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
        seed, count = map(int, numbers) if numbers else (DrawnClips.seed, DrawnClips.count)
        return DrawnClips(seed, count, frames or FRAMES, size or SIZE)
    try:
        folder = Path(text).expanduser()
        found = bool(text) and folder.is_dir()
    except (OSError, ValueError, RuntimeError):
        found = False
    if not found:
        raise SourceError(f"{shown(text)[:200]!r}: no such folder; expected {_FORM}")
    if frames is not None or size is not None:
        raise SourceError(f"{shown(folder)}: its clips have their own frames and size; omit both")
    return DavisSource(folder, split or "val")
