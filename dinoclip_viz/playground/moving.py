"""Moving scenes with ground truth: `clip` and `clips`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dinoclip_viz.playground.layout import Layout, Look, Thing
from dinoclip_viz.playground.render import Appearance, appearance, ground_truth, paint_order, piece_map
from dinoclip_viz.playground.shapes.geometry import Chance
from dinoclip_viz.playground.world import sample, stream

FRAMES = 24
MOST_FRAMES = 10_000
FARTHEST = 0.5
"""Distance that an object aims to move over a clip, as a fraction of the image's side."""
GROWTH = (0.7, 1.4)
"""Smallest and largest size of an object in the last frame, as a factor of its size in the first."""
TURN = 0.35
"""Largest rotation of an object over a clip, in radians in either direction."""
PAN = (0.1, 0.3)
"""Smallest and largest distance that a moving background moves over a clip, as a fraction of the image's side."""
PASSING = 0.5
"""Fraction of the clips of two objects or more in which the first two exchange their positions."""

_STREAM = 5  # of random numbers: those below belong to still scenes


@dataclass(frozen=True)
class ClipFrame:
    """One frame of a clip with its ground truth.

    Attributes:
        image: RGB, size x size.
        mask: (size, size) uint8, index into CLASSES + 1, 0 background.
        parts: (size, size) uint8, index into PARTS + 1, 0 background.
        instances: (size, size) uint8, index into the clip's `names` + 1, 0 background.
    """

    image: Image.Image
    mask: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    instances: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Clip:
    """A moving scene. Its frames are drawn on demand, one in memory at a time: `for frame in clip`, `clip[7]`.

    Frame 0 is the still scene of the same seed and index. Objects move along curves, scale and rotate with their
    textures; which object occludes which does not change. A background moves along its rows, extended by reflection.

    Attributes:
        frames: number of frames T.
        size: side of a frame in pixels.
        layout, look: of frame 0.
        paths: (T, K, 2, 3) affine map of each of K objects from frame 0 to each frame, in fractions of the side.
        pans: (T,) distance of the background to the left of its position in frame 0, in half pixels.
    """

    frames: int
    size: int
    layout: Layout
    look: Look
    paths: NDArray[np.float64]
    pans: NDArray[np.intp]

    @property
    def names(self) -> tuple[str, ...]:
        """The class of each object."""
        return tuple(thing.name for thing in self.layout.things)

    def __len__(self) -> int:
        return self.frames

    def __iter__(self) -> Iterator[ClipFrame]:
        return (self[number] for number in range(self.frames))

    def __getitem__(self, number: int) -> ClipFrame:
        """Frame `number`, from 0; negative numbers count from the end.

        Raises:
            IndexError: there is no such frame.
        """
        if not -self.frames <= number < self.frames:
            raise IndexError(f"frame {number} of {self.frames}")
        number %= self.frames
        pieces = self._pieces(number)
        where = np.flatnonzero(pieces)
        seen = pieces.ravel()[where]
        rows, columns = self._origins(number, where, seen)
        image = self._seen.paint(self._background(number), where, seen, rows, columns)
        known = ground_truth(self.layout, self.look, pieces)
        return ClipFrame(image, known.mask, known.parts, known.instances)

    def follow(self, points: ArrayLike, start: int = 0) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Positions (T, N, 2) of points in every frame, and (T, N) whether each is visible there.

        A point belongs to the object, or the background, that is visible at its position in frame `start`. It is
        visible where it lies inside the frame and nothing else hides it.

        Args:
            points: (N, 2) x and y in pixels of frame `start`, inside the frame.
            start: number of that frame.

        Raises:
            ValueError: the points have another shape or lie outside the frame.
        """
        given = np.asarray(points, np.float64)
        if given.ndim != 2 or given.shape[1] != 2 or not ((given >= 0) & (given < self.size)).all():
            raise ValueError(
                f"found points of shape {given.shape}; expected (N, 2) x and y, each from 0 to below {self.size} pixels"
            )
        start = range(self.frames)[start]
        owners = _at(self._instances(start), given)
        first = self._first_positions(given, owners, start)
        positions = np.stack([self._moved(first, owners, number) for number in range(self.frames)])
        visible = np.stack([_at(self._instances(number), positions[number]) == owners for number in range(self.frames)])
        return positions, visible

    @cached_property
    def _order(self) -> list[int]:
        return paint_order(self.layout)

    @cached_property
    def _seen(self) -> Appearance:
        return appearance(self.layout, self.look, 2 * self.size)

    @cached_property
    def _owners(self) -> NDArray[np.intp]:
        """(256,) index of the object of each piece, by the piece's number."""
        table = np.zeros(256, np.intp)
        counts = [len(self.layout.things[index].pieces) for index in self._order]
        table[1 : sum(counts) + 1] = np.repeat(self._order, counts)
        return table

    def _pieces(self, number: int) -> NDArray[np.uint8]:
        things = tuple(_placed(thing, path) for thing, path in zip(self.layout.things, self.paths[number], strict=True))
        return piece_map(replace(self.layout, things=things), 2 * self.size, self._order)

    def _instances(self, number: int) -> NDArray[np.uint8]:
        return ground_truth(self.layout, self.look, self._pieces(number)).instances

    def _origins(
        self, number: int, where: NDArray[np.intp], seen: NDArray[np.uint8]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Row and column in frame 0 of pixels of objects, each carried along by its object."""
        side = 2 * self.size
        rows, columns = np.divmod(where, side)
        owners = self._owners[seen]
        inverse = _inverse(self.paths[number])[owners]  # (N, 2, 3)
        x, y = columns / side, rows / side
        back = [inverse[:, axis, 0] * x + inverse[:, axis, 1] * y + inverse[:, axis, 2] for axis in (1, 0)]
        return np.rint(back[0] * side).astype(np.intp), np.rint(back[1] * side).astype(np.intp)

    def _background(self, number: int) -> NDArray[np.float32]:
        canvas, most = self._seen.canvas, int(np.abs(self.pans).max())
        if not most:
            return canvas.copy()
        columns = np.pad(np.arange(len(canvas)), most, mode="reflect")
        start = most + int(self.pans[number])
        return np.take(canvas, columns[start : start + len(canvas)], axis=1)  # contiguous, as `paint` requires

    def _first_positions(
        self, points: NDArray[np.float64], owners: NDArray[np.uint8], number: int
    ) -> NDArray[np.float64]:
        """(N, 2) positions in frame 0 of points in a frame, as fractions of the side."""
        found = points / self.size
        inverse = _inverse(self.paths[number])
        for index in range(len(inverse)):
            found[owners == index + 1] = _applied(inverse[index], found[owners == index + 1])
        found[owners == 0, 0] += self.pans[number] / (2 * self.size)
        return found

    def _moved(self, first: NDArray[np.float64], owners: NDArray[np.uint8], number: int) -> NDArray[np.float64]:
        """(N, 2) positions in a frame, in pixels, of points of frame 0, as fractions of the side."""
        found = first.copy()
        for index, path in enumerate(self.paths[number]):
            found[owners == index + 1] = _applied(path, found[owners == index + 1])
        found[owners == 0, 0] -= self.pans[number] / (2 * self.size)
        return found * self.size


def clip(
    seed: int = 1500,
    frames: int = FRAMES,
    size: int = 192,
    objects: int | None = None,
    *,
    index: int = 0,
    world: int = 1,
    pan: bool | None = None,
) -> Clip:
    """A moving scene; it depends on the arguments alone, and its first frame on neither `frames` nor `pan`.

    Args:
        seed: 0 or more. The embedded models were trained on seeds below 1000; evaluate on others.
        frames: number of frames, 1 to 10,000. The objects cover the same way in any number.
        size: side in pixels, 16 to 2048.
        objects: number of objects, 1 to 8; by default 1 to 4 at random.
        index: number of the clip among those of the seed.
        world: 1, or 2 with natural textures and photographs as backgrounds, as in `draw`.
        pan: True for a moving background, False for a still one; None for either at random.

    Raises:
        ValueError: an argument is out of its range.

    Examples:
        >>> moving = clip(seed=1500, frames=8, size=96, objects=2)
        >>> len(moving), moving[0].image.size, moving[7].instances.shape
        (8, (96, 96), (96, 96))
        >>> positions, visible = moving.follow([[48.0, 48.0]])
        >>> positions.shape, bool(visible[0, 0])
        ((8, 1, 2), True)
    """
    stream(seed, 0, size, objects, world=world)  # checks the ranges; nothing is drawn
    if index < 0:
        raise ValueError(f"index is {index}; expected 0 or more")
    if not 1 <= frames <= MOST_FRAMES:
        raise ValueError(f"frames is {frames}; expected 1 to {MOST_FRAMES}")
    layout, look = sample(seed, index, objects, world=world)
    chance = Chance(np.random.default_rng([seed, index, _STREAM]))
    times = np.linspace(0, 1, frames) if frames > 1 else np.zeros(1)
    paths = _paths(layout, times, chance)
    distance = chance(*PAN) * (1 if chance() < 0.5 else -1)
    moves = chance() < 0.5 if pan is None else pan
    pans = np.rint(times * distance * 2 * size * moves).astype(np.intp)
    return Clip(frames, size, layout, look, paths, pans)


def clips(seed: int, count: int, frames: int = FRAMES, size: int = 192, *, world: int = 1) -> Iterator[Clip]:
    """The clips 0 to count - 1 of a seed, as from `clip`.

    Raises:
        ValueError: an argument is out of its range.
    """
    stream(seed, count, size, world=world)
    return (clip(seed, frames, size, index=index, world=world) for index in range(count))


def _paths(layout: Layout, times: NDArray[np.float64], chance: Chance) -> NDArray[np.float64]:
    """(T, K, 2, 3) affine map of each object from frame 0 to the time of each frame, 0 to 1."""
    things = layout.things
    ends = [_end(thing, chance) for thing in things]
    if len(things) > 1 and chance() < PASSING:
        ends[:2] = [(things[1].x, things[1].y), (things[0].x, things[0].y)]
    return np.stack([_path(thing, end, times, chance) for thing, end in zip(things, ends, strict=True)], axis=1)


def _end(thing: Thing, chance: Chance) -> tuple[float, float]:
    """Of twelve random positions inside the image the one whose distance is nearest to `FARTHEST`."""
    margin = 0.6 * thing.scale
    found = [(chance(margin, 1 - margin), chance(margin, 1 - margin)) for _ in range(12)]
    return min(found, key=lambda end: abs(math.hypot(end[0] - thing.x, end[1] - thing.y) - FARTHEST))


def _path(thing: Thing, end: tuple[float, float], times: NDArray[np.float64], chance: Chance) -> NDArray[np.float64]:
    """(T, 2, 3) affine maps of one object: a quadratic curve of its centre, its size and its rotation."""
    start, stop = np.array([thing.x, thing.y]), np.array(end)
    across = np.array([start[1] - stop[1], stop[0] - start[0]])
    bend = (start + stop) / 2 + across * chance(-0.4, 0.4)
    t = times[:, None]
    centres = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * stop  # (T, 2)
    low, high = (math.log(factor) for factor in GROWTH)
    growth, turn = np.exp(times * chance(low, high)), times * chance(-TURN, TURN)
    cosine, sine = growth * np.cos(turn), growth * np.sin(turn)
    linear = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)  # (T, 2, 2)
    return np.concatenate([linear, (centres - linear @ start)[..., None]], axis=-1)


def _placed(thing: Thing, path: NDArray[np.float64]) -> Thing:
    """An object with its pieces moved by an affine map (2, 3)."""
    return replace(thing, pieces=tuple(piece._replace(points=_applied(path, piece.points)) for piece in thing.pieces))


def _applied(path: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    moved: NDArray[np.float64] = points @ path[:, :2].T + path[:, 2]
    return moved


def _inverse(paths: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, 2, 3) the inverse affine maps."""
    linear = np.linalg.inv(paths[..., :2])
    return np.concatenate([linear, -linear @ paths[..., 2:]], axis=-1)


def _at(instances: NDArray[np.uint8], points: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(N,) the instance at each point (x, y); 255 outside of the frame."""
    side = len(instances)
    columns, rows = np.floor(points).astype(np.intp).T
    inside = (columns >= 0) & (columns < side) & (rows >= 0) & (rows < side)
    found = instances[rows.clip(0, side - 1), columns.clip(0, side - 1)]
    return np.where(inside, found, np.uint8(255))
