"""The figures of a report as data addresses: WebP for what is photographed, PNG for squares of patches."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dinoclip_viz.report.findings import Colours, Matched
from dinoclip_viz.report.reading import Readable, small
from dinoclip_viz.tasks.upsampling import upsample_part
from dinoclip_viz.viz import heat_overlay, match_image
from dinoclip_viz.viz.colours import colour_table

SHEET, SHARED, FIGURE = 288, 128, 240
"""Longer side in pixels of the images of the contact sheet, of those shown in several sections, and of maps."""
PAIR_HEIGHT = 320
QUALITY, EFFORT = 76, 2
"""Of WebP: quality, 0 to 100, and how much time is spent on a small file, 0 to 6."""
COLOUR_MAP = "magma"
STOPS = 12
ENDS = (1.0, 99.9)
"""Percentiles of the cosines with a prompt that its colour scale begins and ends at."""

Item = TypeVar("Item")
Drawn = TypeVar("Drawn")


def sheet_images(images: Readable, pool: ThreadPoolExecutor) -> list[str]:
    """The images of the contact sheet."""
    return _each(pool, images.images, lambda image: webp(small(image, SHEET)))


def shared_images(images: Readable, pool: ThreadPoolExecutor) -> list[bytes]:
    """The files of the images that are shown in several sections."""
    return _each(pool, images.images, lambda image: encoded(small(image, SHARED), "WEBP"))


def patch_squares(colours: Colours) -> list[str]:
    """One pixel per patch; the page enlarges them to squares."""
    return [png(_bytes(part)) for part in colours.parts]


def sharp_maps(images: Readable, colours: Colours, pool: ThreadPoolExecutor) -> list[str]:
    """PCA colours along the edges of each image."""
    pairs = list(zip(images.images, colours.parts, strict=True))
    return _each(pool, pairs, lambda pair: webp(_sharp(*pair)))


def heat_ranges(maps: Sequence[Tensor]) -> list[tuple[float, float]]:
    """Cosine of the first and of the last colour of each prompt, the same for all images.

    Args:
        maps: (T, H, W) cosines of each image.

    Examples:
        >>> import torch
        >>> [(round(low, 2), round(high, 2)) for low, high in heat_ranges([torch.tensor([[[0.2]], [[0.5]]])])]
        [(0.2, 0.21), (0.5, 0.51)]
    """
    values = np.concatenate([each.flatten(1).numpy() for each in maps], axis=1)  # (T, all patches)
    lows, highs = np.percentile(values, ENDS, axis=1).tolist()
    return [(low, max(high, low + 0.01)) for low, high in zip(lows, highs, strict=True)]  # flat maps need a scale too


def heat_maps(images: Readable, ranges: Sequence[tuple[float, float]], pool: ThreadPoolExecutor) -> list[list[str]]:
    """The maps of each image, one per prompt."""

    def drawn(pair: tuple[Image.Image, Tensor]) -> list[str]:
        image, maps = pair
        base = _at_least(small(image, FIGURE), (maps.shape[1], maps.shape[2]))
        return [
            webp(heat_overlay(base, each.numpy(), low, high, colours=COLOUR_MAP))
            for each, (low, high) in zip(maps, ranges, strict=True)
        ]

    return _each(pool, list(zip(images.images, images.maps, strict=True)), drawn)


def heat_stops() -> list[str]:
    """Colours of the heat maps' scale, first to last, as CSS has them."""
    table = colour_table(COLOUR_MAP)
    return [css_colour(colour / 255) for colour in table[np.linspace(0, len(table) - 1, STOPS).round().astype(int)]]


@dataclass(frozen=True)
class Figure:
    """A data address of a figure, and its size in pixels."""

    source: str
    width: int
    height: int


def pair_figures(images: Readable, matches: Sequence[Matched], pool: ThreadPoolExecutor) -> list[Figure]:
    """Both images of each pair with their matches."""

    def drawn(one: Matched) -> Figure:
        first, second = (images.images[number] for number in one.pair)
        a, b = (
            points.numpy() * (image.width / images.sizes[number][0], image.height / images.sizes[number][1])
            for points, image, number in zip((one.found.a, one.found.b), (first, second), one.pair, strict=True)
        )
        figure = match_image(first, second, a, b, height=PAIR_HEIGHT)
        return Figure(webp(figure), figure.width, figure.height)

    return _each(pool, matches, drawn)


def css_colour(colour: NDArray[np.floating]) -> str:
    """A colour in [0, 1] as CSS has it.

    Examples:
        >>> css_colour(np.array([1.0, 0.5, 0.0]))
        '#ff8000'
    """
    return "#" + "".join(f"{round(float(value) * 255):02x}" for value in colour)


def webp(image: Image.Image) -> str:
    """A data address of the image as WebP."""
    return address(encoded(image, "WEBP"), "webp")


def png(image: Image.Image) -> str:
    """A data address of the image as PNG, without loss."""
    return address(encoded(image, "PNG"), "png")


def address(data: bytes, kind: str) -> str:
    """A data address of the bytes of an image file.

    Examples:
        >>> address(b"abc", "png")
        'data:image/png;base64,YWJj'
    """
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def encoded(image: Image.Image, kind: str) -> bytes:
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, kind, quality=QUALITY, method=EFFORT)
    return file.getvalue()


def _each(pool: ThreadPoolExecutor, items: Sequence[Item], draw: Callable[[Item], Drawn]) -> list[Drawn]:
    return list(pool.map(draw, items))


def _sharp(image: Image.Image, colours: Tensor) -> Image.Image:
    base = _at_least(small(image, FIGURE), (colours.shape[0], colours.shape[1]))
    fine = upsample_part(colours, base, (0, 0, *base.size), (base.height, base.width), "guided")
    return _bytes(fine.clamp(0, 1))


def _at_least(image: Image.Image, grid: tuple[int, int]) -> Image.Image:
    """The image, enlarged where it has fewer rows or columns than the patch grid."""
    size = max(image.width, grid[1]), max(image.height, grid[0])
    return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)


def _bytes(colours: Tensor) -> Image.Image:
    return Image.fromarray((colours.numpy() * 255).round().astype(np.uint8))
