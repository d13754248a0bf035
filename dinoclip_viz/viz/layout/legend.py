"""Legends below an image, in black on white: colour scales, components, classes."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from dinoclip_viz.viz.colours import colour_table
from dinoclip_viz.viz.inputs import AnyImage, Colours, as_colours, as_image, check_pixels, check_range
from dinoclip_viz.viz.text import FAINT, INK, draw_lines, font_for, line_height, shorten, text_size, wrap

PAPER = (255, 255, 255)
FRAME = (150, 150, 155)
LEAST_WIDTH = 96


def scale_bar(
    low: float,
    high: float,
    name: str,
    label: str,
    width: int = 768,
    threshold: float | None = None,
) -> Image.Image:
    """A colour bar with ticks, below its label.

    Args:
        low: the value of the first colour.
        high: the value of the last colour.
        name: a colour map's name, as in `colour_map`.
        label: name of the value, with its unit; wrapped to two lines.
        width: of the legend in pixels, at least 96.
        threshold: a value to mark on the bar; None marks none.

    Raises:
        ValueError: an unknown colour map, low not below high, a threshold outside, or a width below 96.

    Examples:
        >>> scale_bar(-0.1, 0.3, "magma", "cosine similarity to 'a cat'", width=768).width
        768
    """
    check_range(low, high)
    table = colour_table(name)  # (256, 3)
    check_pixels("width", width, LEAST_WIDTH)
    if threshold is not None and not low <= threshold <= high:
        raise ValueError(f"threshold={threshold:g}; expected a value from low={low:g} to high={high:g}")
    size = text_size(width)
    pad, thick = round(size * 0.8), round(size * 1.1)
    font, small = font_for(label, size), font_for(label, size * 0.85)
    lines = wrap(label, font, width - 2 * pad, most=2) if label else []
    top = pad + len(lines) * line_height(font) + (round(size * 0.3) if lines else 0)
    tick = round(size * 0.35)
    canvas = Image.new("RGB", (width, top + thick + tick + line_height(small) + pad), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw_lines(draw, lines, (pad, pad), font)

    long = width - 2 * pad
    strip = table[np.arange(long) * 256 // long]  # (long, 3)
    canvas.paste(Image.fromarray(np.repeat(strip[None], thick, axis=0)), (pad, top))
    draw.rectangle((pad - 1, top - 1, pad + long, top + thick), outline=FRAME)
    below = top + thick
    for value, words, x, anchor in _ticks(low, high, (pad, pad + long - 1), small):
        at = pad + (value - low) / (high - low) * (long - 1)
        draw.line((at, below, at, below + tick), fill=INK, width=max(1, round(size / 14)))
        draw.text((x, below + tick + 1), words, font=small, fill=INK, anchor=anchor)
    if threshold is not None:
        at = pad + (threshold - low) / (high - low) * (long - 1)
        half = round(size * 0.3)
        draw.line((at, top, at, below), fill=PAPER, width=max(3, round(size / 5)))
        draw.line((at, top, at, below), fill=INK, width=max(1, round(size / 14)))
        draw.polygon([(at - half, top - half), (at + half, top - half), (at, top + half)], fill=INK, outline=PAPER)
    return canvas


def component_legend(texts: Sequence[str], strips: ArrayLike, note: str = "", width: int = 768) -> Image.Image:
    """A strip of colours for each component next to its meaning, then a note.

    Args:
        texts: K texts, one per component.
        strips: (K, N, 3) colours in [0, 1] from the lowest to the highest value of each component.
        note: text below, such as "similar colours mean similar features"; "" for none.
        width: of the legend in pixels, at least 96.

    Raises:
        ValueError: unequal numbers of texts and strips, or a width below 96.

    Examples:
        >>> component_legend(["first component"], [[[0, 0, 0], [1, 1, 1]]], width=400).width
        400
    """
    table = np.asarray(strips, dtype=np.float64)
    if isinstance(texts, str) or table.ndim != 3 or table.shape[2] != 3 or len(texts) != len(table):
        raise ValueError(f"{len(texts)} texts and strips of shape {table.shape}; expected one (N, 3) strip per text")
    check_pixels("width", width, LEAST_WIDTH)
    size = text_size(width)
    pad, high, long = round(size * 0.8), round(size * 1.25), round(min(size * 6, width / 3))
    font = font_for("".join(texts) + note, size)
    step = max(line_height(font), high) + round(size * 0.25)
    lines = [wrap(text, font, width - 2 * pad - long - round(size * 0.6), most=3) for text in texts]
    notes = wrap(note, font, width - 2 * pad, most=4) if note else []
    heights = [step + (len(meaning) - 1) * line_height(font) for meaning in lines]
    canvas = Image.new("RGB", (width, 2 * pad + sum(heights) + len(notes) * line_height(font)), PAPER)
    draw = ImageDraw.Draw(canvas)
    y = pad
    for strip, meaning, height in zip(table, lines, heights, strict=True):
        row = strip[np.arange(long) * len(strip) // long]  # (long, 3)
        pixels = np.repeat((row * 255).round().astype(np.uint8)[None], high, axis=0)
        canvas.paste(Image.fromarray(pixels), (pad, y))
        draw.rectangle((pad - 1, y - 1, pad + long, y + high), outline=FRAME)
        draw_lines(draw, meaning, (pad + long + round(size * 0.6), y + (high - line_height(font)) / 2 + 1), font)
        y += height
    draw_lines(draw, notes, (pad, y), font, FAINT)
    return canvas


def class_legend(names: Sequence[str], colours: Colours, width: int = 768) -> Image.Image:
    """The colour and name of each class, as many per row as fit.

    Args:
        names: K names; a long one is cut to the width.
        colours: (K, 3) red, green, blue 0 to 255, as from `class_palette`.
        width: of the legend in pixels, at least 96.

    Raises:
        ValueError: no names, unequal numbers of names and colours, or a width below 96.

    Examples:
        >>> class_legend(["cat", "dog"], [(230, 159, 0), (86, 180, 233)], width=200).width
        200
    """
    table = as_colours(colours)
    if isinstance(names, str) or len(names) != len(table) or not len(table):
        raise ValueError(f"{len(names)} names and {len(table)} colours; expected one colour per name, at least one")
    check_pixels("width", width, LEAST_WIDTH)
    size = text_size(width)
    pad, square, gap = round(size * 0.8), round(size * 1.1), round(size * 1.2)
    near = round(size * 0.45)
    font = font_for("".join(names), size)
    step = max(line_height(font), square) + round(size * 0.3)
    x, row, entries = pad, 0, []
    for name in names:
        words = shorten(" ".join(name.split()), font, width - 2 * pad - square - near)
        long = square + near + math.ceil(font.getlength(words))
        if x > pad and x + long > width - pad:
            x, row = pad, row + 1
        entries.append((words, x, pad + row * step))
        x += long + gap
    canvas = Image.new("RGB", (width, 2 * pad + row * step + max(line_height(font), square)), PAPER)
    draw = ImageDraw.Draw(canvas)
    for (words, x, y), colour in zip(entries, table.tolist(), strict=True):
        draw.rectangle((x, y, x + square, y + square), fill=tuple(colour), outline=FRAME)
        draw.text((x + square + near, y + square / 2), words, font=font, fill=INK, anchor="lm")
    return canvas


def with_legend(image: AnyImage, legend: AnyImage) -> Image.Image:
    """The image with its legend below, the narrower one centred on white.

    Args:
        image: the image.
        legend: as from `scale_bar`, `component_legend` or `class_legend`; best at the image's width.

    Raises:
        ValueError: not images.

    Examples:
        >>> with_legend(Image.new("RGB", (400, 300)), Image.new("RGB", (400, 50))).size
        (400, 350)
    """
    above, below = as_image(image), as_image(legend)
    width = max(above.width, below.width)
    canvas = Image.new("RGB", (width, above.height + below.height), PAPER)
    canvas.paste(above, ((width - above.width) // 2, 0))
    canvas.paste(below, ((width - below.width) // 2, above.height))
    return canvas


def _ticks(
    low: float, high: float, ends: tuple[int, int], font: ImageFont.FreeTypeFont
) -> list[tuple[float, str, float, str]]:
    """Value, text, x and anchor of each tick: both ends, and round numbers between where they fit."""
    left, right = ends
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = _number(low, step), _number(high, step)
    ticks = [(low, first, float(left), "la"), (high, last, float(right), "ra")]
    room = font.getlength("00")
    taken = [(left, left + font.getlength(first)), (right - font.getlength(last), right)]
    for index in range(math.ceil(low / step), math.floor(high / step) + 1):
        value = index * step
        words, at = _number(value, step), left + (value - low) / (high - low) * (right - left)
        half = font.getlength(words) / 2
        if all(at + half + room < start or at - half - room > end for start, end in taken):
            taken.append((at - half, at + half))
            ticks.append((value, words, at, "ma"))
    return ticks


def _number(value: float, step: float) -> str:
    """The value with the digits needed to distinguish ticks of this step."""
    if max(abs(value), step) >= 1e5 or step < 1e-4:
        return f"{value:.3g}"
    digits = max(0, 1 - math.floor(math.log10(step)))
    words = f"{value:.{digits}f}"
    words = words.rstrip("0").rstrip(".") if digits else words
    return "0" if words == "-0" else words
