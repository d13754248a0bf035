"""Boxes and masks with their labels over an image."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from dinoclip_viz.viz.enlarge import enlarge, enlarge_labels
from dinoclip_viz.viz.inputs import AnyImage, as_array, as_image, as_mask, check_opacity
from dinoclip_viz.viz.outline import line_thickness
from dinoclip_viz.viz.palette import class_palette
from dinoclip_viz.viz.text import font_for, line_height, shorten, text_size

LIGHT = np.array([0.299, 0.587, 0.114])  # luminance of red, green and blue
BRIGHT = 140  # luminance from which text on a colour is black

Edges = tuple[float, float, float, float]


def detection_image(
    image: AnyImage,
    labels: Sequence[str],
    boxes: ArrayLike,
    scores: Sequence[float] | None = None,
    masks: Sequence[ArrayLike | None] | None = None,
    size: int = 768,
    opacity: float = 0.45,
) -> Image.Image:
    """The image, enlarged, with the box, the label and the mask of each detection; equal labels have one colour.

    Args:
        image: the image.
        labels: text of each of N detections, drawn as it is and cut to the image's width.
        boxes: (N, 4) x0, y0, x1, y1 in pixels of the image; edges outside it are drawn at its border.
        scores: of each detection, 0 to 1, written after the label; None for none.
        masks: (h, w) bool of each detection at the image's size, or None for one without; None for no masks at all.
        size: minimum length of the longer side of the result in pixels, reached by an integer factor.
        opacity: of the masks, 0 to 1.

    Raises:
        ValueError: labels, boxes, scores and masks of different number, a box that is not finite, a mask of another
            size, or opacity out of range.

    Examples:
        >>> detection_image(np.zeros((10, 20)), ["cat"], [[2, 2, 8, 8]], size=100).size
        (100, 50)
    """
    check_opacity(opacity)
    plain = as_image(image)
    edges = _boxes(boxes, len(labels))
    for name, given in (("scores", scores), ("masks", masks)):
        if given is not None and len(given) != len(labels):
            raise ValueError(f"{len(given)} {name} for {len(labels)} labels; expected one of each per detection")
    large = enlarge(plain, size, smooth=True)
    factor = large.width / plain.width
    names = list(dict.fromkeys(labels))
    colours = class_palette(len(names))[[names.index(label) for label in labels]]  # (N, 3)
    large = _tinted(large, plain.size, masks or [], colours, opacity)
    texts = [
        label if scores is None else f"{label} {score:.2f}"
        for label, score in zip(labels, scores if scores is not None else [0.0] * len(labels), strict=True)
    ]
    return _outlined(large, texts, edges * factor, colours)


def _boxes(boxes: ArrayLike, count: int) -> NDArray[np.float64]:
    array = as_array(boxes).astype(np.float64)
    array = array.reshape(0, 4) if array.size == 0 else array
    if array.shape != (count, 4) or not np.isfinite(array).all():
        raise ValueError(f"boxes of shape {array.shape} for {count} labels; expected ({count}, 4), x0, y0, x1, y1")
    return array


def _tinted(
    image: Image.Image,
    size: tuple[int, int],
    masks: Sequence[ArrayLike | None],
    colours: NDArray[np.uint8],
    opacity: float,
) -> Image.Image:
    """The image with each mask tinted in its colour, the first on top."""
    pixels = np.asarray(image, dtype=np.float64).copy()
    for mask, colour in reversed(list(zip(masks, colours, strict=False))):
        if mask is None:
            continue
        region = as_mask(mask) > 0
        if region.shape != size[::-1]:
            raise ValueError(f"a mask of shape {region.shape}; expected {size[::-1]}, the image's height and width")
        inside = enlarge_labels(region, image.width, image.height)
        pixels[inside] = (1 - opacity) * pixels[inside] + opacity * colour
    return Image.fromarray(pixels.round().astype(np.uint8))


def _outlined(
    image: Image.Image, texts: Sequence[str], boxes: NDArray[np.float64], colours: NDArray[np.uint8]
) -> Image.Image:
    """The image with the boxes, smaller ones on top, and then the tags with the texts."""
    draw = ImageDraw.Draw(image)
    thick = 2 * line_thickness(*image.size)
    width, height = image.size
    kept: list[Edges] = []
    for x0, y0, x1, y1 in boxes.tolist():
        left, right = sorted((min(max(x0, 0.0), width - 1), min(max(x1 - 1, 0.0), width - 1)))
        top, bottom = sorted((min(max(y0, 0.0), height - 1), min(max(y1 - 1, 0.0), height - 1)))
        kept.append((left, top, right, bottom))
    order = sorted(range(len(kept)), key=lambda n: -(kept[n][2] - kept[n][0]) * (kept[n][3] - kept[n][1]))
    for number in order:
        draw.rectangle(kept[number], outline=tuple(colours[number].tolist()), width=thick)
    tags: list[Edges] = []
    for number in order:
        _tag(draw, texts[number], kept[number], colours[number], image.size, tags)
    return image


def _tag(
    draw: ImageDraw.ImageDraw,
    text: str,
    box: Edges,
    colour: NDArray[np.uint8],
    size: tuple[int, int],
    tags: list[Edges],
) -> None:
    """Draw a text on its colour at a corner of its box where no other tag is; `tags` collects where they are."""
    text = " ".join(text.split())
    if not text:
        return
    font: ImageFont.FreeTypeFont = font_for(text, 0.85 * text_size(size[0]))
    pad = max(2, line_height(font) // 6)
    text = shorten(text, font, size[0] - 2 * pad)
    wide, tall = font.getlength(text) + 2 * pad, line_height(font)
    left = min(max(box[0], 0.0), max(size[0] - wide, 0.0))
    lowest = max(size[1] - tall, 0.0)
    corners = [min(max(top, 0.0), lowest) for top in (box[1] - tall, box[1], box[3] - tall, box[3])]
    places = [(left, top, left + wide, top + tall) for top in corners]
    free = [place for place in places if not any(_overlap(place, other) for other in tags)]
    place = (free or places[1:])[0]
    tags.append(place)
    draw.rectangle(place, fill=tuple(colour.tolist()))
    ink = (0, 0, 0) if colour @ LIGHT >= BRIGHT else (255, 255, 255)
    draw.text((left + pad, place[1]), text, font=font, fill=ink)


def _overlap(one: Edges, other: Edges) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
