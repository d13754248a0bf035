"""Chunks of a PNG (PNG specification, third edition, section 5)."""

from __future__ import annotations

from collections import Counter

MOST_OTHERS = 5000
MOST_OF_PIXELS = 50_000  # libpng writes 8 KB into each: 2,500 in a file of 20 MB
MOST_COMPRESSED = 200  # texts and profiles, of which each may unpack to 1 MB
_OF_PIXELS = (b"IDAT", b"fdAT", b"fcTL")
_COMPRESSED = (b"zTXt", b"iTXt", b"iCCP")


def png_excess(data: bytes) -> str | None:
    """What a PNG has too many of, None if nothing."""
    place, kinds = 8, Counter[bytes]()
    for _ in range(MOST_OF_PIXELS + MOST_OTHERS):
        kind = data[place + 4 : place + 8]
        if len(kind) < 4 or kind == b"IEND":
            break
        kinds[kind] += 1
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    pixels = sum(kinds[kind] for kind in _OF_PIXELS)
    if pixels > MOST_OF_PIXELS:
        return f"a PNG of more than {MOST_OF_PIXELS:,} chunks of pixels"
    if kinds.total() - pixels > MOST_OTHERS:
        return f"a PNG of more than {MOST_OTHERS:,} chunks beside its pixels"
    if sum(kinds[kind] for kind in _COMPRESSED) > MOST_COMPRESSED:
        return f"a PNG of more than {MOST_COMPRESSED} compressed texts and profiles"
    return None
