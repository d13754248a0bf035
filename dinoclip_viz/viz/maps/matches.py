"""Correspondences between two images: points of equal colour, joined by lines."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from dinoclip_viz.viz.inputs import AnyImage, Colours, as_array, as_colours, as_image, check_pixels
from dinoclip_viz.viz.text import FAINT, draw_lines, font_for, line_height, text_size, wrap

PAPER = (255, 255, 255)
LIGHTEST, DARKEST = 0.7, 0.36  # lightness of the colours of the highest and of the lowest point
HUES = 0.82  # of the circle, so that the left and the right end differ
WIDEST = 3  # times its height, for one of the two images
_FINER = 2  # supersampling factor, for smooth lines


def place_colours(points: ArrayLike) -> NDArray[np.uint8]:
    """Colours (N, 3), 0 to 255, by position: hue varies from left to right, lightness falls from top to bottom.

    Neighbouring points get similar colours. The range is the bounding box of the points.

    Args:
        points: (N, 2) x and y.

    Raises:
        ValueError: another shape, or values that are not finite.

    Examples:
        >>> place_colours([[0, 0], [10, 0], [10, 5]]).tolist()
        [[251, 106, 106], [240, 106, 251], [165, 5, 179]]
    """
    array = _points(points)
    if not len(array):
        return np.zeros((0, 3), np.uint8)
    low, high = array.min(0), array.max(0)
    across, down = ((array - low) / np.where(high > low, high - low, 1)).T
    colours = [
        colorsys.hls_to_rgb(HUES * x, LIGHTEST + (DARKEST - LIGHTEST) * y, 0.95)
        for x, y in zip(across.tolist(), down.tolist(), strict=True)
    ]
    return np.round(np.array(colours) * 255).astype(np.uint8)


def mark_points(image: AnyImage, points: ArrayLike, colours: Colours, radius: float | None = None) -> Image.Image:
    """The image, at its own size, with a coloured disc at each point, ringed in white and black.

    Args:
        image: the image.
        points: (N, 2) x and y in pixels; a point outside is clipped.
        colours: (N, 3) red, green, blue 0 to 255, as from `place_colours`.
        radius: of a disc in pixels; None derives it from the image's size.

    Raises:
        ValueError: unequal numbers of points and colours, invalid shapes, or a radius that is not above 0.

    Examples:
        >>> marked = mark_points(Image.new("RGB", (40, 40)), [[20, 20]], [(200, 0, 0)], radius=5)
        >>> marked.size, marked.getpixel((20, 20))
        ((40, 40), (200, 0, 0))
    """
    figure, array, table = as_image(image), _points(points), as_colours(colours)
    if len(table) != len(array):
        raise ValueError(f"{len(array)} points and {len(table)} colours; expected one colour per point")
    radius = _radius(figure.size) if radius is None else radius
    if not radius > 0:
        raise ValueError(f"radius={radius}; expected more than 0 pixels")
    large = figure.resize((figure.width * _FINER, figure.height * _FINER), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(large)
    for point, colour in zip(array * _FINER, table.tolist(), strict=True):
        _disc(draw, point, radius * _FINER, tuple(colour))
    return large.resize(figure.size, Image.Resampling.BOX)


def match_image(
    first: AnyImage,
    second: AnyImage,
    a: ArrayLike,
    b: ArrayLike,
    captions: Sequence[str] | None = None,
    height: int = 512,
    note: str = "",
) -> Image.Image:
    """Two images next to each other on white, with corresponding points in one colour and joined by lines.

    The colour encodes the position in the first image; see `place_colours`.

    Args:
        first: an image.
        second: another.
        a: (N, 2) x and y in pixels of the first image.
        b: (N, 2) the corresponding positions in the second image.
        captions: two titles, wrapped to their images' widths; None for none.
        height: of both images in pixels, at least 16; an image wider than three heights is scaled down.
        note: text below, such as the meaning of the colours; "" for none.

    Raises:
        ValueError: unequal numbers of points, captions that are not two, invalid shapes, or a height below 16.

    Examples:
        >>> square, wide = Image.new("RGB", (40, 40)), Image.new("RGB", (80, 40))
        >>> match_image(square, wide, [[20, 20]], [[60, 20]], height=80).size
        (288, 112)
    """
    points = [_points(a), _points(b)]
    if len(points[0]) != len(points[1]):
        raise ValueError(
            f"{len(points[0])} points in the first image and {len(points[1])} in the second; expected pairs"
        )
    if captions is not None and (isinstance(captions, str) or len(captions) != 2):
        raise ValueError(f"captions={captions!r}; expected two texts, or None for none")
    check_pixels("height", height, 16)
    images = [_fitted(as_image(image), height) for image in (first, second)]
    gap = max(16, height // 16)
    width = sum(image.width for image, _ in images) + 3 * gap
    titles, size = captions or ("", ""), text_size(width)
    font = font_for("".join(titles), size)
    texts = [
        wrap(text, font, image.width, most=2) if text else [] for text, (image, _) in zip(titles, images, strict=True)
    ]
    above = max(len(lines) for lines in texts) * line_height(font) + gap
    small = font_for(note, size * 0.8)
    notes = wrap(note, small, width - 2 * gap, most=2) if note else []
    tall = max(image.height for image, _ in images)
    canvas = Image.new("RGB", (width, above + tall + gap + len(notes) * line_height(small)), PAPER)
    draw = ImageDraw.Draw(canvas)
    x, placed = gap, []
    for (image, factor), lines, marks in zip(images, texts, points, strict=True):
        draw_lines(draw, lines, (x + image.width / 2, above - len(lines) * line_height(font) - 4), font, anchor="ma")
        canvas.paste(image, (x, above))
        placed.append(marks * factor + (x, above))
        x += image.width + gap
    draw_lines(draw, notes, (gap, above + tall + gap // 2), small, FAINT)
    return _joined(canvas, placed[0], placed[1], place_colours(points[0]), _radius((height, height)))


def _joined(
    canvas: Image.Image,
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    colours: NDArray[np.uint8],
    radius: float,
) -> Image.Image:
    """The canvas with lines, and discs over them."""
    large = canvas.resize((canvas.width * _FINER, canvas.height * _FINER), Image.Resampling.BICUBIC)
    lines = Image.new("RGBA", large.size)
    draw = ImageDraw.Draw(lines)
    thick = max(2, round(radius * _FINER * 0.45))
    pairs = list(zip((a * _FINER).tolist(), (b * _FINER).tolist(), map(tuple, colours.tolist()), strict=True))
    for start, end, colour in pairs:
        draw.line((*start, *end), fill=(0, 0, 0, 110), width=thick + 2)
        draw.line((*start, *end), fill=(*colour, 235), width=thick)
    large.paste(lines, (0, 0), lines)
    draw = ImageDraw.Draw(large)
    for start, end, colour in pairs:
        _disc(draw, start, radius * _FINER, colour)
        _disc(draw, end, radius * _FINER, colour)
    return large.resize(canvas.size, Image.Resampling.BOX)


def _disc(draw: ImageDraw.ImageDraw, point: Sequence[float], radius: float, colour: tuple[int, ...]) -> None:
    x, y = point
    for reach, fill in ((radius * 1.5, (0, 0, 0)), (radius * 1.3, (255, 255, 255)), (radius, colour)):
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=fill)


def _radius(size: tuple[int, int]) -> float:
    """Radius of a disc that is visible without hiding the image."""
    return max(2.0, max(size) / 110)


def _fitted(image: Image.Image, height: int) -> tuple[Image.Image, float]:
    """The image scaled to the height or the maximum width, and the scale factor."""
    factor = min(height / image.height, WIDEST * height / image.width)
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image.resize(size, Image.Resampling.BICUBIC if factor > 1 else Image.Resampling.HAMMING), factor


def _points(points: ArrayLike) -> NDArray[np.float64]:
    array = as_array(points).astype(np.float64)
    if array.size == 0:
        return np.zeros((0, 2))
    if array.ndim != 2 or array.shape[1] != 2 or not np.isfinite(array).all():
        raise ValueError(f"points of shape {array.shape}; expected (N, 2), finite x and y of each")
    return array
