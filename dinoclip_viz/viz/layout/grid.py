"""Images in rows and grids, with captions."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from dinoclip_viz.viz.inputs import AnyImage, as_image, check_pixels
from dinoclip_viz.viz.text import draw_lines, font_for, line_height, wrap

PAPER = (255, 255, 255)
MOST_LINES = 3  # of a caption
WIDEST = 4  # times its height, for an image in a row


def side_by_side(
    images: Sequence[AnyImage],
    captions: Sequence[str] | None = None,
    gap: int = 16,
    height: int | None = None,
) -> Image.Image:
    """The images in one row at equal height, on white, each below its caption.

    Args:
        images: PIL images, arrays or tensors. Enlarge patch maps first with `enlarge`, or they are smoothed.
        captions: one text per image, wrapped to its width and cut after three lines; None for none.
        gap: pixels between images and around all of them.
        height: of each image in pixels; None uses the tallest. An image wider than four heights is scaled down.

    Raises:
        ValueError: no images, unequal numbers of images and captions, a negative gap or a height below 16.

    Examples:
        >>> side_by_side([Image.new("RGB", (20, 40)), Image.new("RGB", (40, 40))], gap=5).size
        (75, 50)
    """
    loaded = _images(images, captions, gap)
    height = max(16, *(image.height for image in loaded)) if height is None else height
    check_pixels("height", height, 16)
    fitted = [_fit(image, WIDEST * height, height) for image in loaded]
    widths = [max(image.width, height // 2 if captions else 1) for image in fitted]
    return _rows([fitted], widths, captions, gap, height / 15)


def image_grid(
    images: Sequence[AnyImage],
    captions: Sequence[str] | None = None,
    columns: int = 4,
    cell: int = 256,
    gap: int = 16,
) -> Image.Image:
    """The images in a grid on white, in cells of equal width, each below its caption.

    Args:
        images: PIL images, arrays or tensors, scaled to fit a cell with their aspect ratio kept. Enlarge patch maps
            first with `enlarge`, or they are smoothed.
        captions: one text per image, wrapped to the cell and cut after three lines; None for none.
        columns: maximum number of cells in a row.
        cell: side of a cell in pixels.
        gap: pixels between cells and around all of them.

    Raises:
        ValueError: no images, unequal numbers of images and captions, columns below 1, a cell below 16, or a negative
            gap.

    Examples:
        >>> image_grid([Image.new("RGB", (40, 20))] * 3, columns=2, cell=40, gap=5).size
        (95, 55)
    """
    loaded = _images(images, captions, gap)
    if columns < 1:
        raise ValueError(f"columns={columns}; expected at least 1")
    check_pixels("cell", cell, 16)
    columns = min(columns, len(loaded))
    fitted = [_fit(image, cell, cell) for image in loaded]
    rows = [fitted[start : start + columns] for start in range(0, len(fitted), columns)]
    return _rows(rows, [cell] * columns, captions, gap, cell / 14)


def _rows(
    rows: list[list[Image.Image]], widths: list[int], captions: Sequence[str] | None, gap: int, size: float
) -> Image.Image:
    """Rows of images in columns of these widths; a row's height is that of its titles and its highest image."""
    font = font_for("".join(captions or []), min(26, max(11, size)))
    spare = round(line_height(font) * 0.25)
    texts = [
        wrap(text, font, widths[i % len(widths)], MOST_LINES) if text else [] for i, text in enumerate(captions or [])
    ]
    texts += [[]] * (sum(map(len, rows)) - len(texts))
    placed, y, done = [], gap, 0
    for row in rows:
        titles = texts[done : done + len(row)]
        most = max(map(len, titles))
        above = most * line_height(font) + (spare if most else 0)
        x = gap
        for image, lines, width in zip(row, titles, widths, strict=False):
            placed.append((image, lines, x + width / 2, y, y + above))
            x += width + gap
        y += above + max(image.height for image in row) + gap
        done += len(row)
    canvas = Image.new("RGB", (sum(widths) + (len(widths) + 1) * gap, y), PAPER)
    draw = ImageDraw.Draw(canvas)
    for image, lines, middle, top, below in placed:
        lower = below - spare - len(lines) * line_height(font)  # a short title is placed just above its image
        draw_lines(draw, lines, (middle, max(top, lower)), font, anchor="ma")
        canvas.paste(image, (round(middle - image.width / 2), below))
    return canvas


def _images(images: Sequence[AnyImage], captions: Sequence[str] | None, gap: int) -> list[Image.Image]:
    loaded = [as_image(image) for image in images]
    if not loaded:
        raise ValueError("no images; expected at least one")
    if captions is not None and (isinstance(captions, str) or len(captions) != len(loaded)):
        raise ValueError(f"{len(captions)} captions for {len(loaded)} images; expected one per image, or None")
    if gap < 0:
        raise ValueError(f"gap={gap}; expected 0 pixels or more")
    return loaded


def _fit(image: Image.Image, width: int, height: int) -> Image.Image:
    """The image scaled to fit the box; Hamming shrinks it without halos at the edges of patches."""
    factor = min(width / image.width, height / image.height)
    if factor == 1:
        return image
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image.resize(size, Image.Resampling.HAMMING if factor < 1 else Image.Resampling.BICUBIC)
