"""Tiles of HEIC and AVIF images: what a decoder decodes for an image that is put together from others."""

from __future__ import annotations

import struct

from dinoclip_viz.images.blocks.boxes import Row, boxes, item_parts
from dinoclip_viz.images.errors import MAXIMUM_PIXELS

MOST_DECODED = MAXIMUM_PIXELS * 3 // 2  # tiles stand over the edges of their image
_DEEPEST = 4
_LEAST = 5_000_000  # bytes that may be decoded of any file, since equal tiles may be stored once

Cost = tuple[int, int]
"""Pixels and bytes that are decoded."""


def tiles_excess(data: bytes) -> str | None:
    """What an image of tiles (ISO/IEC 23008-12, 6.6.2) decodes too much of, None if nothing.

    Each tile counts as often as it is named: decoders decode it anew each time.
    """
    shapes: list[int] = []
    owned: dict[int, list[int]] = {}
    lengths: dict[int, int] = {}
    named: dict[int, list[int]] = {}
    properties = (0, 0)
    for kind, start, stop in boxes(data, 0, len(data), _DEEPEST + 4):
        body = data[start:stop] if kind in (b"iloc", b"ipma", b"iref", b"ispe") else b""
        if properties[0] < start <= properties[1]:
            width, height = struct.unpack_from(">II", body, 4) if kind == b"ispe" and len(body) >= 12 else (0, 0)
            shapes.append(width * height)
        elif kind == b"ipco":
            properties = (start, stop)
        elif kind == b"ipma":
            owned |= _associations(body)
        elif kind == b"iref":
            named |= _references(body)
        elif kind == b"iloc":
            for part in item_parts(body):
                lengths[part.item] = lengths.get(part.item, 0) + part.length
    plain = {
        item: max((shapes[index - 1] for index in owned.get(item, ()) if 0 < index <= len(shapes)), default=0)
        for item in {*owned, *lengths}
    }
    for item in named:
        pixels, size = _cost(item, named, plain, lengths, _DEEPEST)
        if pixels > MOST_DECODED:
            return f"tiles of {pixels / 1e6:.1f} megapixels together"
        if size > max(len(data), _LEAST):
            return f"tiles of {size / 1e6:.1f} MB in a file of {len(data) / 1e6:.1f} MB"
    return None


def _cost(
    item: int, named: dict[int, list[int]], pixels: dict[int, int], lengths: dict[int, int], deepest: int
) -> Cost:
    if item not in named or not deepest:
        return pixels.get(item, 0), lengths.get(item, 0)
    known: dict[int, Cost] = {}
    for part in named[item]:
        if part not in known:
            known[part] = _cost(part, named, pixels, lengths, deepest - 1)
    each = [known[part] for part in named[item]]
    return sum(cost[0] for cost in each), sum(cost[1] for cost in each)


def _associations(body: bytes) -> dict[int, list[int]]:
    """Item -> the numbers of its properties, from 1 (ISO/IEC 23008-12, 9.3.1)."""
    row, found = Row(body), dict[int, list[int]]()
    try:
        head = row.take(4)
        wide, double = 4 if head >> 24 else 2, head & 1
        for _ in range(row.take(4)):
            item = row.take(wide)
            found[item] = [row.take(2) & 0x7FFF if double else row.take(1) & 0x7F for _ in range(row.take(1))]
    except ValueError:
        return found
    return found


def _references(body: bytes) -> dict[int, list[int]]:
    """Item -> the items that it is put together from (ISO/IEC 14496-12, 8.11.12)."""
    found: dict[int, list[int]] = {}
    wide = 4 if body[:1] == b"\x01" else 2
    for kind, start, stop in boxes(body, 4, len(body), 0):
        if kind == b"dimg":
            row = Row(body[start:stop])
            try:
                item = row.take(wide)
                found[item] = [row.take(wide) for _ in range(row.take(2))]
            except ValueError:
                continue
    return found
