"""Colour profiles that cost as much as their author likes (ICC.1:2022, 10.14: multi-process elements)."""

from __future__ import annotations

import struct


def matrices(elements: int) -> bytes:
    """A transform that is one matrix, named as many times as given."""
    unit = struct.pack(">9f", 1, 0, 0, 0, 1, 0, 0, 0, 1) + bytes(12)
    matrix = b"matf" + bytes(4) + struct.pack(">HH", 3, 3) + unit
    start = 16 + 8 * elements
    table = struct.pack(">II", start, len(matrix)) * elements
    return b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, elements) + table + matrix


def curves(segments: int) -> bytes:
    """A transform of three times the same curve, of as many segments as given."""
    breaks = struct.pack(f">{segments - 1}f", *(number / segments for number in range(1, segments)))
    segment = b"parf" + bytes(4) + struct.pack(">HH4f", 0, 0, 1.0, 1.0, 0.0, 0.0)
    curve = b"curf" + bytes(4) + struct.pack(">HH", segments, 0) + breaks + segment * segments
    element = b"cvst" + bytes(4) + struct.pack(">HH", 3, 3) + struct.pack(">II", 36, len(curve)) * 3 + curve
    return b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, 1) + struct.pack(">II", 24, len(element)) + element


def profile(transform: bytes, intents: int = 4) -> bytes:
    """An RGB profile with a transform of floating-point elements."""
    text = b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", 8, 28) + "slow".encode("utf-16-be")
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    parts = [(b"desc", text), (b"cprt", text), (b"wtpt", white)]
    tags, body, place = b"", b"", 128 + 4 + 12 * (len(parts) + intents)
    for name, data in parts:
        tags += name + struct.pack(">II", place + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    for number in range(intents):
        tags += b"D2B%d" % number + struct.pack(">II", place + len(body), len(transform))
    body += transform
    head = struct.pack(">I", place + len(body)) + b"lcms" + b"\x04\x40\0\0" + b"spacRGB XYZ " + bytes(12) + b"acsp"
    head += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(parts) + intents) + tags + body
