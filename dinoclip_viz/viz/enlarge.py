"""Small grids enlarged to the size of images: as squares or interpolated."""

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dinoclip_viz.viz.inputs import AnyImage, as_image, as_map, check_pixels

T = TypeVar("T", bound=np.generic)


def enlarge(image: AnyImage, size: int | tuple[int, int], smooth: bool = False) -> Image.Image:
    """The image enlarged, by an integer factor or to an exact size.

    Args:
        image: a PIL image, array or tensor; see `as_image`.
        size: minimum length of the longer side in pixels, reached by an integer factor so that every patch is a square
            of equal size; a larger image is unchanged. Or the exact (width, height).
        smooth: interpolate bicubically instead of drawing squares.

    Raises:
        ValueError: not an image, or a size below 1.

    Examples:
        >>> enlarge(np.zeros((2, 3)), size=10).size
        (12, 8)
        >>> enlarge(np.zeros((2, 3)), size=(10, 7)).size
        (10, 7)
    """
    original = as_image(image)
    resampling = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    return original.resize(enlarged_size(original.width, original.height, size), resampling)


def enlarged_size(width: int, height: int, size: int | tuple[int, int]) -> tuple[int, int]:
    """Width and height after `enlarge`.

    Raises:
        ValueError: a size below 1.
    """
    if isinstance(size, tuple):
        check_pixels("width", size[0])
        check_pixels("height", size[1])
        return size
    check_pixels("size", size)
    factor = max(1, -(-size // max(width, height)))
    return width * factor, height * factor


def enlarge_values(values: ArrayLike, width: int, height: int) -> NDArray[np.float64]:
    """The map (height, width), interpolated bilinearly; unknown values do not affect known ones.

    Args:
        values: (H, W), finite or NaN, no larger than the result.
        width: of the result.
        height: of the result.

    Raises:
        ValueError: not one map, or larger than the result.

    Examples:
        >>> enlarge_values([[0.0, 1.0]], width=4, height=1).tolist()
        [[0.0, 0.25, 0.75, 1.0]]
    """
    array = as_map(values)
    check_grid(array.shape, width, height)
    if array.shape == (height, width):
        return array
    known = ~np.isnan(array)
    weight = _bilinear(known.astype(np.float32), width, height)
    total = _bilinear(np.where(known, array, 0).astype(np.float32), width, height)
    enlarged = total / np.maximum(weight, 1e-6)
    enlarged[~enlarge_labels(known, width, height)] = np.nan
    return enlarged.clip(array[known].min(), array[known].max()) if known.any() else enlarged


def enlarge_labels(labels: NDArray[T], width: int, height: int) -> NDArray[T]:
    """The labels (height, width), each pixel with the label of its cell.

    Raises:
        ValueError: larger than the result.
    """
    check_grid(labels.shape, width, height)
    rows = (2 * np.arange(height) + 1) * labels.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * labels.shape[1] // (2 * width)
    enlarged: NDArray[T] = labels[rows[:, None], columns[None, :]]
    return enlarged


def check_grid(shape: tuple[int, ...], width: int, height: int) -> None:
    """Check that a grid (H, W) is no larger than its image.

    Raises:
        ValueError: it is larger, as after exchanging rows and columns.
    """
    if shape[0] > height or shape[1] > width:
        raise ValueError(
            f"a map of {shape[0]} rows and {shape[1]} columns on an image of {height} rows and {width} columns; "
            "expected the image's size or a smaller grid, rows first"
        )


def _bilinear(values: NDArray[np.float32], width: int, height: int) -> NDArray[np.float64]:
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR)).astype(np.float64)
