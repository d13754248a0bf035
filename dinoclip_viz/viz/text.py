"""Text in figures: fonts, line breaks, and lines cut to a width."""

import math
from functools import cache
from pathlib import Path

from PIL import ImageDraw, ImageFont

INK = (24, 24, 27)
FAINT = (95, 95, 105)
ELLIPSIS = "…"
PILLOW_HAS = frozenset(map(chr, range(32, 127))) | set("…·“”‘’")


def font_for(text: str, size: float) -> ImageFont.FreeTypeFont:
    """Pillow's default font, or matplotlib's DejaVu Sans if the text has letters that Pillow's lacks.

    Letters that neither has (Chinese, Japanese, Korean) are drawn as boxes.

    Raises:
        RuntimeError: this Pillow was built without FreeType.
    """
    if not set(text) <= PILLOW_HAS | {"\n"}:
        return ImageFont.truetype(_dejavu(), size * 0.92)  # its letters are larger for the same size
    font = ImageFont.load_default(size=size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow has no FreeType, which captions need; install a Pillow wheel from PyPI")
    return font


@cache
def _dejavu() -> str:
    from matplotlib import get_data_path

    return str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")


def text_size(width: int) -> float:
    """Font size in pixels for a figure of this width: 20 at 768."""
    return min(28.0, max(12.0, width * 20 / 768))


def line_height(font: ImageFont.FreeTypeFont) -> int:
    """Distance between lines in pixels."""
    return math.ceil(sum(font.getmetrics()) * 1.08)


def wrap(text: str, font: ImageFont.FreeTypeFont, width: float, most: int) -> list[str]:
    """At most `most` lines no wider than `width`; text that does not fit is cut with an ellipsis.

    Line breaks of the text are kept; a word wider than a line is broken.

    Examples:
        >>> font = font_for("", 20)
        >>> wrap("a cat on a mat", font, width=70, most=2)
        ['a cat', 'on a…']
    """
    words = [[*line.split(), "\n"] for line in text.split("\n")]
    waiting = [word for line in words for word in line][:-1]
    lines = [""]
    while waiting:
        word = waiting.pop(0)
        longer = f"{lines[-1]} {word}".lstrip()
        if word == "\n":
            lines.append("")
        elif font.getlength(longer[: int(width) + 1]) <= width and len(longer) <= width:
            lines[-1] = longer
        elif lines[-1]:
            lines.append("")
            waiting.insert(0, word)
        else:
            kept = _fitting(word, font, width)
            lines[-1] = word[:kept]
            if word[kept:]:
                waiting.insert(0, word[kept:])
        if len(lines) > most:
            break
    if len(lines) <= most:
        return lines
    rest = " ".join([lines[most - 1], lines[most], *waiting[:20]]).split()
    return [*lines[: most - 1], shorten(" ".join(rest), font, width, always=True)]


def shorten(text: str, font: ImageFont.FreeTypeFont, width: float, always: bool = False) -> str:
    """The text, cut to the width with an ellipsis if it is wider; with `always`, the ellipsis is added in any case."""
    if not always and len(text) <= width and font.getlength(text) <= width:
        return text
    kept = _fitting(text, font, width - font.getlength(ELLIPSIS))
    return text[:kept].rstrip() + ELLIPSIS


def draw_lines(
    draw: ImageDraw.ImageDraw,
    lines: list[str],
    position: tuple[float, float],
    font: ImageFont.FreeTypeFont,
    fill: tuple[int, int, int] = INK,
    anchor: str = "la",
) -> None:
    """Draw lines below one another from `position`; `anchor` as in Pillow: "la" left, "ma" centred, "ra" right."""
    x, y = position
    for row, line in enumerate(lines):
        draw.text((x, y + row * line_height(font)), line, font=font, fill=fill, anchor=anchor)


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: float) -> int:
    """Number of letters of the text that fit the width, at least 1."""
    low, high = 1, max(1, min(len(text), int(width)))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle]) <= width else (low, middle - 1)
    return low
