"""A legend of parts: colour, example, name and fraction of each."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps

from dinoclip_viz.viz.inputs import AnyImage, as_array, as_bytes, as_image, check_pixels
from dinoclip_viz.viz.layout.legend import FRAME, LEAST_WIDTH, PAPER
from dinoclip_viz.viz.text import FAINT, draw_lines, font_for, line_height, text_size, wrap

ROW = 3.6  # height of a row in font sizes


def parts_legend(
    colours: Sequence[Sequence[float]],
    examples: Sequence[AnyImage],
    names: Sequence[str],
    fractions: Sequence[float],
    note: str = "",
    width: int = 768,
) -> Image.Image:
    """One row per part: its colour, an example, its name, and its percentage.

    Args:
        colours: (K, 3) in [0, 1].
        examples: a small image of each part.
        names: of the parts; a long one is wrapped to two lines.
        fractions: of the parts, 0 to 1.
        note: text below, such as the total that the fractions refer to; "" for none.
        width: of the legend in pixels, at least 96.

    Raises:
        ValueError: no parts, unequal numbers of colours, examples, names and fractions, a colour outside [0, 1], or a
            width below 96.

    Examples:
        >>> parts_legend([(1, 0, 0)], [Image.new("RGB", (9, 9))], ["wheel"], [0.25], width=300).width
        300
    """
    counts = {len(colours), len(examples), len(names), len(fractions)}
    if len(counts) != 1 or counts == {0} or isinstance(names, str):
        raise ValueError(
            f"{len(colours)} colours, {len(examples)} examples, {len(names)} names and {len(fractions)} fractions; "
            "expected equal numbers, at least one"
        )
    check_pixels("width", width, LEAST_WIDTH)
    levels = as_bytes(as_array(colours), "colours")
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
    for colour, example, words, fraction in zip(levels.tolist(), examples, lines, fractions, strict=True):
        draw.rectangle((pad, y, pad + side - 1, y + side - 1), fill=tuple(colour), outline=FRAME)
        shown = ImageOps.pad(as_image(example), (side, side), Image.Resampling.BICUBIC, PAPER)
        canvas.paste(shown, (pad + side + gap, y))
        top = y + (side - (len(words) + 1) * line_height(font)) / 2
        draw_lines(draw, words, (left, top), font)
        draw_lines(draw, [f"{fraction:.1%}"], (left, top + len(words) * line_height(font)), font, FAINT)
        y += side + gap
    draw_lines(draw, notes, (pad, y), small, FAINT)
    return canvas
