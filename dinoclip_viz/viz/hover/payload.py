"""Images and their patches -> the payload for the browser: small images, int8 features, colours."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dinoclip_viz.viz.colours import colour_table
from dinoclip_viz.viz.inputs import AnyImage, as_image, check_range

MOST_IMAGES = 6
LONGEST = 768
"""Pixels of the longer side of an image that is sent."""
LEVELS = 127
LEAST_DIMENSION = 64
"""Shorter features are rotated into this dimension: the rounding error falls with the number of dimensions."""
_SEED = 0
_ROWS = 8192  # patches per block
_OUTSIDE = 1e-3  # tolerance of a box outside its image, as a fraction of the side


@dataclass(frozen=True)
class HoverPayload:
    """The payload for the browser.

    Attributes:
        meta: everything but arrays: `images` (src, name, width, height, rows, columns, box as fractions of the sides),
            the features' `dimension`, the colour scale's `low` and `high`, its `colours`, the `style` and the `size`.
        features: int8 (N, D'), the patches of all images, row by row, image after image.
        scales: float32 (N,), little-endian; the cosine of two patches is the dot product of their bytes, times both.
        nbytes: bytes of the "features", their "scales" and the "images".
    """

    meta: dict[str, object]
    features: bytes
    scales: bytes
    nbytes: dict[str, int]

    def to_json(self) -> str:
        """The payload as one JSON object, the bytes in base 64."""
        arrays = {"features": _base64(self.features), "scales": _base64(self.scales)}
        return json.dumps({**self.meta, **arrays}, separators=(",", ":"))


def hover_payload(
    images: Sequence[AnyImage],
    patches: Sequence[ArrayLike],
    boxes: Sequence[Sequence[float] | None] | None = None,
    names: Sequence[str] | None = None,
    low: float = -0.2,
    high: float = 1.0,
    colours: str = "magma",
) -> HoverPayload:
    """The payload from which the browser computes the cosine similarity of every patch to all patches of all images.

    Args:
        images: one to six; those above 768 pixels are reduced.
        patches: an array (H, W, D) per image, not normalised; H and W may differ, D may not. A patch of zeros has
            similarity 0 to all patches.
        boxes: the part of each image that its grid covers, (x0, y0, x1, y1) in its pixels; None for all of it.
        names: of the images; by default "image 1" and so on.
        low: the cosine of the first colour.
        high: the cosine of the last colour.
        colours: a colour map's name, as in `colour_map`.

    Raises:
        ValueError: there are no images or more than six, lists of different lengths, patches of another shape or of
            different D, values that are NaN or infinite, a box outside its image, an unknown colour map, or low is not
            below high.

    Examples:
        >>> payload = hover_payload([np.zeros((8, 12))], [np.ones((2, 3, 4))])
        >>> payload.meta["images"][0]["rows"], payload.nbytes["features"], payload.nbytes["scales"]
        (2, 384, 24)
    """
    count = len(images)
    if not 1 <= count <= MOST_IMAGES:
        raise ValueError(f"found {count} images; expected 1 to {MOST_IMAGES}")
    for what, given in (("arrays of patches", patches), ("boxes", boxes), ("names", names)):
        if given is not None and len(given) != count:
            raise ValueError(f"found {count} images and {len(given)} {what}; expected one per image")
    check_range(low, high)
    grids = [_grid(values, f"patches of image {index + 1}") for index, values in enumerate(patches)]
    dimensions = list(dict.fromkeys(grid.shape[-1] for grid in grids))
    if len(dimensions) > 1:
        found = " and ".join(map(str, dimensions))
        raise ValueError(f"found patches of {found} dimensions; expected one dimension; use a single encoder")
    parts = [quantise(grid.reshape(-1, dimensions[0])) for grid in grids]
    features = b"".join(levels.tobytes() for levels, _ in parts)
    scales = b"".join(scale.astype("<f4").tobytes() for _, scale in parts)
    called = names or [f"image {index + 1}" for index in range(count)]
    shown = [
        _shown(as_image(image), grid, boxes[index] if boxes is not None else None, str(called[index]))
        for index, (image, grid) in enumerate(zip(images, grids, strict=True))
    ]
    nbytes = {
        "features": len(features),
        "scales": len(scales),
        "images": sum(len(str(each["src"])) for each in shown),
    }
    meta: dict[str, object] = {
        "images": shown,
        "dimension": parts[0][0].shape[1],
        "low": low,
        "high": high,
        "colours": _base64(colour_table(colours).tobytes()),
        "style": _style(),
        "size": _words(nbytes, len(scales) // 4, dimensions[0]),
        "digest": hashlib.sha256(features + scales).hexdigest()[:16],
    }
    return HoverPayload(meta, features, scales, nbytes)


def quantise(patches: NDArray[np.floating]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers (N, D') from -127 to 127 and a scale (N,) per patch, whose products are the cosines of the patches.

    Each patch is normalised and rotated by a fixed orthogonal matrix (random signs, then the cosine transform). This
    keeps every cosine and spreads a single large channel over all dimensions; without it such a channel would use all
    127 levels and round the others to 0. The same trick, with Hadamard's matrix: Ailon and Chazelle 2006.
    The scale normalises the rounded vector, so that the similarity of a patch to itself is 1. D' is D, at least 64.

    Args:
        patches: (N, D) finite; a patch of zeros stays zeros, its scale is 0.

    Examples:
        >>> levels, scales = quantise(np.array([[3.0, 4.0], [4.0, 3.0], [0.0, 0.0]]))
        >>> cosines = (levels.astype(float) @ levels.T) * scales[:, None] * scales
        >>> cosines.round(2).tolist()
        [[1.0, 0.96, 0.0], [0.96, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    count, dimension = patches.shape
    turn = _turn(dimension)
    levels = np.zeros((count, turn.shape[1]), np.int8)
    scales = np.zeros(count, np.float32)
    for start in range(0, count, _ROWS):
        part = patches[start : start + _ROWS].astype(np.float64)
        largest = np.abs(part).max(axis=1, keepdims=True)
        part = part / np.where(largest > 0, largest, 1.0)  # first, since the squares of large numbers overflow
        length = np.linalg.norm(part, axis=1, keepdims=True)
        unit = (part / np.where(length > 0, length, 1.0)).astype(np.float32) @ turn  # (n, D')
        peak = np.abs(unit).max(axis=1, keepdims=True)
        rounded = np.rint(unit * (LEVELS / np.where(peak > 0, peak, 1.0)))
        norm = np.linalg.norm(rounded, axis=1)
        levels[start : start + _ROWS] = rounded
        scales[start : start + _ROWS] = np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)
    return levels, scales


@cache
def _turn(dimension: int) -> NDArray[np.float32]:
    """Orthonormal rows (D, D'): random signs, then the first rows of the cosine transform (DCT-II)."""
    signs = np.random.default_rng(_SEED).choice([-1.0, 1.0], dimension)
    wide = max(dimension, LEAST_DIMENSION)
    position, wave = np.arange(dimension) + 0.5, np.arange(wide)
    waves = np.cos(np.pi / wide * position[:, None] * wave) * np.sqrt(2 / wide)  # (D, D')
    waves[:, 0] /= np.sqrt(2)
    return np.asarray(signs[:, None] * waves, dtype=np.float32)


def _grid(patches: ArrayLike, what: str) -> NDArray[np.floating]:
    array = np.asarray(patches)
    if array.ndim != 3 or array.size == 0:
        raise ValueError(f"{what} have shape {array.shape}; expected (H, W, D) of one image")
    if not np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float32)
    wrong = int((~np.isfinite(array)).any(axis=-1).sum())
    if wrong:
        raise ValueError(f"{wrong} {what} are NaN or infinite; expected finite numbers; try another dtype or device")
    return array


def _shown(image: Image.Image, grid: NDArray[np.floating], box: Sequence[float] | None, name: str) -> dict[str, object]:
    width, height = image.size
    x0, y0, x1, y1 = (float(edge) for edge in (box if box is not None else (0, 0, width, height)))
    fractions = (x0 / width, y0 / height, x1 / width, y1 / height)
    inside = all(-_OUTSIDE <= fraction <= 1 + _OUTSIDE for fraction in fractions)
    if not (inside and x0 < x1 and y0 < y1):
        raise ValueError(
            f"{name}: found box ({x0:g}, {y0:g}, {x1:g}, {y1:g}); expected (x0, y0, x1, y1) inside the image of "
            f"{width} x {height} pixels"
        )
    small = image.copy()
    small.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    rows, columns = grid.shape[:2]
    return {
        "src": _data_url(small),
        "name": name,
        "width": small.width,
        "height": small.height,
        "rows": rows,
        "columns": columns,
        "box": [round(min(max(fraction, 0.0), 1.0), 6) for fraction in fractions],
    }


def _data_url(image: Image.Image) -> str:
    """The image as a data URL: the smaller of PNG and JPEG."""
    png, jpeg = io.BytesIO(), io.BytesIO()
    image.save(png, "PNG", optimize=True)
    image.save(jpeg, "JPEG", quality=88, subsampling=0)
    kind, data = min(("png", png.getvalue()), ("jpeg", jpeg.getvalue()), key=lambda pair: len(pair[1]))
    return f"data:image/{kind};base64,{_base64(data)}"


@cache
def _style() -> str:
    return files("dinoclip_viz.viz.hover").joinpath("hover.css").read_text(encoding="utf-8")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _words(nbytes: dict[str, int], count: int, dimension: int) -> str:
    """The sizes in one line, in decimal megabytes.

    Examples:
        >>> _words({"features": 1_050_000, "scales": 11_000, "images": 90_000}, 2738, 384)
        '2,738 patches of 384 numbers, sent once: 1.06 MB of int8 features, 0.09 MB of images.'
    """
    features = (nbytes["features"] + nbytes["scales"]) / 1e6
    return (
        f"{count:,} patches of {dimension} numbers, sent once: {features:.2f} MB of int8 features, "
        f"{nbytes['images'] / 1e6:.2f} MB of images."
    )
