"""Accuracy of the propagation on clips with ground truth, by the protocol of DAVIS 2017."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.encoders.base import ImageEncoder
from dinoclip_viz.tasks.propagation.accuracy import (
    Statistics,
    boundary_measure,
    mean_statistics,
    region_similarity,
    statistics,
)
from dinoclip_viz.tasks.propagation.propagate import propagate
from dinoclip_viz.tasks.propagation.settings import DEFAULTS, PropagationSettings
from dinoclip_viz.tasks.propagation.tracking import PointAccuracy, point_accuracy, point_distances


class LabelledFrames(Protocol):
    """A clip with ground truth, such as `data.videos.LabelledClip`, which documents the attributes."""

    @property
    def key(self) -> str:
        """Identifier of the clip."""
        ...

    @property
    def count(self) -> int:
        """Number of frames."""
        ...

    @property
    def image(self) -> Callable[[int], Image.Image]:
        """Frame number -> frame."""
        ...

    @property
    def mask(self) -> Callable[[int], NDArray[np.uint8]]:
        """Frame number -> objects."""
        ...

    @property
    def points(self) -> NDArray[np.float64]:
        """(N, 2) points of the first frame."""
        ...

    @property
    def follow(self) -> Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.bool_]]] | None:
        """Points of the first frame -> positions and visibility in every frame."""
        ...


@dataclass(frozen=True)
class ObjectAccuracy:
    """J and F of one object of one clip.

    Attributes:
        clip: key of the clip.
        label: of the object in the clip's masks.
        region: J over the frames.
        boundary: F over the frames.
    """

    clip: str
    label: int
    region: Statistics
    boundary: Statistics

    @property
    def both(self) -> float:
        """J&F: the mean of both means."""
        return (self.region.mean + self.boundary.mean) / 2


@dataclass(frozen=True, eq=False)
class ClipAccuracy:
    """The accuracy of one method on one clip, or on several together.

    Attributes:
        objects: J and F of each object of the first frame.
        distances: (P,) distance of each visible followed point, as a fraction of the frame's longer side.
    """

    objects: tuple[ObjectAccuracy, ...]
    distances: NDArray[np.float64]

    def figures(self) -> dict[str, float]:
        """J, F and J&F, each object counting once, and the errors of points where there are any."""
        region = mean_statistics([one.region for one in self.objects])
        edge = mean_statistics([one.boundary for one in self.objects])
        found = {"j_and_f": (region.mean + edge.mean) / 2}
        for letter, each in (("j", region), ("f", edge)):
            found |= {f"{letter}_mean": each.mean, f"{letter}_recall": each.recall, f"{letter}_decay": each.decay}
        return found | (_of_points(point_accuracy(self.distances)) if len(self.distances) else {})


def clip_accuracy(
    clip: LabelledFrames, encoder: ImageEncoder | str | None, settings: PropagationSettings = DEFAULTS
) -> ClipAccuracy:
    """The accuracy of the propagation through a clip, the first mask and the first points given.

    The first and the last frame do not count, as in the semi-supervised evaluation of DAVIS 2017; objects that appear
    later are background.

    Args:
        clip: with its ground truth; frames are read one after the other.
        encoder: an image encoder or its name; None repeats the first mask and the first points in every frame.
        settings: of the propagation.

    Raises:
        ImageError: a frame or a mask cannot be read.
        ValueError: fewer than three frames, no object in the first frame, or masks of another size than the frames.
    """
    first = clip.mask(0)
    labels = np.unique(first[first > 0]).tolist()
    if clip.count < 3 or not labels:
        raise ValueError(
            f"{clip.key}: found {clip.count} frames, {len(labels)} objects in the first; expected three or more frames "
            "and an object"
        )
    points = clip.points if clip.follow is not None and len(clip.points) else None
    values: dict[int, tuple[list[float], list[float]]] = {label: ([], []) for label in labels}
    tracks: list[NDArray[np.float64]] = []
    for number, (mask, positions) in enumerate(_found(clip, first, points, encoder, settings)):
        if positions is not None:
            tracks.append(positions)
        if 0 < number < clip.count - 1:
            expected = clip.mask(number)
            _check_size(clip.key, number, mask, expected)
            for label, (regions, edges) in values.items():
                regions.append(region_similarity(mask == label, expected == label))
                edges.append(boundary_measure(mask == label, expected == label))
    objects = [ObjectAccuracy(clip.key, label, statistics(j), statistics(f)) for label, (j, f) in values.items()]
    return ClipAccuracy(tuple(objects), _distances(clip, points, tracks, max(first.shape)))


def together(several: list[ClipAccuracy]) -> ClipAccuracy:
    """The objects and points of several clips as one.

    Args:
        several: one or more.
    """
    objects = tuple(one for each in several for one in each.objects)
    return ClipAccuracy(objects, np.concatenate([each.distances for each in several]))


def _found(
    clip: LabelledFrames,
    first: NDArray[np.uint8],
    points: NDArray[np.float64] | None,
    encoder: ImageEncoder | str | None,
    settings: PropagationSettings,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float64] | None]]:
    """Mask and points in each frame."""
    if encoder is None:
        yield from ((first, points) for _ in range(clip.count))
        return
    images = (clip.image(number) for number in range(clip.count))
    for frame in propagate(images, first, points=points, encoder=encoder, settings=settings):
        mask = first if frame.mask is None else frame.mask
        yield mask, None if frame.points is None else frame.points.numpy().astype(np.float64)


def _distances(
    clip: LabelledFrames, points: NDArray[np.float64] | None, tracks: list[NDArray[np.float64]], side: int
) -> NDArray[np.float64]:
    if points is None or clip.follow is None:
        return np.zeros(0)
    positions, visible = clip.follow(points)
    return point_distances(np.stack(tracks), positions, visible, side)


def _check_size(key: str, number: int, mask: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    if mask.shape != expected.shape:
        sizes = [f"{shape[1]} x {shape[0]}" for shape in (expected.shape, mask.shape)]
        raise ValueError(f"{key}: the mask of frame {number} is {sizes[0]} pixels; expected {sizes[1]} as the first")


def _of_points(accuracy: PointAccuracy) -> dict[str, float]:
    return {
        "point_error": accuracy.error,
        "point_median": accuracy.median,
        "points_within": accuracy.within,
        "positions": accuracy.positions,
    }
