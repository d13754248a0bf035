"""PBM, PGM and PPM files (the netpbm formats P1 to P6), read as whole arrays; Pillow reads most of them in Python."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_LONGEST = 10_000  # bytes of a header with its comments
_MOST_COMMENTS = 10_000
_GAP = rb"(?:\s|#[^\n\r]*[\n\r])+"
_HEADER = re.compile(rb"P([14])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})\s")
_HEADER_WITH_MOST = re.compile(rb"P([2356])" + (_GAP + rb"(\d{1,9})") * 3 + rb"\s")
_COMMENT = re.compile(rb"#[^\n\r]*")
_LONG_NUMBER = re.compile(rb"\d{11}")
_SPACES = b" \t\n\r\v\f"


class PpmHeader(NamedTuple):
    """A header: format 1 to 6, width and height in pixels, the largest value, and where the pixels begin."""

    kind: int
    width: int
    height: int
    most: int
    start: int


def header_of(data: bytes) -> PpmHeader | None:
    r"""The header of a file, None if it is invalid or longer than 10,000 bytes.

    Examples:
        >>> header_of(b"P5 # grey\n3 2 4095\n")
        PpmHeader(kind=5, width=3, height=2, most=4095, start=19)
    """
    found = _HEADER.match(data[:_LONGEST]) or _HEADER_WITH_MOST.match(data[:_LONGEST])
    if found is None:
        return None
    kind, width, height, *most = (int(part) for part in found.groups())
    return PpmHeader(kind, width, height, most[0] if most else 1, found.end())


def open_ppm(data: bytes) -> Image.Image:
    """The image: mode 1, L, RGB, or I with 16 bits for grey values above 255, scaled to the whole range.

    Raises:
        ValueError: the file is broken or cut.
    """
    header = header_of(data)
    if header is None:
        raise ValueError("invalid header")
    kind, width, height, most, start = header
    if not 0 < most < 65536:
        raise ValueError(f"largest value {most}")
    if kind in (1, 4):
        return _bits(data, header)
    bands = 3 if kind in (3, 6) else 1
    count = width * height * bands
    if kind in (5, 6):
        wide = np.dtype(np.uint8) if most < 256 else np.dtype(">u2")
        if len(data) - start < count * wide.itemsize:
            raise ValueError("image file is truncated")
        values = np.frombuffer(data, wide, count, start)
    else:
        values = _numbers(data[start:], count, most)
    deep = bands == 1 and most > 255
    full = 65535 if deep else 255
    table = np.rint(np.minimum(np.arange(65536), most) / most * full).astype(np.int32 if deep else np.uint8)
    shape = (height, width, 3) if bands == 3 else (height, width)
    return Image.fromarray(table[values].reshape(shape))


def _bits(data: bytes, header: PpmHeader) -> Image.Image:
    """Of P1, digits, and P4, eight to a byte; 1 is black."""
    size = header.width, header.height
    if header.kind == 4:
        length = (header.width + 7) // 8 * header.height
        packed = data[header.start : header.start + length]
        if len(packed) < length:
            raise ValueError("image file is truncated")
        return Image.frombytes("1", size, packed, "raw", "1;I")
    digits = _without_comments(data[header.start :]).translate(None, _SPACES)[: header.width * header.height]
    if digits.translate(None, b"01"):
        raise ValueError("digits other than 0 and 1")
    if len(digits) < header.width * header.height:
        raise ValueError("image file is truncated")
    return Image.frombytes("1", size, digits.translate(bytes.maketrans(b"01", b"\xff\x00")), "raw", "1;8")


def _numbers(text: bytes, count: int, most: int) -> NDArray[np.int64]:
    """The first numbers of a text."""
    text = _without_comments(text)
    if text.translate(None, b"0123456789" + _SPACES) or _LONG_NUMBER.search(text):
        raise ValueError("values that are no numbers of at most 10 digits")
    values = np.fromstring(text, np.int64, sep=" ")[:count] if text.strip() else np.zeros(0, np.int64)
    if len(values) < count:
        raise ValueError("image file is truncated")
    if values.max(initial=0) > most:
        raise ValueError(f"a value of {values.max()}, above the largest value {most}")
    return values


def _without_comments(text: bytes) -> bytes:
    if text.count(b"#") > _MOST_COMMENTS:
        raise ValueError(f"more than {_MOST_COMMENTS:,} comments")
    return _COMMENT.sub(b"", text)
