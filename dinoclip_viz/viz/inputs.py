"""Checked conversion of the inputs of viz: images, maps, masks, ranges and colours."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

AnyImage: TypeAlias = Image.Image | ArrayLike
Colours: TypeAlias = Sequence[Sequence[int]] | NDArray[np.uint8]
CHANNELS = (1, 3, 4)
UNKNOWN = (200, 200, 200)  # grey of unknown values


def as_array(values: ArrayLike) -> NDArray[np.generic]:
    """A NumPy array of an array-like or a tensor, from any device and with or without a gradient."""
    if callable(getattr(values, "detach", None)):  # a tensor, without importing torch
        tensor = values.detach().cpu()  # type: ignore[union-attr]
        values = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
    return np.asarray(values)


def as_image(image: AnyImage) -> Image.Image:
    """An RGB image; transparency becomes white, NaN becomes grey.

    Args:
        image: a PIL image, or an array or tensor of whole numbers 0 to 255, of floats 0 to 1 or of bool: (H, W),
            (H, W, C) or (C, H, W) with C of 1, 3 or 4. Where both ends could be channels, an array has them last and a
            tensor first.

    Raises:
        ValueError: another shape, or values out of range.

    Examples:
        >>> as_image(np.ones((2, 3))).getpixel((0, 0))
        (255, 255, 255)
        >>> as_image(np.ones((2, 3))).size
        (3, 2)
    """
    if isinstance(image, Image.Image) and image.mode[0] in "IF":  # convert would clip their values
        return as_image(np.asarray(image))
    if isinstance(image, Image.Image):
        if not image.has_transparency_data:
            return image.convert("RGB")
        paper = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
    array = _channels_last(as_array(image), first=hasattr(image, "detach"))  # (H, W, C)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    if np.issubdtype(array.dtype, np.floating):
        array = as_bytes(array, "an image of floats")
    elif not np.issubdtype(array.dtype, np.integer) or array.min() < 0 or array.max() > 255:
        raise ValueError(f"an image of {array.dtype} values; expected whole numbers 0 to 255 or floats 0 to 1")
    array = array.astype(np.uint8)
    return as_image(Image.fromarray(array[..., 0] if array.shape[2] == 1 else array))


def _channels_last(array: NDArray[np.generic], first: bool) -> NDArray[np.generic]:
    """The array as (H, W, C); `first` decides where both ends could be channels.

    Raises:
        ValueError: the shape is not that of an image.
    """
    if array.ndim == 2 and array.size:
        return array[..., None]
    ends = [array.ndim == 3 and array.size > 0 and array.shape[axis] in CHANNELS for axis in (0, 2)]
    if not any(ends):
        raise ValueError(
            f"an image of shape {array.shape}; expected a PIL image or an array (H, W), (H, W, C) or (C, H, W) with "
            "1, 3 or 4 channels"
        )
    return array.transpose(1, 2, 0) if ends[0] and (first or not ends[1]) else array


def as_bytes(colours: NDArray[np.generic], what: str) -> NDArray[np.uint8]:
    """Colours (..., C), 0 to 255, from floats in [0, 1]; NaN becomes grey. `what` names the array in the error.

    Raises:
        ValueError: a value lies outside [0, 1].
    """
    values = colours.astype(np.float64)
    unknown = np.asarray(np.isnan(values).any(axis=-1))  # (H, W)
    filled = np.where(unknown[..., None], 0.0, values)
    if filled.min() < -1e-4 or filled.max() > 1 + 1e-4:
        raise ValueError(f"{what} from {filled.min():g} to {filled.max():g}; expected values from 0 to 1")
    levels: NDArray[np.uint8] = np.round(filled.clip(0, 1) * 255).astype(np.uint8)
    levels[unknown] = (*UNKNOWN, 255)[: levels.shape[-1]]
    return levels


def as_map(values: ArrayLike) -> NDArray[np.float64]:
    """A map (H, W) of values; NaN means unknown and is kept.

    Raises:
        ValueError: not two-dimensional, empty, or infinite somewhere.
    """
    array = as_array(values)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"values of shape {array.shape}; expected one map (H, W): pass one map at a time")
    numbers = array.astype(np.float64)
    if np.isinf(numbers).any():
        raise ValueError("values hold infinity; expected finite numbers, or NaN where a value is unknown")
    return numbers


def as_mask(mask: ArrayLike) -> NDArray[np.int32]:
    """Whole numbers (H, W), 0 for the background.

    Raises:
        ValueError: not two-dimensional, empty, not whole numbers, or negative.
    """
    array = as_array(mask)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"a mask of shape {array.shape}; expected (H, W)")
    if not (array.dtype == np.bool_ or np.issubdtype(array.dtype, np.integer)):
        raise ValueError(f"a mask of {array.dtype} values; expected whole numbers, 0 for the background")
    labels = array.astype(np.int64)
    if labels.min() < 0:
        raise ValueError(f"a mask that holds {labels.min()}; expected 0 for the background and classes from 1")
    return labels.astype(np.int32)


def as_colours(colours: Colours) -> NDArray[np.uint8]:
    """Colours (K, 3), red, green and blue 0 to 255.

    Raises:
        ValueError: another shape, or values that are not whole numbers 0 to 255.
    """
    array = as_array(colours)
    if array.ndim != 2 or array.shape[1] != 3:
        raise ValueError(f"colours of shape {array.shape}; expected (K, 3), one row of red, green, blue per class")
    if not np.issubdtype(array.dtype, np.integer) or (array.size and (array.min() < 0 or array.max() > 255)):
        raise ValueError(f"colours of {array.dtype} values; expected whole numbers from 0 to 255")
    return array.astype(np.uint8)


def check_range(low: float, high: float) -> None:
    """Check that low and high bound a colour scale.

    Raises:
        ValueError: not finite, or low is not below high.
    """
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"low={low:g} and high={high:g}; expected finite numbers with low below high")


def check_opacity(opacity: float) -> None:
    """Check that an opacity is in [0, 1].

    Raises:
        ValueError: it is outside.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity={opacity:g}; expected 0 (the image alone) to 1 (the colours alone)")


def check_pixels(name: str, pixels: int, least: int = 1) -> None:
    """Check that a length in pixels is at least `least`; `name` names it in the error.

    Raises:
        ValueError: it is below `least`.
    """
    if pixels < least:
        raise ValueError(f"{name}={pixels}; expected at least {least} pixels")
