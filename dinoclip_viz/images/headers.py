"""The size that a file's header declares, read before any decoder allocates for it."""

from __future__ import annotations

import struct
from collections.abc import Callable

from dinoclip_viz.images.blocks.boxes import largest_size
from dinoclip_viz.images.blocks.jpeg import is_frame, jpeg_segments
from dinoclip_viz.images.ppm import header_of


def _png_size(data: bytes) -> tuple[int, int] | None:
    return struct.unpack(">II", data[16:24]) if len(data) >= 24 else None


def _gif_size(data: bytes) -> tuple[int, int] | None:
    return struct.unpack("<HH", data[6:10]) if len(data) >= 10 else None


def _bmp_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 26:
        return None
    old = struct.unpack("<I", data[14:18])[0] == 12
    width, height = struct.unpack("<HH", data[18:22]) if old else struct.unpack("<ii", data[18:26])
    return width, abs(height)  # a negative height means that rows start at the top


def _webp_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 30:
        return None
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    for marker, place in jpeg_segments(data):
        if is_frame(marker):
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return width, height
        if marker == 0xDA:
            return None
    return None


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    """Of the first page; of its tiles, where one is larger than the page, since a decoder allocates whole tiles."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        found = _tiff_tags(data, order, big=data[2:4] in (b"+\0", b"\0+"))
    except struct.error:
        return None
    width, height = found.get(256, 0), found.get(257, 0)
    return max(width, found.get(322, 0)), max(height, found.get(323, 0))


def _tiff_tags(data: bytes, order: str, big: bool) -> dict[int, int]:
    """Tag -> value of the whole numbers in a TIFF's first directory that stand in the directory itself."""
    if big:
        start, entry, counted, value = struct.unpack_from(f"{order}Q", data, 8)[0], 20, "Q", 12
    else:
        start, entry, counted, value = struct.unpack_from(f"{order}I", data, 4)[0], 12, "H", 8
    count = struct.unpack_from(order + counted, data, start)[0]
    first = start + struct.calcsize(counted)
    found = {}
    for place in range(first, first + entry * min(count, 4096), entry):
        tag, kind = struct.unpack_from(f"{order}HH", data, place)
        width = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind)
        if width is not None:
            found[tag] = struct.unpack_from(order + width, data, place + value)[0]
    return found


def _ppm_size(data: bytes) -> tuple[int, int] | None:
    header = header_of(data)
    return (header.width, header.height) if header else None


SIZES: dict[str, Callable[[bytes], tuple[int, int] | None]] = {
    "JPEG": _jpeg_size,
    "PNG": _png_size,
    "WEBP": _webp_size,
    "GIF": _gif_size,
    "BMP": _bmp_size,
    "TIFF": _tiff_size,
    "PPM": _ppm_size,
    "AVIF": largest_size,
    "HEIC": largest_size,
}
"""Format -> (width, height) that a file of it declares, None where the header is too short or invalid."""
