"""Hostile TIFFs, and the directories of tags that EXIF shares with them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

Tag = tuple[int, int, int, int]
"""Number, type, count and value or offset."""

_WIDE, _HIGH = 6600, 6000


def tiff(tags: Sequence[Tag], rest: bytes = b"", following: int = 0) -> bytes:
    """A little-endian TIFF of one directory, after which the rest stands."""
    table = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + table + struct.pack("<I", following) + rest


def directory(size: int) -> bytes:
    """A directory of which a third are tags that all name the same data, the rest of it."""
    count = min(65000, size // 36)
    start = 14 + 12 * count
    data = bytes(max(size - start, 100))
    return tiff([(1000 + number % 60000, 7, len(data), start) for number in range(count)], data)


def page(
    width: int, height: int, offsets: Sequence[int] = (), lengths: Sequence[int] = (), *, data: bytes = b"",
    bits: int = 8, rows: int = 1, compression: int = 1, photometric: int = 1, more: Sequence[Tag] = (),
    following: int = 0,
) -> bytes:  # fmt: skip
    """A grey page; offsets of its strips are relative to the data, which stands behind the strips' tables."""
    start = 14 + 12 * (9 + len(more))
    tables = b"".join(struct.pack(f"<{len(each)}I", *each) for each in (offsets, lengths))
    here = start + len(tables)
    if len(offsets) == 1:
        places, counts = here + offsets[0], lengths[0]
    else:
        places, counts = start, start + 4 * len(offsets)
        tables = struct.pack(f"<{len(offsets)}I", *(here + offset for offset in offsets)) + tables[4 * len(offsets) :]
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, bits), (259, 3, 1, compression),
        (262, 3, 1, photometric), (273, 4, len(offsets), places), (277, 3, 1, 1), (278, 4, 1, rows),
        (279, 4, len(lengths), counts), *more,
    ]  # fmt: skip
    return tiff(tags, tables + data, following)


def strips(size: int) -> bytes:
    """As many strips as fit, all of them the same byte."""
    count, start = size // 8, 14 + 12 * 9
    tags = [
        (256, 4, 1, 1), (257, 4, 1, count), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, count, start),
        (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, count, start + 4 * count),
    ]  # fmt: skip
    return tiff(tags, struct.pack("<I", start + 8 * count) * count + struct.pack("<I", 1) * count + b"\0")


def tiles(size: int) -> bytes:
    """Tiles of one pixel."""
    count, side = size // 8, int((size // 8) ** 0.5)
    start = 14 + 12 * 9
    tables = struct.pack("<I", start + 8 * count) * count + struct.pack("<I", 1) * count
    tags = [
        (256, 4, 1, side), (257, 4, 1, count // side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
        (322, 4, 1, 1), (323, 4, 1, 1), (324, 4, count, start), (325, 4, count, start + 4 * count),
    ]  # fmt: skip
    return tiff(tags, tables + b"\0")


def counted(size: int, tag: int, kind: int = 4) -> bytes:
    """A page with one more tag of as many values as fit."""
    width = {3: 2, 4: 4, 5: 8, 7: 1, 12: 8}[kind]
    where = 14 + 12 * 10 + 100
    kept = [(tag, kind, size // width, where)]
    return page(8, 8, [0], [64], data=bytes(size + 200), rows=8, more=kept)


def with_pages(size: int) -> bytes:
    """Directories, each of which names the next, the last of them the first."""
    first = page(8, 8, [0], [64], data=bytes(64), rows=8, following=len(page(8, 8, [0], [64], data=bytes(64))))
    parts, place = [first], len(first)
    for _ in range(size // 180):
        parts.append(struct.pack("<HHHIII", 1, 256, 4, 1, 8, place + 18))
        place += 18
    return b"".join(parts) + struct.pack("<HHHIII", 1, 256, 4, 1, 8, 8)


def jpeg_inside(scans: int, overlapping: int = 1) -> bytes:
    """A page whose strips are the same JPEG of many scans."""
    high = _HIGH if overlapping == 1 else 8
    file = io.BytesIO()
    Image.new("L", (_WIDE, high), "grey").save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data[data.rindex(b"\xff\xda") : -2]
    data = data[:-2] + last * scans + b"\xff\xd9"
    return page(
        _WIDE, high * overlapping, [0] * overlapping, [len(data)] * overlapping, data=data, rows=high, compression=7
    )


def deflated(copies: int) -> bytes:
    data = zlib.compress(bytes(_WIDE * _HIGH * copies), 9)
    return page(_WIDE, _HIGH, [0], [len(data)], data=data, rows=_HIGH, compression=8)


def big(size: int) -> bytes:
    """A BigTIFF whose directory counts more tags than there are atoms."""
    return b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**63) + bytes(size)


TIFFS: dict[str, Callable[[int, np.random.Generator], bytes]] = {
    "tiff strips of one pixel": lambda size, _: strips(size),
    "tiff tiles of one pixel": lambda size, _: tiles(size),
    "tiff overlapping tags": lambda size, _: directory(size),
    "tiff overlapping tags of a page": lambda size, _: page(
        8, 8, [0], [64], data=bytes(size + 70000), rows=8, more=[(1000 + n, 7, size, 60000) for n in range(4000)]
    ),
    "tiff samples": lambda size, _: counted(size, 338, 3),
    "tiff sample formats": lambda size, _: counted(size, 339, 3),
    "tiff private doubles": lambda size, _: counted(size, 65000, 12),
    "tiff resolutions": lambda size, _: counted(size, 282, 5),
    "tiff notes in long numbers": lambda size, _: counted(size, 700, 4),
    "tiff pages in a ring": lambda size, _: with_pages(size),
    "tiff its own next page": lambda size, _: page(8, 8, [0], [64], data=bytes(64), rows=8, following=8),
    "tiff sub-directories": lambda size, _: counted(size, 330, 4),
    "tiff exif in itself": lambda size, _: page(8, 8, [0], [64], data=bytes(64), rows=8, more=[(34665, 4, 1, 8)]),
    "tiff jpeg of many scans": lambda size, _: jpeg_inside(min(90, size // 10_000)),
    "tiff the same jpeg in every strip": lambda size, _: jpeg_inside(min(90, size // 1000), overlapping=700),
    "tiff of 40 megapixels": lambda size, _: deflated(1),
    "tiff more than its pixels": lambda size, _: deflated(3),
    "tiff big, countless tags": lambda size, _: big(size),
}
