"""Hostile AVIF and HEIC files: boxes that are countless, nested, empty or name one another (ISO/IEC 14496-12)."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", len(body) + 8) + kind + body


def full(kind: bytes, version: int, *content: bytes) -> bytes:
    return box(kind, bytes([version, 0, 0, 0]), *content)


def file_of(brand: bytes, *meta: bytes, after: bytes = b"") -> bytes:
    head = box(b"ftyp", brand, bytes(4), b"mif1", brand)
    handler = full(b"hdlr", 0, bytes(4), b"pict", bytes(13))
    return head + full(b"meta", 0, handler, full(b"pitm", 0, b"\0\x01"), *meta) + after


@cache
def small(kind: str) -> bytes:
    file, image = io.BytesIO(), Image.new("RGB", (64, 64), "grey")
    if kind == "AVIF":
        image.save(file, kind, speed=10)
    else:
        import pillow_heif

        pillow_heif.from_pillow(image).save(file)
    return file.getvalue()


def after_type(kind: str, blocks: bytes) -> bytes:
    """A real file with blocks behind its first box."""
    data = small(kind)
    first = int.from_bytes(data[:4], "big")
    return data[:first] + blocks + data[first:]


def items(count: int) -> bytes:
    some = [full(b"infe", 2, struct.pack(">HH", number + 1, 0), b"av01", b"\0") for number in range(min(count, 60000))]
    each = b"".join(some)
    return full(b"iinf", 1, struct.pack(">I", count), each * max(1, count // len(some)))


def associations(size: int) -> bytes:
    entry = bytes([255]) + bytes([0x81]) * 255
    count = size // (len(entry) + 4)
    rows = b"".join(struct.pack(">I", number + 1) + entry for number in range(count))
    properties = box(b"ipco", full(b"ispe", 0, struct.pack(">II", 8, 8)))
    return box(b"iprp", properties, full(b"ipma", 1, struct.pack(">I", count), rows))


def locations(count: int, extents: int) -> bytes:
    """Items of many extents that take no bytes: the sizes of their fields are zero."""
    row = struct.pack(">HHH", 1, 0, extents)
    return full(b"iloc", 0, b"\0\0", struct.pack(">H", count), row * count)


def long_locations(size: int) -> bytes:
    count = min(65535, size // 14)
    rows = b"".join(struct.pack(">HHHII", number, 0, 1, 100, 10) for number in range(count))
    return full(b"iloc", 0, b"\x44\0", struct.pack(">H", count), rows + bytes(size - len(rows)))


def nested(size: int) -> bytes:
    kinds = b"moov", b"trak", b"mdia", b"minf", b"stbl", b"trak", b"mdia", b"minf"
    inside = box(b"free") * (size // 8)
    for kind in reversed(kinds):
        inside = box(kind, inside)
    return inside


@cache
def stream(side: int, noisy: bool) -> tuple[bytes, bytes]:
    """The `hvcC` box and the coded image of a HEIC of one colour, or of noise."""
    import pillow_heif

    file = io.BytesIO()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))
    image = noise if noisy else Image.new("RGB", (side, side), "grey")
    pillow_heif.from_pillow(image).save(file, quality=95 if noisy else 1)
    data = file.getvalue()
    place = data.index(b"hvcC") - 4
    coded = data.index(b"mdat") + 4
    return data[place : place + int.from_bytes(data[place : place + 4], "big")], data[coded:]


def grid(side: int, across: int, down: int, size: tuple[int, int], noisy: bool = False) -> bytes:
    """A HEIC of one grid, whose tiles are all the same item."""
    config, coded = stream(side, noisy)
    count = across * down
    described = full(b"iinf", 0, struct.pack(">H", 2),
        full(b"infe", 2, struct.pack(">HH", 1, 0), b"grid", b"\0"),
        full(b"infe", 2, struct.pack(">HH", 2, 0), b"hvc1", b"\0"))  # fmt: skip
    parts = full(b"iref", 0, box(b"dimg", struct.pack(">HH", 1, count), struct.pack(">H", 2) * count))
    shapes = [full(b"ispe", 0, struct.pack(">II", *each)) for each in (size, (side, side))]
    of_items = struct.pack(">HBB", 1, 1, 1), struct.pack(">HBBB", 2, 2, 2, 0x83)
    properties = box(b"iprp", box(b"ipco", *shapes, config), full(b"ipma", 0, struct.pack(">I", 2), *of_items))
    plan = bytes([0, 1, down - 1, across - 1]) + struct.pack(">II", *size)

    def file(start: int) -> bytes:
        rows = struct.pack(">HHHII", 1, 0, 1, start, len(plan)), struct.pack(">HHHII", 2, 0, 1, start + 12, len(coded))
        places = full(b"iloc", 0, b"\x44\0", struct.pack(">H", 2), *rows)
        return file_of(b"heic", described, places, parts, properties, after=box(b"mdat", plan, coded))

    return file(file(0).index(b"mdat") + 4)


BOXES: dict[str, Callable[[int, np.random.Generator], bytes]] = {
    "avif boxes": lambda size, _: after_type("AVIF", box(b"free") * (size // 8)),
    "heic boxes": lambda size, _: after_type("HEIC", box(b"free") * (size // 8)),
    "avif nested boxes": lambda size, _: after_type("AVIF", nested(size)),
    "heic nested boxes": lambda size, _: after_type("HEIC", nested(size)),
    "avif items": lambda size, _: file_of(b"avif", items(size // 21)),
    "heic items": lambda size, _: file_of(b"heic", items(size // 21)),
    "avif associations": lambda size, _: file_of(b"avif", items(100), associations(size)),
    "heic associations": lambda size, _: file_of(b"heic", items(100), associations(size)),
    "avif extents without bytes": lambda size, _: file_of(b"avif", locations(min(65535, size // 6), 65535)),
    "heic extents without bytes": lambda size, _: file_of(b"heic", locations(min(65535, size // 6), 65535)),
    "avif long table of places": lambda size, _: file_of(b"avif", long_locations(size)),
    "heic long table of places": lambda size, _: file_of(b"heic", long_locations(size)),
    "heic the same tile 4096 times": lambda size, _: grid(64, 64, 64, (4096, 4096)),
    "heic tiles beyond the image": lambda size, _: grid(2048, 15, 15, (6000, 6000)),
    "heic the same tile again": lambda size, _: grid(512, 12, 12, (6000, 6000), noisy=True),
}
