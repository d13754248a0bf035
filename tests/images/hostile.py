"""Two hundred hostile images: files that keep a decoder busy, fill the memory or break it, made anew each time.

`KINDS` has a maker per kind; `hostile(kind, variant)` gives the bytes, equal at every call. Variant 0 is the largest.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from PIL import Image

from tests.images.hostile_boxes import BOXES
from tests.images.hostile_profile import curves, matrices, profile
from tests.images.hostile_tiff import TIFFS, directory

FULL = 15_000_000
"""Bytes of a file of variant 0."""
VARIANTS = 4
_PIXELS = (6600, 6000)  # 39.6 megapixels, below the limit of 40


def hostile(kind: str, variant: int = 0) -> bytes:
    """The file of a kind; later variants are smaller, and differ in what they repeat."""
    return KINDS[kind](max(FULL >> (2 * variant), 2000), np.random.default_rng(variant))


def every() -> Iterator[tuple[str, int]]:
    """Kind and variant of each file."""
    yield from ((kind, variant) for variant in range(VARIANTS) for kind in KINDS)


def fill(piece: bytes, size: int) -> bytes:
    return piece * max(1, size // len(piece))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# GIF


_SCREEN = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
_FRAME = b"," + struct.pack("<HHHHB", 0, 0, 8, 8, 0) + b"\x02\x0a\x84\x8f\xa9\xcb\xed\x0f\xa3\x9c\xb4\xda\0"


def gif(blocks: bytes) -> bytes:
    return _SCREEN + blocks + _FRAME + b";"


GIFS: dict[str, Callable[[int, np.random.Generator], bytes]] = {
    "gif comments": lambda size, _: gif(fill(b"!\xfe\x03abc\0", size)),
    "gif empty comments": lambda size, _: gif(fill(b"!\xfe\0", size)),
    "gif one long comment": lambda size, _: gif(b"!\xfe" + fill(b"\xff" + b"x" * 255, size) + b"\0"),
    "gif comment of bytes": lambda size, _: gif(b"!\xfe" + fill(b"\x01x", size) + b"\0"),
    "gif application blocks": lambda size, _: gif(fill(b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0", size)),
    "gif plain texts": lambda size, _: gif(fill(b"!\x01\x01a\0", size)),
    "gif graphic controls": lambda size, _: gif(fill(b"!\xf9\x04\0\0\0\0\0", size)),
    "gif junk bytes": lambda size, _: gif(fill(b"\0", size)),
    "gif pixels in blocks of one": lambda size, _: _SCREEN + _FRAME[:10] + b"\x02" + fill(b"\x01\x84", size) + b"\0;",
    "gif frames": lambda size, _: _SCREEN + fill(_FRAME, size) + b";",
    "gif of 40 megapixels": lambda size, _: (
        b"GIF89a" + struct.pack("<HHBBB", *_PIXELS, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + _FRAME + b";"
    ),
    "gif frame beyond its screen": lambda size, _: (
        _SCREEN + b"," + struct.pack("<HHHHB", 60000, 60000, 5000, 5000, 0) + _FRAME[10:] + b";"
    ),
}


# PNG


def chunk(name: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    before: bytes = b"", after: bytes = b"", size: tuple[int, int] = (8, 8), depth: int = 8, colour: int = 2,
    interlaced: int = 0, data: bytes | None = None,
) -> bytes:  # fmt: skip
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlaced))
    pixels = zeros(*size, depth, colour) if data is None else data
    return b"\x89PNG\r\n\x1a\n" + head + before + chunk(b"IDAT", pixels) + after + chunk(b"IEND")


@cache
def zeros(width: int, height: int, depth: int, colour: int) -> bytes:
    """Compressed black rows."""
    row = 1 + (width * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] + 7) // 8
    packer = zlib.compressobj(1)
    return b"".join([*(packer.compress(bytes(row)) for _ in range(height)), packer.flush()])


def bomb(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def png_frames(size: int) -> bytes:
    frames, number = [], 1
    for _ in range(size // 100):
        frames.append(chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, 8, 8, 0, 0, 1, 10, 0, 0)))
        frames.append(chunk(b"fdAT", struct.pack(">I", number + 1) + zeros(8, 8, 8, 2)))
        number += 2
    first = chunk(b"acTL", struct.pack(">II", len(frames) // 2 + 1, 0))
    return png(first + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 10, 0, 0)), b"".join(frames))


def raw_profile(tiff: bytes) -> bytes:
    text = b"\nexif\n%8d\n" % len(tiff) + tiff.hex().encode()
    return chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))


PNGS: dict[str, Callable[[int, np.random.Generator], bytes]] = {
    "png tiny chunks": lambda size, _: png(fill(chunk(b"quIt"), size)),
    "png tiny chunks after the pixels": lambda size, _: png(after=fill(chunk(b"quIt"), size)),
    "png empty pixel chunks": lambda size, _: png(after=fill(chunk(b"IDAT"), size)),
    "png tiny texts": lambda size, _: png(fill(chunk(b"tEXt", b"k\0v"), size)),
    "png text bombs": lambda size, _: png(fill(chunk(b"zTXt", b"k\0\0" + bomb(1_000_000)), size)),
    "png text bombs after the pixels": lambda size, _: png(after=fill(chunk(b"zTXt", b"k\0\0" + bomb(10**6)), size)),
    "png one text bomb": lambda size, _: png(chunk(b"zTXt", b"k\0\0" + bomb(40 * size))),
    "png international text bombs": lambda size, _: png(fill(chunk(b"iTXt", b"k\0\1\0\0\0" + bomb(1_000_000)), size)),
    "png profile bombs": lambda size, _: png(fill(chunk(b"iCCP", b"p\0\0" + bomb(1_000_000)), size)),
    "png one profile bomb": lambda size, _: png(chunk(b"iCCP", b"p\0\0" + bomb(40 * size))),
    "png overlapping exif": lambda size, _: png(chunk(b"eXIf", directory(size))),
    "png overlapping raw exif": lambda size, _: png(raw_profile(directory(min(size, 480_000)))),
    "png animation": lambda size, _: png_frames(size),
    "png of 40 megapixels": lambda size, _: png(size=_PIXELS, colour=6),
    "png of 40 megapixels, 16 bits": lambda size, _: png(size=_PIXELS, colour=6, depth=16),
    "png of 40 megapixels, grey 16 bits": lambda size, _: png(size=_PIXELS, colour=0, depth=16),
    "png of 40 megapixels, interlaced": lambda size, _: png(
        size=_PIXELS, interlaced=1, data=bomb(9 * 6600 * 6000 // 2)
    ),
    "png of 1 bit": lambda size, _: png(size=_PIXELS, depth=1, colour=0),
    "png more pixels than declared": lambda size, _: png(data=bomb(40 * size)),
    "png of too many pixels": lambda size, _: png(size=(2**31 - 1, 2**31 - 1), data=b""),
    "png empty palette": lambda size, _: png(chunk(b"PLTE"), colour=3),
}


# JPEG


def segment(marker: int, body: bytes = b"") -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


@cache
def flat(mode: str, size: tuple[int, int], progressive: bool) -> bytes:
    return saved(Image.new(mode, size, "grey"), "JPEG", progressive=progressive)


def jpeg(before: bytes, data: bytes | None = None) -> bytes:
    file = flat("RGB", (8, 8), False) if data is None else data
    return file[:2] + before + file[2:]


def scans(size: int, count: int, mode: str = "L", pixels: tuple[int, int] = _PIXELS) -> bytes:
    """A progressive JPEG whose last scan stands in it many times."""
    file = flat(mode, pixels, True)
    last = file[file.rindex(b"\xff\xda") : -2]
    return file[:-2] + last * min(count, size // len(last)) + b"\xff\xd9"


def separate_scans(count: int) -> bytes:
    """A sequential JPEG of three components, each of which stands in it many times."""
    file = flat("L", _PIXELS, False)
    frame, scan = file.index(b"\xff\xc0"), file.index(b"\xff\xda")
    head = segment(0xC0, file[frame + 4 : frame + 9] + b"\x03\x01\x11\0\x02\x11\0\x03\x11\0")
    after = frame + 2 + int.from_bytes(file[frame + 2 : frame + 4], "big")
    body = file[scan + 10 : -2]
    each = [segment(0xDA, bytes([1, part, 0, 0, 63, 0])) + body for part in (1, 2, 3)]
    return file[:frame] + head + file[after:scan] + b"".join(each) * (count // 3) + b"\xff\xd9"


def exif_segments(size: int) -> bytes:
    tiff = directory(size)
    return b"".join(segment(0xE1, b"Exif\0\0" + tiff[start : start + 65000]) for start in range(0, len(tiff), 65000))


def profile_segments(size: int) -> bytes:
    return b"".join(
        segment(0xE2, b"ICC_PROFILE\0" + bytes([n % 255 + 1, 255]) + bytes(60000)) for n in range(size // 60020)
    )


_RESOURCES = b"Photoshop 3.0\0" + (b"8BIM\x04\0\0\0\0\0\0\0" * 5400)
JPEGS: dict[str, Callable[[int, np.random.Generator], bytes]] = {
    "jpeg comments": lambda size, _: jpeg(fill(segment(0xFE), size)),
    "jpeg tiny application segments": lambda size, _: jpeg(fill(segment(0xE7, b"x"), size)),
    "jpeg padding": lambda size, _: jpeg(fill(b"\xff", size)),
    "jpeg markers without a body": lambda size, _: jpeg(fill(b"\xff\x01", size)),
    "jpeg restarts": lambda size, _: jpeg(fill(b"\xff\xd0", size)),
    "jpeg empty tables": lambda size, _: jpeg(fill(segment(0xC4), size)),
    "jpeg tables": lambda size, _: jpeg(fill(segment(0xDB, b"\0" + bytes(range(1, 65))), size)),
    "jpeg comments between scans": lambda size, _: (
        flat("RGB", (64, 64), True)[:-2] + fill(segment(0xFE), size) + b"\xff\xd9"
    ),
    "jpeg photoshop resources": lambda size, _: jpeg(fill(segment(0xED, _RESOURCES), size)),
    "jpeg overlapping exif": lambda size, _: jpeg(exif_segments(size)),
    "jpeg one exif segment": lambda size, _: jpeg(segment(0xE1, b"Exif\0\0" + directory(65000))),
    "jpeg profile segments": lambda size, _: jpeg(profile_segments(size)),
    "jpeg xmp segments": lambda size, _: jpeg(
        fill(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"<" * 65000), size)
    ),
    "jpeg multi-picture entries": lambda size, _: jpeg(segment(0xE2, b"MPF\0" + pictures(4000))),
    "jpeg 490 scans of 40 megapixels": lambda size, _: scans(size, 480),
    "jpeg 490 colour scans": lambda size, _: scans(size, 480, "RGB"),
    "jpeg 30 scans of 40 megapixels": lambda size, _: scans(size, 24),
    "jpeg 30 colour scans of 40 megapixels": lambda size, _: scans(size, 20, "RGB"),
    "jpeg thousands of small scans": lambda size, _: scans(size, 10**6, "RGB", (64, 64)),
    "jpeg separate scans": lambda size, _: separate_scans(min(size // 300_000 * 3 + 3, 39)),
    "jpeg of 40 megapixels, cut": lambda size, _: flat("RGB", _PIXELS, False)[:2000],
    "jpeg of 65500 x 65500": lambda size, _: flat("RGB", (8, 8), False).replace(b"\0\x08\0\x08", b"\xff\xdc" * 2, 1),
}


def pictures(count: int) -> bytes:
    """The index of a multi-picture file that names many pictures (CIPA DC-007)."""
    entries = struct.pack("<IIIHH", 0, 100, 0, 0, 0) * count
    tags = [(0xB000, 7, 4, b"0100"), (0xB001, 4, 1, struct.pack("<I", count)), (0xB002, 7, len(entries), b"")]
    table = b"".join(
        struct.pack("<HHI", tag, kind, length) + (value or struct.pack("<I", 50)) for tag, kind, length, value in tags
    )
    return (b"II*\0" + struct.pack("<IH", 8, 3) + table + bytes(4)).ljust(50, b"\0") + entries


# WebP


def riff(*parts: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in parts)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def extended(flags: int, size: tuple[int, int] = (8, 8)) -> tuple[bytes, bytes]:
    return b"VP8X", struct.pack("<I", flags) + (size[0] - 1).to_bytes(3, "little") + (size[1] - 1).to_bytes(3, "little")


@cache
def webp_pixels(size: tuple[int, int] = (8, 8)) -> tuple[bytes, bytes]:
    file = saved(Image.new("RGB", size), "WEBP", lossless=True, method=0)
    return b"VP8L", file[20 : 20 + int.from_bytes(file[16:20], "little")]


def webp_with(size: int, piece: bytes) -> bytes:
    """A file with many copies of a chunk after its image."""
    file = riff(extended(0), webp_pixels()) + fill(piece, size)
    return file[:4] + struct.pack("<I", len(file) - 8) + file[8:]


def webp_frames(size: int) -> bytes:
    name, data = webp_pixels()
    inside = name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    body = bytes(6) + (7).to_bytes(3, "little") * 2 + (10).to_bytes(3, "little") + b"\0" + inside
    frame = b"ANMF" + struct.pack("<I", len(body)) + body
    file = riff(extended(2), (b"ANIM", bytes(6))) + fill(frame, size)
    return file[:4] + struct.pack("<I", len(file) - 8) + file[8:]


WEBPS: dict[str, Callable[[int, np.random.Generator], bytes]] = {
    "webp unknown chunks": lambda size, _: webp_with(size, b"quit\0\0\0\0"),
    "webp exif chunks": lambda size, _: webp_with(size, b"EXIF\x02\0\0\0ab"),
    "webp frames": lambda size, _: webp_frames(size),
    "webp of 40 megapixels": lambda size, _: riff(webp_pixels(_PIXELS)),
    "webp overlapping exif": lambda size, _: riff(extended(8), webp_pixels(), (b"EXIF", directory(size))),
    "webp profile of many elements": lambda size, _: riff(
        extended(0x20), (b"ICCP", profile(matrices(size // 40))), webp_pixels()
    ),
    "webp profile of many segments": lambda size, _: riff(
        extended(0x20), (b"ICCP", profile(curves(min(size // 140, 60000)))), webp_pixels()
    ),
    "webp canvas of 40 megapixels": lambda size, _: riff(extended(0, _PIXELS), webp_pixels()),
}


# BMP and PPM


def bmp(depth: int, compression: int, size: tuple[int, int], pixels: bytes) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, *size, 1, depth, compression, len(pixels), 0, 0, 256, 0)
    start = 14 + 40 + 1024
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + head + bytes(1024) + pixels


def noise(size: int, chance: np.random.Generator) -> bytes:
    return chance.integers(0, 256, size, np.uint8).tobytes()


BMPS: dict[str, Callable[[int, np.random.Generator], bytes]] = {
    "bmp runs of one": lambda size, _: bmp(8, 1, (6000, 6000), fill(b"\x01\x05", size)),
    "bmp runs of 255": lambda size, _: bmp(8, 1, _PIXELS, fill(b"\xff\x05", size)),
    "bmp runs of half bytes": lambda size, _: bmp(4, 2, _PIXELS, fill(b"\xff\x05", size)),
    "bmp steps": lambda size, _: bmp(8, 1, _PIXELS, fill(b"\0\x02\0\0", size)),
    "bmp long steps": lambda size, _: bmp(8, 1, _PIXELS, fill(b"\0\x02\xff\xff", size)),
    "bmp lines": lambda size, _: bmp(8, 1, _PIXELS, fill(b"\0\0", size)),
    "bmp of 40 megapixels": lambda size, _: bmp(1, 0, _PIXELS, bytes((6600 + 31) // 32 * 4 * 6000)),
    "ppm comments": lambda size, _: b"P2\n5000 5000\n255\n" + fill(b"#\n", size),
    "ppm comments in the header": lambda size, _: b"P6\n" + fill(b"#\n", size) + b"8 8 255\n" + bytes(192),
    "ppm numbers": lambda size, _: b"P3\n1600 1500\n255\n" + fill(b"1 ", size),
    "ppm bits": lambda size, _: b"P1\n3000 2500\n" + fill(b"1\n", size),
    "ppm bits and comments": lambda size, _: b"P1\n3000 2500\n" + fill(b"1#\n", size),
    "ppm maximum of 254": lambda size, _: b"P5\n%d 3000\n254\n" % (size // 3000) + bytes(size // 3000 * 3000),
    "ppm colours of 12 bits": lambda size, c: b"P6\n%d 500\n4095\n" % (size // 3000) + noise(size // 3000 * 3000, c),
    "ppm one long number": lambda size, _: b"P2\n50 50\n255\n" + fill(b"1", size),
    "ppm long header": lambda size, _: b"P5 " + fill(b" ", size) + b"8 8 255\n" + bytes(64),
}


# What is no image


OTHERS: dict[str, Callable[[int, np.random.Generator], bytes]] = {
    "spaces": lambda size, _: fill(b" ", size),
    "nested json": lambda size, _: fill(b"[", size),
    "svg of entities": lambda size, _: b"<!DOCTYPE svg><svg>" + fill(b"&lol;", size),
    "noise after every magic": lambda size, c: (
        (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0\x08\0\0\0", _SCREEN)[len(str(size)) % 4] + noise(size, c)
    ),
}

KINDS: dict[str, Callable[[int, np.random.Generator], bytes]] = {
    **GIFS, **PNGS, **JPEGS, **WEBPS, **TIFFS, **BMPS, **BOXES, **OTHERS,
}  # fmt: skip
