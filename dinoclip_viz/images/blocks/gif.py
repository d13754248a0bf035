"""Blocks of a GIF (GIF89a specification, sections 16 to 26)."""

from __future__ import annotations

from dinoclip_viz.images.errors import image_error

MOST_EXTENSIONS = 6000  # Pillow joins the parts of a comment one by one: 1.5 MB of them cost about a second
MOST_IN_ANIMATION = 400_000  # a GIF of 20 MB has about 80,000 blocks of pixels
_EXTENSION, _IMAGE, _END = 0x21, 0x2C, 0x3B


def gif_excess(data: bytes) -> str | None:
    """What a GIF has too many of before the pixels of its first frame, None if nothing."""
    _, blocks = _skip_extensions(data, _first(data))
    if blocks > MOST_EXTENSIONS:
        return f"a GIF of more than {MOST_EXTENSIONS:,} comments and extensions before its first frame"
    return None


def check_animation(data: bytes, name: str) -> None:
    """Check that all frames of a GIF together have a number of blocks that can be walked over.

    Args:
        data: content of the file; a file that is no GIF passes.
        name: of the file, for the error.

    Raises:
        ImageError: it has more.
    """
    place, blocks, extensions = _first(data), 0, 0
    while data.startswith(b"GIF8") and place < len(data) and blocks <= MOST_IN_ANIMATION:
        place, found = _skip_extensions(data, place)
        extensions += found
        if extensions > 4 * MOST_EXTENSIONS or found > MOST_EXTENSIONS:
            raise image_error(name, f"a GIF of more than {MOST_EXTENSIONS:,} comments and extensions")
        if place + 10 > len(data) or data[place] == _END:
            return
        flags = data[place + 9]
        place += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        place, found = _skip_parts(data, place, MOST_IN_ANIMATION - blocks)
        blocks += found + 1
    if blocks > MOST_IN_ANIMATION:
        raise image_error(name, f"a GIF of more than {MOST_IN_ANIMATION:,} blocks")


def _first(data: bytes) -> int:
    """Position of the first block, behind the header and the palette of all frames."""
    flags = data[10] if len(data) > 10 else 0
    return 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)


def _skip_extensions(data: bytes, place: int) -> tuple[int, int]:
    """Position of the next frame or of the end, and how many blocks stand before it; counting ends at the limit."""
    blocks = 0
    while place < len(data) and data[place] not in (_IMAGE, _END) and blocks <= MOST_EXTENSIONS:
        is_extension = data[place] == _EXTENSION  # else a stray byte, which decoders skip
        place += 2 if is_extension else 1
        blocks += 1
        if is_extension:
            place, parts = _skip_parts(data, place, MOST_EXTENSIONS - blocks)
            blocks += parts
    return place, blocks


def _skip_parts(data: bytes, place: int, most: int) -> tuple[int, int]:
    """Position behind a run of parts, each of which begins with its length and the last of which is empty."""
    parts = 0
    while place < len(data) and (length := data[place]) and parts <= most:
        place += length + 1
        parts += 1
    return place + 1, parts
