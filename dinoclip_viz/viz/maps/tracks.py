"""The way of points through the frames of a video, over a frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from dinoclip_viz.viz.inputs import AnyImage, Colours, as_array, as_colours, as_image
from dinoclip_viz.viz.maps.matches import mark_points

_FINER = 2  # supersampling factor, for smooth lines
_WIDTH = 0.006  # of a line, as a fraction of the longer side


def track_image(image: AnyImage, tracks: ArrayLike, colours: Colours, last: int = 24) -> Image.Image:
    """The image, at its own size, with a line along the last positions of each point and a disc at the newest.

    Args:
        image: the newest frame.
        tracks: (N, T, 2) x and y of N points in T frames, in pixels of the image, the newest last.
        colours: (N, 3) red, green, blue 0 to 255 of each point.
        last: number of positions that a line joins, 1 or more.

    Raises:
        ValueError: tracks of another shape, values that are not finite, or unequal numbers of tracks and colours.

    Examples:
        >>> drawn = track_image(Image.new("RGB", (60, 60)), [[[10, 10], [50, 10]]], [(200, 0, 0)])
        >>> drawn.size, drawn.getpixel((50, 10)), drawn.getpixel((30, 40))
        ((60, 60), (200, 0, 0), (0, 0, 0))
    """
    figure, table = as_image(image), as_colours(colours)
    array = as_array(tracks).astype(np.float64)
    if array.ndim != 3 or array.shape[2] != 2 or not array.shape[1] or not np.isfinite(array).all():
        raise ValueError(f"tracks have shape {array.shape}; expected (N, T, 2) finite numbers, T of 1 or more")
    if len(table) != len(array):
        raise ValueError(f"{len(array)} tracks and {len(table)} colours; expected one colour per track")
    large = figure.resize((figure.width * _FINER, figure.height * _FINER), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(large)
    width = max(2, round(_WIDTH * max(large.size)))
    for track, colour in zip(array * _FINER, table.tolist(), strict=True):
        draw.line([tuple(point) for point in track[-last:].tolist()], fill=tuple(colour), width=width, joint="curve")
    return mark_points(large.resize(figure.size, Image.Resampling.BOX), array[:, -1], table)
