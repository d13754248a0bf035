"""Thumbnails on one sheet, such as search results."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps

from dinoclip_viz.viz.inputs import UNKNOWN, AnyImage, as_image, check_pixels
from dinoclip_viz.viz.text import INK, draw_lines, font_for, line_height, wrap

PAPER = (255, 255, 255)
GAP = 12
MOST_LINES = 3  # of a title


def contact_sheet(
    images: Sequence[AnyImage | str], titles: Sequence[str], columns: int = 5, side: int = 160
) -> Image.Image:
    """The images row by row on white, each scaled to its square cell, above its title.

    Args:
        images: PIL images, arrays or tensors; a text instead of an unavailable image is shown on a grey tile.
        titles: one text per image, wrapped to the cell and cut after three lines.
        columns: maximum number of cells in a row.
        side: of a cell in pixels.

    Raises:
        ValueError: no images, unequal numbers of images and titles, columns below 1 or a side below 16.

    Examples:
        >>> contact_sheet([Image.new("RGB", (20, 20)), "cat-17"], ["", ""], side=100).size
        (236, 124)
    """
    check_pixels("side", side, 16)
    if not len(images) or isinstance(titles, str) or len(titles) != len(images):
        raise ValueError(f"{len(titles)} titles for {len(images)} images; expected at least one, and one title each")
    if columns < 1:
        raise ValueError(f"columns={columns}; expected at least 1")
    columns = min(columns, len(images))
    font = font_for("".join(titles), max(11, side / 13))
    lines = [wrap(title, font, side, MOST_LINES) if title else [] for title in titles]
    starts = range(0, len(images), columns)
    words = [max(map(len, lines[start : start + columns])) * line_height(font) for start in starts]
    words = [height + (GAP // 2 if height else 0) for height in words]
    size = columns * (side + GAP) + GAP, sum(words) + len(words) * (side + GAP) + GAP
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, (image, title) in enumerate(zip(images, lines, strict=True)):
        row, column = divmod(index, columns)
        left, top = GAP + column * (side + GAP), GAP + sum(words[:row]) + row * (side + GAP)
        sheet.paste(_tile(image, side), (left, top))
        draw_lines(draw, title, (left + side / 2, top + side + GAP // 2), font, anchor="ma")
    return sheet


def grey_tile(words: str, side: int = 160) -> Image.Image:
    """A grey square with a text in its centre, for an unavailable image.

    Args:
        words: the text, such as the image's key.
        side: in pixels.

    Raises:
        ValueError: a side below 16.
    """
    check_pixels("side", side, 16)
    tile = Image.new("RGB", (side, side), UNKNOWN)
    font = font_for(words, max(11, side / 13))
    lines = wrap(words, font, side * 0.86, max(1, int(side * 0.8 / line_height(font))))
    top = (side - len(lines) * line_height(font)) / 2
    draw_lines(ImageDraw.Draw(tile), lines, (side / 2, top), font, INK, "ma")
    return tile


def _tile(image: AnyImage | str, side: int) -> Image.Image:
    """The whole image, centred on a white square."""
    if isinstance(image, str):
        return grey_tile(image, side)
    return ImageOps.pad(as_image(image), (side, side), Image.Resampling.BICUBIC, PAPER)
