"""What viz accepts, checked once: images, maps, masks, ranges and colours."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

AnyImage: TypeAlias = Image.Image | ArrayLike
Colours: TypeAlias = Sequence[Sequence[int]] | NDArray[np.uint8]
UNKNOWN = (200, 200, 200)  # the grey of whatever is not known


def as_image(image: AnyImage) -> Image.Image:
    """An RGB image; what is transparent becomes white, what is NaN becomes grey.

    Args:
        image: a PIL image, or an array (H, W) or (H, W, 3) of whole numbers 0 to 255 or of floats 0 to 1.

    Raises:
        ValueError: the array has another shape, or values out of range.

    Examples:
        >>> as_image(np.ones((2, 3))).getpixel((0, 0))
        (255, 255, 255)
        >>> as_image(np.ones((2, 3))).size
        (3, 2)
    """
    if isinstance(image, Image.Image):
        if not image.has_transparency_data:
            return image.convert("RGB")
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
    array = np.asarray(image)
    if array.ndim == 2:
        array = np.stack([array] * 3, axis=-1)  # (H, W, 3)
    if array.ndim != 3 or array.shape[-1] != 3 or array.size == 0:
        raise ValueError(f"an image of shape {array.shape}; expected a PIL image or an array (H, W) or (H, W, 3)")
    if np.issubdtype(array.dtype, np.floating):
        return Image.fromarray(as_bytes(array, "an image of floats"))
    if not np.issubdtype(array.dtype, np.integer) or array.min() < 0 or array.max() > 255:
        raise ValueError(f"an image of {array.dtype} values; expected whole numbers 0 to 255 or floats 0 to 1")
    return Image.fromarray(array.astype(np.uint8))


def as_bytes(colours: NDArray[np.floating], what: str) -> NDArray[np.uint8]:
    """Colours (H, W, 3) from floats in [0, 1]; NaN becomes grey. `what` names the array in the error.

    Raises:
        ValueError: a value lies outside [0, 1].
    """
    unknown = np.isnan(colours).any(axis=-1)  # (H, W)
    filled = np.where(unknown[..., None], 0.0, colours.astype(np.float64))
    if filled.min() < -1e-4 or filled.max() > 1 + 1e-4:
        raise ValueError(f"{what} from {filled.min():g} to {filled.max():g}; expected values from 0 to 1")
    levels = np.round(filled.clip(0, 1) * 255).astype(np.uint8)
    levels[unknown] = UNKNOWN
    return levels


def as_map(values: ArrayLike) -> NDArray[np.float64]:
    """One value a place, (H, W); NaN is kept as unknown.

    Raises:
        ValueError: not two-dimensional, empty, or infinite somewhere.
    """
    array = np.asarray(values)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"values of shape {array.shape}; expected one map (H, W): pass one map at a time")
    array = array.astype(np.float64)
    if np.isinf(array).any():
        raise ValueError("values hold infinity; expected finite numbers, or NaN where a value is unknown")
    return array


def as_mask(mask: ArrayLike) -> NDArray[np.int32]:
    """Whole numbers (H, W), 0 for the background.

    Raises:
        ValueError: not two-dimensional, empty, not whole numbers, or negative.
    """
    array = np.asarray(mask)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"a mask of shape {array.shape}; expected (H, W)")
    if not (array.dtype == np.bool_ or np.issubdtype(array.dtype, np.integer)):
        raise ValueError(f"a mask of {array.dtype} values; expected whole numbers, 0 for the background")
    if array.min() < 0:
        raise ValueError(f"a mask that holds {array.min()}; expected 0 for the background and classes from 1")
    return array.astype(np.int32)


def as_colours(colours: Colours) -> NDArray[np.uint8]:
    """Colours (K, 3), red, green and blue 0 to 255.

    Raises:
        ValueError: another shape, or values that are not whole numbers 0 to 255.
    """
    array = np.asarray(colours)
    if array.ndim != 2 or array.shape[1] != 3:
        raise ValueError(f"colours of shape {array.shape}; expected (K, 3), one row of red, green, blue a class")
    if not np.issubdtype(array.dtype, np.integer) or (array.size and (array.min() < 0 or array.max() > 255)):
        raise ValueError(f"colours of {array.dtype} values; expected whole numbers from 0 to 255")
    return array.astype(np.uint8)


def check_range(low: float, high: float) -> None:
    """Nothing, if low and high bound a colour scale.

    Raises:
        ValueError: not finite, or low is not below high.
    """
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"low={low:g} and high={high:g}; expected finite numbers with low below high")


def check_opacity(opacity: float) -> None:
    """Nothing, if opacity is a share.

    Raises:
        ValueError: outside 0 to 1.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity={opacity:g}; expected 0 (the image alone) to 1 (the colours alone)")


def check_pixels(name: str, pixels: int, least: int = 1) -> None:
    """Nothing, if `pixels` is a length that can be drawn; `name` names it in the error.

    Raises:
        ValueError: below `least`.
    """
    if pixels < least:
        raise ValueError(f"{name}={pixels}; expected at least {least} pixels")
