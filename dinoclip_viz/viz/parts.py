"""A legend of parts: beside each colour an example of what it stands for, its name and how much of it there is."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from dinoclip_viz.viz.inputs import AnyImage, as_bytes, as_image, check_pixels
from dinoclip_viz.viz.legend import FRAME, LEAST_WIDTH, PAPER
from dinoclip_viz.viz.text import FAINT, draw_lines, font_for, line_height, text_size, wrap

ROW = 3.6  # height of a row, in sizes of its type


def parts_legend(
    colours: Sequence[Sequence[float]],
    examples: Sequence[AnyImage],
    names: Sequence[str],
    shares: Sequence[float],
    note: str = "",
    width: int = 768,
) -> Image.Image:
    """A row a part: its colour, an example, its name, and its share.

    Args:
        colours: (K, 3) in [0, 1].
        examples: a small image of each.
        names: of each; a long one is wrapped to two lines.
        shares: of each, 0 to 1.
        note: words below, such as what the shares are of; "" for none.
        width: of the legend in pixels, at least 96.

    Raises:
        ValueError: no parts, as many of each were not given, a colour outside [0, 1], or a width below 96.

    Examples:
        >>> parts_legend([(1, 0, 0)], [Image.new("RGB", (9, 9))], ["wheel"], [0.25], width=300).width
        300
    """
    counts = {len(colours), len(examples), len(names), len(shares)}
    if len(counts) != 1 or counts == {0} or isinstance(names, str):
        raise ValueError(
            f"{len(colours)} colours, {len(examples)} examples, {len(names)} names and {len(shares)} shares; "
            "expected as many of each, at least one"
        )
    check_pixels("width", width, LEAST_WIDTH)
    levels = as_bytes(np.asarray(colours, np.float64), "colours")
    size = text_size(width)
    pad, gap, side = round(size * 0.8), round(size * 0.6), round(size * ROW)
    font, small = font_for("".join(names), size), font_for(note, size * 0.85)
    left = pad + 2 * (side + gap)
    lines = [wrap(name, font, width - left - pad, most=2) for name in names]
    notes = wrap(note, small, width - 2 * pad, most=3) if note else []
    height = 2 * pad + len(names) * (side + gap) + len(notes) * line_height(small)
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    y = pad
    for colour, example, words, share in zip(levels.tolist(), examples, lines, shares, strict=True):
        draw.rectangle((pad, y, pad + side - 1, y + side - 1), fill=tuple(colour), outline=FRAME)
        shown = ImageOps.pad(as_image(example), (side, side), Image.Resampling.BICUBIC, PAPER)
        canvas.paste(shown, (pad + side + gap, y))
        top = y + (side - (len(words) + 1) * line_height(font)) / 2
        draw_lines(draw, words, (left, top), font)
        draw_lines(draw, [f"{share:.1%}"], (left, top + len(words) * line_height(font)), font, FAINT)
        y += side + gap
    draw_lines(draw, notes, (pad, y), small, FAINT)
    return canvas
