"""The one check of a file's structure, by its format."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from dinoclip_viz.images.blocks.boxes import boxes_excess
from dinoclip_viz.images.blocks.gif import gif_excess
from dinoclip_viz.images.blocks.jpeg import jpeg_excess, jpeg_scans
from dinoclip_viz.images.blocks.png import png_excess
from dinoclip_viz.images.blocks.tags import exif_excess, first_directory
from dinoclip_viz.images.blocks.tiles import tiles_excess
from dinoclip_viz.images.errors import image_error

_RUNS_PIXELS, _RUNS_BYTES = 10_000_000, 2_000_000  # Pillow decodes run lengths in Python
_SCANS_INSIDE = 4  # of a JPEG inside a TIFF: one per component
_MOST_NOTES = 100


def check_blocks(data: bytes, kind: str, name: str) -> None:
    """Check that a file's structure asks no more of its decoder than ordinary files do.

    Args:
        data: content of the file.
        kind: its format, of `ALL_FORMATS`.
        name: of the file, for the error.

    Raises:
        ImageError: it asks for more; the message has what there is too much of.
    """
    excess = _EXCESSES[kind](data) if kind in _EXCESSES else None
    if excess is not None:
        raise image_error(name, excess)


def _bmp_excess(data: bytes) -> str | None:
    if len(data) < 34 or struct.unpack_from("<I", data, 14)[0] < 40:
        return None
    width, height = struct.unpack_from("<ii", data, 18)
    if struct.unpack_from("<I", data, 30)[0] not in (1, 2):
        return None
    if abs(width * height) <= _RUNS_PIXELS and len(data) <= _RUNS_BYTES:
        return None
    return f"a run-length encoded BMP of {abs(width * height) / 1e6:.1f} megapixels and {len(data) / 1e6:.1f} MB"


def _tiff_excess(data: bytes) -> str | None:
    if excess := exif_excess(data):
        return excess
    found = first_directory(data)
    if found is None or found.numbers(data, 259) not in ((6,), (7,)):
        return None
    tiled = bool(found.numbers(data, 324))
    starts, lengths = (found.numbers(data, tag) for tag in ((324, 325) if tiled else (273, 279)))
    if sum(lengths) > len(data):
        return "a TIFF whose JPEG strips overlap"
    for start, length in zip(starts, lengths, strict=False):
        inside = data[start : start + length]
        if b"\xff\xc2" in inside[:65536] or jpeg_scans(inside) > _SCANS_INSIDE:
            return "a TIFF that holds JPEGs of several scans"
    return None


def _notes_excess(data: bytes) -> str | None:
    """What the EXIF data anywhere in a file of boxes have too much of."""
    if excess := boxes_excess(data) or tiles_excess(data):
        return excess
    for number, mark in enumerate(re.finditer(rb"II\*\0|MM\0\*", data)):
        if number == _MOST_NOTES:
            return f"more than {_MOST_NOTES} blocks of EXIF data"
        if excess := exif_excess(data[mark.start() :]):
            return excess
    return None


_EXCESSES: dict[str, Callable[[bytes], str | None]] = {
    "GIF": gif_excess,
    "PNG": png_excess,
    "JPEG": jpeg_excess,
    "TIFF": _tiff_excess,
    "BMP": _bmp_excess,
    "AVIF": _notes_excess,
    "HEIC": _notes_excess,
}
