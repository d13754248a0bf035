"""Class probabilities as horizontal bars."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from dinoclip_viz.viz.inputs import as_array, check_pixels
from dinoclip_viz.viz.text import FAINT, INK, draw_lines, font_for, line_height, text_size, wrap

PAPER = (255, 255, 255)
TRACK = (240, 240, 243)
FIRST = (0, 114, 178)  # the best label
OTHER = (143, 184, 214)
NONE_DARK, NONE_LIGHT = (125, 125, 132), (205, 205, 210)
NONE = "none of these"
LEAST_WIDTH = 240


def score_bars(labels: Sequence[str], probabilities: ArrayLike, width: int = 768, most: int = 12) -> Image.Image:
    """One bar per label, best first, with its percentage; "none of these" is last, striped grey.

    Args:
        labels: T texts.
        probabilities: (T,) in [0, 1], or (T + 1,) with that of "none of these" last.
        width: of the image in pixels, at least 240.
        most: maximum number of labels; the total of the others is written below.

    Raises:
        ValueError: no labels, another number of probabilities, values outside [0, 1] or NaN, a width below 240, or
            `most` below 1.

    Examples:
        >>> score_bars(["cat", "dog"], [0.7, 0.2, 0.1]).width
        768
    """
    values = _probabilities(labels, probabilities)
    check_pixels("width", width, LEAST_WIDTH)
    if most < 1:
        raise ValueError(f"most={most}; expected at least 1 label")
    size = text_size(width)
    pad, near, thick = round(size * 0.9), round(size * 0.7), round(size * 1.3)
    order = np.argsort(-values[: len(labels)], kind="stable")
    shown = [(labels[i], float(values[i])) for i in order[:most]]
    others = values[order[most:]]
    rest = f"{len(others)} more labels: {_percent(float(others.sum()))} in total" if len(others) else ""
    best = float(values.max())
    rows = [(name, value, FIRST if value == best else OTHER) for name, value in shown]
    if len(values) > len(labels):
        rows.append((NONE, float(values[-1]), NONE_DARK))

    font = font_for("".join(name for name, _, _ in rows), size)
    texts = [wrap(name, font, width * 0.4, most=2) for name, _, _ in rows]
    names = max(font.getlength(line) for lines in texts for line in lines)
    numbers = font.getlength("100.0 %")
    left, right = round(pad + names + near), round(width - pad - numbers - near)
    heights = [max(thick, len(lines) * line_height(font)) + round(size * 0.5) for lines in texts]
    foot = line_height(font) if rest else 0
    canvas = Image.new("RGB", (width, 2 * pad + sum(heights) + foot), PAPER)
    draw = ImageDraw.Draw(canvas)
    y = pad
    for (_, value, colour), lines, height in zip(rows, texts, heights, strict=True):
        middle = y + (height - size * 0.5) / 2
        top, bottom = round(middle - thick / 2), round(middle + thick / 2)
        draw.rectangle((left, top, right, bottom), fill=TRACK)
        end = left + round(value * (right - left))
        if end > left:
            draw.rectangle((left, top, end, bottom), fill=colour)
        if colour == NONE_DARK:
            _stripe(canvas, (left, top, end, bottom))
        draw_lines(draw, lines, (left - near, middle - len(lines) * line_height(font) / 2 + 1), font, anchor="ra")
        draw.text((width - pad, middle), _percent(value), font=font, fill=INK, anchor="rm")
        y += height
    if rest:
        draw_lines(draw, [rest], (left, y), font, FAINT)
    return canvas


def _probabilities(labels: Sequence[str], probabilities: ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    values = as_array(probabilities).astype(np.float64)
    if isinstance(labels, str) or not len(labels) or values.shape not in {(len(labels),), (len(labels) + 1,)}:
        raise ValueError(
            f"{len(labels)} labels and probabilities of shape {values.shape}; expected at least one label, and one "
            "probability per label, followed by that of 'none of these' if any"
        )
    if not ((values >= -1e-6) & (values <= 1 + 1e-6)).all():
        raise ValueError(f"probabilities from {values.min():g} to {values.max():g}; expected 0 to 1 and no NaN")
    return values.reshape(-1).clip(0, 1)


def _percent(fraction: float) -> str:
    return "<0.1 %" if 0 < fraction < 0.0005 else f"{fraction * 100:.1f} %"


def _stripe(canvas: Image.Image, box: tuple[int, int, int, int]) -> None:
    """Draw light diagonal stripes within a bar, so that it differs by more than its colour."""
    left, top, right, bottom = box
    if right <= left:
        return
    rows, columns = np.mgrid[top : bottom + 1, left : right + 1]
    bar = np.where(((rows + columns) % 10 < 4)[..., None], NONE_LIGHT, NONE_DARK).astype(np.uint8)
    canvas.paste(Image.fromarray(bar), (left, top))
