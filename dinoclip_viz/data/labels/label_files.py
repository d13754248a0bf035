"""Files whose pixels are ground truth: label masks and depth maps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dinoclip_viz.data.locations import shown
from dinoclip_viz.images import MAXIMUM_PIXELS, ImageError

UNKNOWN = 255
"""The label of pixels of unknown class, which no metric counts."""

_FORMATS = ("PNG", "BMP", "TIFF", "GIF")  # formats without loss
_DEEP = ("I;16", "I;16B", "I;16L", "I")


def read_labels(file: Path) -> NDArray[np.int64]:
    """The numbers (height, width) in a mask: palette indices or grey values.

    Raises:
        ImageError: the file is missing, broken, or an image in colours.
    """
    mode, values = _read(file)
    if mode not in ("1", "L", "P", *_DEEP):
        raise ImageError(f"{shown(file)}: an image in colours ({mode}); expected a mask with one number per pixel")
    return values.astype(np.int64)


def read_depth(file: Path, unit: float = 0.001) -> NDArray[np.float32]:
    """The depth (height, width) in metres of a 16-bit depth map, 0 where it is unknown.

    Args:
        file: a PNG.
        unit: metres per step; millimetres by default.

    Raises:
        ImageError: the file is missing, broken, or does not have 16 bits.
    """
    mode, values = _read(file)
    if mode not in _DEEP:
        raise ImageError(f"{shown(file)}: an image of mode {mode}; expected a depth map of 16 bits")
    return (values.astype(np.float64) * unit).astype(np.float32)


def relabelled(values: NDArray[np.int64], table: Mapping[int, int], file: Path) -> NDArray[np.uint8]:
    """The labels (height, width) for the numbers in a mask.

    Args:
        values: (height, width) numbers from `read_labels`.
        table: number in the file -> label 0 to 254, or `UNKNOWN`.
        file: the mask, for errors.

    Raises:
        ImageError: a number is not in the table.
    """
    labels = np.full(values.shape, UNKNOWN, np.uint8)
    for number in np.unique(values).tolist():
        if number not in table:
            known = f"{min(table)} to {max(table)}" if table else "none"
            raise ImageError(f"{shown(file)}: holds the number {number}, which is no class; expected {known}")
        labels[values == number] = table[number]
    return labels


def _read(file: Path) -> tuple[str, NDArray[np.generic]]:
    try:
        with Image.open(file, formats=_FORMATS) as opened:
            if opened.width * opened.height > MAXIMUM_PIXELS:
                size = f"{opened.width} x {opened.height}"
                raise ImageError(f"{shown(file)}: {size} pixels; expected 40 megapixels at most")
            return opened.mode, np.array(opened)
    except FileNotFoundError as error:
        raise ImageError(f"{shown(file)}: no such file; expected the ground truth of an image") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{shown(file)}: not a PNG; expected the ground truth of an image in a format without loss"
        ) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(f"{shown(file)}: cannot be read ({' '.join(str(error).split())[:100]})") from error
