"""Heat maps and masks over an image."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dinoclip_viz.viz.colours import colour_map
from dinoclip_viz.viz.enlarge import enlarge_labels, enlarge_values
from dinoclip_viz.viz.inputs import UNKNOWN, AnyImage, Colours, as_colours, as_image, as_mask, check_opacity
from dinoclip_viz.viz.outline import line_thickness, region_edges, stripes

LIGHT = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # luminance of red, green and blue
DIM = 0.5  # brightness of the image outside the region above a threshold


def heat_overlay(
    image: AnyImage,
    values: ArrayLike,
    low: float,
    high: float,
    opacity: float = 0.6,
    colours: str = "magma",
    threshold: float | None = None,
) -> Image.Image:
    """The image, at its own size, blended with the colours of a map of values.

    Pixels with NaN show the image through grey stripes.

    Args:
        image: the image.
        values: (H, W) at the image's size, or a smaller grid that covers the whole image.
        low: the value of the first colour.
        high: the value of the last colour.
        opacity: 0 (the image alone) to 1 (the colours alone).
        colours: a colour map's name, as in `colour_map`.
        threshold: pixels below this value are shown grey and dimmed, with an outline around the others; None for none.

    Raises:
        ValueError: a map larger than the image, an unknown colour map, low not below high, opacity out of range, or
            a threshold that is not finite.

    Examples:
        >>> heat_overlay(np.zeros((1, 2)), [[0.0, 1.0]], low=0, high=1, opacity=1, colours="viridis").getpixel((1, 0))
        (253, 231, 37)
    """
    check_opacity(opacity)
    base, width, height = _base(image)
    known = enlarge_values(values, width, height)  # (height, width)
    shown = _blend(base, colour_map(known, low, high, colours), opacity)
    unknown = np.isnan(known)
    if threshold is not None:
        if not np.isfinite(threshold):
            raise ValueError(f"threshold={threshold}; expected a finite value of the map, or None for none")
        region = known >= threshold  # (height, width); NaN is never above
        quiet = base @ (LIGHT * DIM)  # (height, width)
        shown = np.where(region[..., None], shown, quiet[..., None])
        thickness = line_thickness(width, height)
        edge = region_edges(region.astype(np.int32), thickness)
        shown[edge & ~region] = 0
        shown[edge & region] = 255
    hatched = np.where(stripes(height, width)[..., None], _blend(base, UNKNOWN, 0.8), base)
    return _image(np.where(unknown[..., None], hatched, shown))


def mask_overlay(image: AnyImage, mask: ArrayLike, colours: Colours, opacity: float = 0.5) -> Image.Image:
    """The image, at its own size, with each region of a mask tinted; the background is unchanged.

    Args:
        image: the image.
        mask: (H, W) whole numbers, 0 for the background and index + 1 for a class, at the image's size or a smaller
            grid that covers the whole image.
        colours: (K, 3) red, green, blue 0 to 255 of each class, as from `class_palette`.
        opacity: 0 (the image alone) to 1 (the colours alone).

    Raises:
        ValueError: a mask larger than the image, a class without a colour, or opacity out of range.

    Examples:
        >>> shown = mask_overlay(np.zeros((1, 2)), [[0, 1]], [(200, 100, 50)], opacity=0.5)
        >>> shown.getpixel((0, 0)), shown.getpixel((1, 0))
        ((0, 0, 0), (100, 50, 25))
    """
    check_opacity(opacity)
    base, width, height = _base(image)
    labels, table = _labels(mask, colours, width, height)
    return _image(np.where((labels > 0)[..., None], _blend(base, table[labels], opacity), base))


def mask_outline(image: AnyImage, mask: ArrayLike, colours: Colours, thickness: int | None = None) -> Image.Image:
    """The image, at its own size, with an outline in the class's colour just inside each region of a mask.

    A thin white or black line, whichever contrasts more, runs inside the outline.

    Args:
        image: the image.
        mask: (H, W) as in `mask_overlay`.
        colours: (K, 3) as in `mask_overlay`.
        thickness: of the outline in pixels; None derives it from the image's size.

    Raises:
        ValueError: a mask larger than the image, a class without a colour, or a thickness below 1.

    Examples:
        >>> drawn = mask_outline(np.zeros((1, 6)), [[0, 1, 1, 1, 1, 1]], [(200, 100, 50)], thickness=1)
        >>> [drawn.getpixel((x, 0)) for x in range(4)]
        [(0, 0, 0), (200, 100, 50), (255, 255, 255), (0, 0, 0)]
    """
    base, width, height = _base(image)
    labels, table = _labels(mask, colours, width, height)
    thickness = 2 * line_thickness(width, height) if thickness is None else thickness
    if thickness < 1:
        raise ValueError(f"thickness={thickness}; expected at least 1 pixel")
    inside = labels > 0
    line = region_edges(labels, thickness) & inside
    halo = region_edges(labels, thickness + max(1, thickness // 3)) & inside & ~line
    contrast = np.where(table @ LIGHT < 128, 255, 0)  # (K + 1,)
    shown = np.where(halo[..., None], contrast[labels][..., None], base)
    return _image(np.where(line[..., None], table[labels], shown))


def _base(image: AnyImage) -> tuple[NDArray[np.float32], int, int]:
    figure = as_image(image)
    return np.asarray(figure).astype(np.float32), figure.width, figure.height


def _labels(
    mask: ArrayLike, colours: Colours, width: int, height: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The mask (height, width) and the colours (K + 1, 3) by label, the background's first."""
    labels = enlarge_labels(as_mask(mask), width, height)
    given = as_colours(colours)
    if labels.max() > len(given):
        raise ValueError(
            f"a mask with label {labels.max()} and {len(given)} colours; expected one colour for each label from 1"
        )
    return labels, np.concatenate([np.zeros((1, 3)), given]).astype(np.float32)


def _blend(base: NDArray[np.float32], tint: ArrayLike, opacity: float) -> NDArray[np.float32]:
    return (1 - opacity) * base + opacity * np.asarray(tint, dtype=np.float32)


def _image(colours: NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(np.round(colours).astype(np.uint8))
