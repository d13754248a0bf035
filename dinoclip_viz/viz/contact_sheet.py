"""Many small pictures on one sheet, such as what a search found."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from dinoclip_viz.viz.inputs import UNKNOWN, Picture, check_pixels
from dinoclip_viz.viz.layout import picture_grid
from dinoclip_viz.viz.text import INK, draw_lines, font_for, line_height, wrap


def contact_sheet(
    pictures: Sequence[Picture | str], titles: Sequence[str], columns: int = 5, side: int = 160
) -> Image.Image:
    """The pictures row by row on white, each as large as its cell under its title.

    Args:
        pictures: PIL images or arrays; a text where a picture is out of reach, which a grey tile then shows.
        titles: a text each, wrapped to the cell and cut after three lines.
        columns: most cells in a row.
        side: of a cell in pixels.

    Raises:
        ValueError: no pictures, another number of titles, columns below 1 or a side below 16.

    Examples:
        >>> contact_sheet([Image.new("RGB", (20, 20)), "cat-17"], ["", ""], side=100).size
        (236, 124)
    """
    check_pixels("side", side, 16)
    tiles = [grey_tile(picture, side) if isinstance(picture, str) else picture for picture in pictures]
    return picture_grid(tiles, titles, columns, side, gap=12)


def grey_tile(words: str, side: int = 160) -> Image.Image:
    """A grey square with words in its middle, for a picture that is out of reach.

    Args:
        words: such as the picture's key.
        side: in pixels.

    Raises:
        ValueError: a side below 16.
    """
    check_pixels("side", side, 16)
    tile = Image.new("RGB", (side, side), UNKNOWN)
    font = font_for(words, max(11, side / 14))
    lines = wrap(words, font, side * 0.86, max(1, int(side * 0.8 / line_height(font))))
    top = (side - len(lines) * line_height(font)) / 2
    draw_lines(ImageDraw.Draw(tile), lines, (side / 2, top), font, INK, "ma")
    return tile
