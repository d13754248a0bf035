"""Directories of tags, of TIFF and EXIF (TIFF 6.0, section 2; BigTIFF)."""

from __future__ import annotations

import struct
from typing import NamedTuple

MOST_TAGS = 4096
MOST_NUMBERS = 200_000  # values of a tag that decoders unpack one by one, such as the positions of strips
_SLACK = 1_000_000
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Type of a tag -> bytes per value."""
_BYTES = (1, 2, 6, 7)
_DIRECTORIES = (34665, 34853, 40965)  # EXIF, GPS and interoperability: tags that name a further directory


class Tag(NamedTuple):
    """A tag of so many values, which stand at `place` in the data."""

    number: int
    kind: int
    values: int
    place: int


class Directory(NamedTuple):
    """The tags of a directory, and its declared number of tags."""

    tags: list[Tag]
    declared: int
    order: str

    def numbers(self, data: bytes, number: int) -> tuple[int, ...]:
        """The values of a tag of whole numbers; none where it is missing, of another type or out of the data."""
        tag = next((tag for tag in self.tags if tag.number == number), None)
        letter = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q"}.get(tag.kind) if tag else None
        if tag is None or letter is None or tag.values > MOST_NUMBERS:
            return ()
        try:
            return struct.unpack_from(f"{self.order}{tag.values}{letter}", data, tag.place)
        except struct.error:
            return ()


def first_directory(data: bytes) -> Directory | None:
    """The first directory of a TIFF or of EXIF data without its mark; None if there is none."""
    if data[:2] not in (b"II", b"MM"):
        return None
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    try:
        place = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
        return _directory(data, order, big, place)
    except (struct.error, OverflowError):
        return None


def _directory(data: bytes, order: str, big: bool, place: int) -> Directory:
    counted, entry, inside = ("Q", 20, 8) if big else ("H", 12, 4)
    declared = struct.unpack_from(order + counted, data, place)[0]
    place += struct.calcsize(counted)
    count = min(declared, MOST_TAGS, max(len(data) - place, 0) // entry)
    tags = []
    for start in range(place, place + entry * count, entry):
        number, kind, length = struct.unpack_from(f"{order}HH{'Q' if big else 'I'}", data, start)
        where = start + entry - inside
        if length * _SIZES.get(kind, 0) > inside:
            where = struct.unpack_from(order + ("Q" if big else "I"), data, where)[0]
        tags.append(Tag(number, kind, length, where))
    return Directory(tags, declared, order)


def exif_excess(data: bytes) -> str | None:
    """What the directories of a TIFF, or of EXIF data, have too much of, None if nothing.

    Args:
        data: from its byte order on, or from the mark "Exif".
    """
    while data.startswith(b"Exif\0\0"):
        data = data[6:]
    first = first_directory(data)
    if first is None:
        return None
    big = data[2:4] in (b"+\0", b"\0+")
    waiting, seen = [first], 0
    while waiting and seen < 8:
        found = waiting.pop()
        seen += 1
        if excess := _excess(found, len(data)):
            return excess
        for number in _DIRECTORIES:
            for place in found.numbers(data, number)[:1]:
                try:
                    waiting.append(_directory(data, found.order, big, place))
                except (struct.error, OverflowError):
                    continue
    return None


def _excess(directory: Directory, length: int) -> str | None:
    if directory.declared > MOST_TAGS:
        return f"a directory of {directory.declared:,} tags"
    total = 0
    for tag in directory.tags:
        size = tag.values * _SIZES.get(tag.kind, 0)
        if tag.place + size > length:
            continue  # decoders refuse or ignore it
        total += size
        if tag.kind not in _BYTES and tag.values > MOST_NUMBERS and (tag.number < 32768 or tag.kind in (5, 10)):
            return f"a tag of {tag.values:,} values"
    if total > length + _SLACK:
        return f"tags of {total / 1e6:.1f} MB in {length / 1e6:.1f} MB of data"
    return None
