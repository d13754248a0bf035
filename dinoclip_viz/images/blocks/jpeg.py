"""Segments and scans of a JPEG (ITU-T T.81, annex B)."""

from __future__ import annotations

from collections.abc import Iterator

from dinoclip_viz.images.blocks.tags import exif_excess

MOST_SEGMENTS = 2000  # each may have 64 KB: a file of 20 MB needs 310 of them
MOST_STRAY = 20_000  # bytes between segments
MOST_RESOURCES = 10_000  # of Photoshop
MOST_SCANS = 500  # libjpeg-turbo's own bound
MOST_SCANNED = 1_200_000_000  # pixels times scans; an ordinary progressive JPEG of 40 megapixels has 10 scans
_SCAN = 0xDA


def jpeg_excess(data: bytes) -> str | None:
    """What a JPEG has too many of, None if nothing."""
    pixels, start, notes = 0, len(data), []
    for marker, place in jpeg_segments(data):
        if marker == 0:
            return f"a JPEG of more than {MOST_SEGMENTS:,} segments or {MOST_STRAY:,} stray bytes before its first scan"
        start = place
        body = data[place + 4 : place + 10]
        if is_frame(marker) and not pixels:
            pixels = int.from_bytes(data[place + 5 : place + 7], "big")
            pixels *= int.from_bytes(data[place + 7 : place + 9], "big")
        elif marker == 0xE1 and body == b"Exif\0\0":
            length = int.from_bytes(data[place + 2 : place + 4], "big")
            notes.append(data[place + 10 : place + 2 + length])
    if data.count(b"8BIM", 0, start) > MOST_RESOURCES:
        return f"a JPEG of more than {MOST_RESOURCES:,} Photoshop resources"
    scans = jpeg_scans(data)
    if scans > MOST_SCANS:
        return f"a JPEG of more than {MOST_SCANS} scans"
    if scans * pixels > MOST_SCANNED and scans > 1:
        return f"a JPEG of {scans} scans of {pixels / 1e6:.1f} megapixels"
    return exif_excess(b"".join(notes)) if len(notes) > 1 else None


def jpeg_scans(data: bytes) -> int:
    """At most how many scans a JPEG has: 1 for a sequential one whose first scan holds all components."""
    frame, components = 0, 0
    for marker, place in jpeg_segments(data):
        if is_frame(marker) and not frame:
            frame, components = marker, data[place + 9] if len(data) > place + 9 else 0
        elif marker == _SCAN:
            if frame in (0xC0, 0xC1) and data[place + 4] == components:
                return 1
            break
    return data.count(b"\xff\xda")


def is_frame(marker: int) -> bool:
    """Whether a marker begins a frame, not a table or an extension."""
    return 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and position of each segment up to the first scan's data; marker 0 where there are too many of them."""
    place, stray = 2, 0
    for _ in range(MOST_SEGMENTS):
        begin = place
        while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] == b"\xff" and stray <= MOST_STRAY:
            place += 1  # padding
            stray += 1
        if place < len(data) and data[place] != 0xFF:
            place = data.find(b"\xff", place)  # decoders skip what is no marker
            stray += max(place - begin, 0)
        if stray > MOST_STRAY:
            break
        if place < 0 or place + 9 > len(data):
            return
        marker = data[place + 1]
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:  # these stand alone
            place += 2
            continue
        yield marker, place
        if marker == _SCAN:
            return
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    yield 0, place
