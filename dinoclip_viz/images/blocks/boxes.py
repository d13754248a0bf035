"""The boxes of AVIF and HEIC files (ISO/IEC 14496-12, 23008-12): what they hold, and the sizes that they declare."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_AVIF = {b"avif", b"avis"}
_HOLDERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0}
"""Boxes that hold boxes -> bytes before the first of them."""
_DEEPEST = 8
MOST_BOXES = 5000
MOST_ENTRIES = 5000  # of items' positions; a photograph of 48 megapixels has about 200 tiles
MOST_TABLES = 500_000  # bytes of the tables of items, which decoders search item by item
_TABLES = (b"iinf", b"iloc", b"ipma", b"iref", b"grpl")


def brand_of(data: bytes) -> str:
    r"""What a file that begins with an `ftyp` box holds: "AVIF", "HEIC", or the brand in words.

    Examples:
        >>> brand_of(b"\0\0\0\x14ftypavif\0\0\0\0mif1"), brand_of(b"\0\0\0\x10ftypmp42\0\0\0\0")
        ('AVIF', "a video or another file of brand 'mp42'")
    """
    length = min(int.from_bytes(data[:4], "big"), 256)
    brands = [data[8:12], *(data[place : place + 4] for place in range(16, length, 4))]
    if _AVIF & set(brands):
        return "AVIF"
    if _HEIC & set(brands):
        return "HEIC"
    return f"a video or another file of brand {data[8:12].decode('ascii', 'replace')!r}"


def largest_size(data: bytes) -> tuple[int, int] | None:
    """The largest (width, height) that any image, track or AV1 stream of a file declares; None if none does.

    All count, not the shown image's alone: a decoder allocates for each layer, tile and thumbnail that it opens, and a
    stream may be larger than the box that speaks of it.
    """
    found = []
    for kind, start, stop in boxes(data, 0, len(data), _DEEPEST):
        body = data[start:stop]
        if kind == b"ispe" and len(body) >= 12:
            found.append(struct.unpack_from(">II", body, 4))
        elif kind == b"tkhd" and len(body) >= 8:
            width, height = struct.unpack_from(">II", body, len(body) - 8)
            found.append((width >> 16, height >> 16))
        elif kind == b"iloc":
            found += [size for part in item_parts(body) if (size := _stream_size(data[part.start : part.start + 64]))]
        elif kind == b"av1C" and (size := _stream_size(body[4:68])):
            found.append(size)
    return max(found, key=lambda size: size[0] * size[1], default=None)


def boxes_excess(data: bytes) -> str | None:
    """What a file of boxes has too many of, None if nothing."""
    tables = 0
    for number, (kind, start, stop) in enumerate(boxes(data, 0, len(data), _DEEPEST)):
        if number == MOST_BOXES:
            return f"a file of more than {MOST_BOXES:,} boxes"
        tables += stop - start if kind in _TABLES else 0
        if tables > MOST_TABLES:
            return f"tables of items of more than {MOST_TABLES // 1000} kB"
        if kind == b"iloc" and len(item_parts(data[start:stop])) > MOST_ENTRIES:
            return f"items in more than {MOST_ENTRIES:,} parts"
    return None


def boxes(data: bytes, start: int, stop: int, deep: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte of the content and end of every box, those inside others included."""
    while start + 8 <= stop:
        length, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        head = 8
        if length == 1:
            length, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        elif length == 0:
            length = stop - start
        if length < head:
            return
        end = min(start + length, stop)
        yield kind, start + head, end
        if kind in _HOLDERS and deep > 0:
            yield from boxes(data, start + head + _HOLDERS[kind], end, deep - 1)
        start += length


class Part(NamedTuple):
    """A part of an item: the item's number, and where its bytes stand in the file."""

    item: int
    start: int
    length: int


def item_parts(body: bytes) -> list[Part]:
    """Where the items of an `iloc` box stand (ISO/IEC 14496-12, 8.11.3); up to one part beyond the limit."""
    row, found = Row(body), []
    try:
        version = row.take(4) >> 24
        sizes = row.take(2)
        offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
        wide = 4 if version == 2 else 2
        for _ in range(row.take(wide)):
            item = row.take(wide)
            row.take((2 if version in (1, 2) else 0) + 2)  # construction, reference
            start = row.take(base)
            for _ in range(row.take(2)):
                row.take(index if version in (1, 2) else 0)
                found.append(Part(item, start + row.take(offset), row.take(length)))
                if len(found) > MOST_ENTRIES:
                    return found
    except ValueError:
        return found
    return found


class Row:
    """Reads whole numbers of some bytes each."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def take(self, count: int) -> int:
        """The next number, of so many bytes.

        Raises:
            ValueError: the data ends before.
        """
        self._place += count
        if self._place > len(self._data):
            raise ValueError("the data ends")
        return int.from_bytes(self._data[self._place - count : self._place], "big")


def _stream_size(data: bytes) -> tuple[int, int] | None:
    """The size in the sequence header that an AV1 stream begins with (AV1 specification, 5.5); None if it has none."""
    data = data.removeprefix(b"\x12\x00")  # a temporal delimiter
    if len(data) < 8 or data[0] & 0xFB != 0x0A:  # unit of type 1 with its length, which takes one byte
        return None
    return _sequence_size(data[2 + (data[0] >> 2 & 1) : 64])


class _Bits:
    """Reads whole numbers off the front of some bytes."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise ValueError("the data ends")
        return self._value >> self._left & ((1 << count) - 1)


def _sequence_size(header: bytes) -> tuple[int, int] | None:
    """`max_frame_width_minus_1` + 1 and the same of the height (AV1 specification, 5.5.1); None if it is no header."""
    bits = _Bits(header)
    try:
        if bits.take(3) > 2:  # profile
            return None
        still, reduced = bits.take(1), bits.take(1)
        if reduced and not still:
            return None
        if reduced:
            bits.take(5)
        elif not _skip_operating_points(bits):
            return None
        across, down = bits.take(4) + 1, bits.take(4) + 1
        return bits.take(across) + 1, bits.take(down) + 1
    except ValueError:
        return None


def _skip_operating_points(bits: _Bits) -> bool:
    """Moves to the frame's size; False where timing is given, which images have no use for."""
    if bits.take(1):
        return False
    delays = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delays and bits.take(1):
            bits.take(4)
    return True
