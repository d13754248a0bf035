"""Propagation of a mask or of points through the frames of a video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders import as_encoder
from dinoclip_viz.encoders.base import ImageEncoder, ImageFeatures
from dinoclip_viz.images import MAXIMUM_SIDE, ImageError, ImageLike, is_image, load_image
from dinoclip_viz.tasks.propagation.labels import LabelPropagator, normalised, patch_fractions
from dinoclip_viz.tasks.propagation.points import label_positions, point_labels, values_at
from dinoclip_viz.tasks.propagation.settings import DEFAULTS, PropagationSettings
from dinoclip_viz.tasks.upsampling.maps import upsample_part

VOID = 255
"""The label of unknown pixels in a mask; they are background, as in the evaluation of DAVIS."""
MOST_OBJECTS = 254
AT_ONCE = 4
"""Frames that are encoded together."""
_FRAMES = 'a sequence of images, such as (frame.image for frame in dv.frames("clip.mp4"))'
_MASK = "(height, width) whole numbers, 0 for the background and k for object k, or (K, height, width) bool"


@dataclass(frozen=True, eq=False)
class PropagatedFrame:
    """A frame with what was propagated into it.

    Attributes:
        number: of the frame, from 0.
        image: the frame, RGB.
        mask: (height, width) uint8, 0 for the background and k for object k; None without a mask.
        points: (N, 2) x and y of each point in pixels; None without points.
        similarity: (N,) cosine of the patch tokens at each point here and in the first frame; None without points.
    """

    number: int
    image: Image.Image
    mask: NDArray[np.uint8] | None = None
    points: Tensor | None = None
    similarity: Tensor | None = None


def propagate(
    frames: Iterable[ImageLike],
    masks: ArrayLike | Tensor | None = None,
    *,
    points: ArrayLike | Tensor | None = None,
    encoder: ImageEncoder | str = "playground-dino",
    settings: PropagationSettings = DEFAULTS,
) -> Iterator[PropagatedFrame]:
    """The frames of a video with the objects or points of the first frame found in each, without any training.

    The method is the evaluation of DINO on DAVIS (Caron et al. 2021): `LabelPropagator`, then for each label the values
    scaled to 0..1, and the largest at each pixel. Differences: the labels of the first frame are fractions of each
    patch, where DINO samples the mask at its centre; labels are upsampled to the frame's own size at once, along its
    edges (`settings.sharp`).

    Frames are read, encoded and returned one after the other; memory does not grow with their number.

    Args:
        frames: images in any form, all of one size, such as `frame.image for frame in dv.frames("clip.mp4")`, or an
            array or tensor (T, height, width, 3).
        masks: of the first frame, at its size: (height, width) label map, 0 for the background and k for object k, at
            most 254 objects; or (K, height, width) bool, one mask per object, later ones on top. 255 is background.
        points: (N, 2) x and y in pixels of the first frame.
        encoder: an image encoder or its name.
        settings: of the propagation.

    Raises:
        ImageError: there is no frame, or one cannot be read; errors of later frames are raised when they are reached.
        ValueError: neither masks nor points, a mask of another size or kind, a point outside the frame, or frames of
            different sizes.

    Examples:
        >>> from dinoclip_viz import playground
        >>> moving = playground.clip(1500, frames=3, size=96)
        >>> found = list(propagate((frame.image for frame in moving), moving[0].instances, points=[[48, 48]]))
        >>> [(one.number, one.mask.shape, one.points.shape) for one in found][2]
        (2, (96, 96), torch.Size([1, 2]))
    """
    if masks is None and points is None:
        raise ValueError("found neither masks nor points; expected one of them: what to propagate")
    images = _images(frames)
    first = next(images, None)
    if first is None:
        raise ImageError(f"frames: found an empty sequence; expected {_FRAMES}")
    mask = None if masks is None else checked_mask(masks, first.size)
    marked = None if points is None else checked_points(points, first.size)
    return _propagated(chain([first], images), mask, marked, as_encoder(encoder), settings)


def checked_mask(masks: ArrayLike | Tensor, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(height, width) uint8 label map of a first frame.

    Args:
        masks: as in `propagate`.
        size: width and height of the frame.

    Raises:
        ValueError: another size or kind, more than 254 objects, or no object.

    Examples:
        >>> checked_mask(np.array([[0, 255], [2, 0]]), (2, 2)).tolist()
        [[0, 0], [2, 0]]
    """
    values = np.asarray(masks)
    whole = np.issubdtype(values.dtype, np.integer) or values.dtype == bool
    if not whole or values.ndim not in (2, 3) or values.shape[-2:] != size[::-1]:
        raise ValueError(
            f"found masks of shape {values.shape} and type {values.dtype}; expected {_MASK}, at the first frame's "
            f"height {size[1]} and width {size[0]}"
        )
    if values.ndim == 3:
        if values.dtype != bool and not np.isin(values, (0, 1)).all():
            raise ValueError(f"found masks of {len(values)} objects with values other than 0 and 1; expected {_MASK}")
        numbers = np.arange(1, len(values) + 1)[:, None, None]
        values = (values.astype(np.int64) * numbers).max(0, initial=0)  # later objects on top
    labels = np.where(values == VOID, 0, values)
    if labels.min() < 0 or labels.max() > MOST_OBJECTS:
        raise ValueError(f"found labels from {labels.min()} to {labels.max()}; expected 0 to {MOST_OBJECTS}")
    if not labels.any():
        raise ValueError("found a mask of background only; expected at least one object, labelled 1 or more")
    return labels.astype(np.uint8)


def checked_points(points: ArrayLike | Tensor, size: tuple[int, int]) -> Tensor:
    """(N, 2) points of a first frame, float32.

    Args:
        points: (N, 2) x and y in pixels.
        size: width and height of the frame.

    Raises:
        ValueError: another shape, or a point outside the frame.
    """
    values = np.asarray(points, np.float32)
    if values.ndim != 2 or values.shape[1] != 2 or not len(values):
        raise ValueError(f"found points of shape {values.shape}; expected (N, 2) x and y, N of 1 or more")
    for x, y in values.tolist():
        if not (0 <= x <= size[0] and 0 <= y <= size[1]):  # NaN is outside too
            raise ValueError(
                f"found the point ({x:g}, {y:g}); expected x from 0 to {size[0]} and y from 0 to {size[1]} pixels, "
                "inside the first frame"
            )
    return torch.from_numpy(values)


def label_map(values: Tensor, image: Image.Image, sharp: str = DEFAULTS.sharp) -> NDArray[np.uint8]:
    """(height, width) label with the largest value at each pixel, each label's values scaled to 0..1.

    Args:
        values: (H, W, C) values of C labels, of patches that cover the whole image.
        image: RGB; a side longer than 1024 pixels is computed at 1024 and enlarged.
        sharp: as in `PropagationSettings`.
    """
    factor = min(1.0, MAXIMUM_SIDE / max(image.size))
    width, height = (max(1, round(side * factor)) for side in image.size)
    finer = upsample_part(values, image, (0, 0, *image.size), (height, width), sharp)  # (height, width, C)
    labels = normalised(finer).argmax(-1).to(torch.uint8).numpy()
    if (width, height) == image.size:
        return labels
    return np.asarray(Image.fromarray(labels).resize(image.size, Image.Resampling.NEAREST))


def _images(frames: Iterable[ImageLike]) -> Iterator[Image.Image]:
    """The frames as RGB images, one after the other.

    Raises:
        ImageError: one image instead of a sequence, or a frame that cannot be read; the message has its number.
    """
    whole = getattr(frames, "ndim", 0) == 4
    if (is_image(frames) and not whole) or isinstance(frames, (Mapping, Set)) or not isinstance(frames, Iterable):
        raise ImageError(f"frames: found {type(frames).__name__}; expected {_FRAMES}")
    return _loaded(frames)


def _loaded(frames: Iterable[ImageLike]) -> Iterator[Image.Image]:
    for number, frame in enumerate(frames):
        try:
            yield load_image(frame)
        except ImageError as error:
            raise ImageError(f"frame {number}: {error}") from error


def _propagated(
    images: Iterator[Image.Image],
    mask: NDArray[np.uint8] | None,
    points: Tensor | None,
    encoder: ImageEncoder,
    settings: PropagationSettings,
) -> Iterator[PropagatedFrame]:
    state: _State | None = None
    for number, (image, features) in enumerate(_encoded(images, encoder, settings.size)):
        if state is None:
            state = _State(features, image.size, mask, points, settings)
            yield PropagatedFrame(number, image, mask, points, None if points is None else torch.ones(len(points)))
        else:
            yield state.next(number, image, features)


def _encoded(
    images: Iterator[Image.Image], encoder: ImageEncoder, size: int | None
) -> Iterator[tuple[Image.Image, ImageFeatures]]:
    while some := list(islice(images, AT_ONCE)):
        yield from zip(some, encoder.encode_each(some, size, "whole"), strict=True)


class _State:
    """The first frame, and the labels of the last ones."""

    def __init__(
        self,
        features: ImageFeatures,
        size: tuple[int, int],
        mask: NDArray[np.uint8] | None,
        points: Tensor | None,
        settings: PropagationSettings,
    ) -> None:
        self.size, self.sharp = size, settings.sharp
        self.box: list[float] = features.boxes[0].tolist()
        self.count = 0 if mask is None else int(mask.max()) + 1
        parts = [] if mask is None else [patch_fractions(mask, features.grid, self.count)]
        parts += [] if points is None else [point_labels(points, features.grid, self.box)]
        self.propagator = LabelPropagator(features, torch.cat(parts, dim=-1), settings)
        self.tokens = None if points is None else values_at(_unit(features), points, self.box)  # (N, D)

    def next(self, number: int, image: Image.Image, features: ImageFeatures) -> PropagatedFrame:
        if image.size != self.size:
            found, expected = (f"{width} x {height}" for width, height in (image.size, self.size))
            raise ValueError(f"frame {number} is {found} pixels; expected {expected} as the first: frames of one size")
        values = self.propagator.step(features)
        mask = label_map(values[..., : self.count], image, self.sharp) if self.count else None
        if self.tokens is None:
            return PropagatedFrame(number, image, mask)
        points = label_positions(values[..., self.count :], self.box)
        similarity = F.cosine_similarity(self.tokens, values_at(_unit(features), points, self.box), dim=1)
        return PropagatedFrame(number, image, mask, points, similarity)


def _unit(features: ImageFeatures) -> Tensor:
    """(H, W, D) unit patch tokens."""
    return F.normalize(features.patches[0].float(), dim=-1)
