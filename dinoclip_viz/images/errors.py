"""What an image may be at most, and the one error of everything that is not an image."""

from __future__ import annotations

import os
import re

MAXIMUM_SIDE = 1024
"""The longest side, in pixels, that an image may have as an encoder's input."""

MAXIMUM_PIXELS = 40_000_000
MAXIMUM_BYTES = 20_000_000

ALL_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "TIFF", "PPM", "HEIC")
"""The file formats that are read, by Pillow's names; HEIC needs the extra `heif`."""

_WRITTEN = {"WEBP": "WebP", "PPM": "PPM / PGM"}


class ImageError(ValueError):
    """A source is not an image that can be used; one line names it, what was found and what is accepted."""


class ImageWarning(UserWarning):
    """An image was read, but not as its owner may have meant it; the one-line message states what helps."""


def accepted(formats: tuple[str, ...] = ALL_FORMATS) -> str:
    """The formats and limits of files in words.

    Examples:
        >>> accepted(("PNG", "WEBP"))
        'PNG or WebP of at most 40 megapixels and 20 MB'
    """
    names = [_WRITTEN.get(name, name) for name in formats]
    listed = " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"{listed} of at most {MAXIMUM_PIXELS // 1_000_000} megapixels and {MAXIMUM_BYTES // 1_000_000} MB"


def image_error(name: str, found: str, expected: str | None = None) -> ImageError:
    """The error of a source.

    Args:
        name: what messages call the source, from `printable_path` and the like.
        found: what it is.
        expected: what is accepted; the file formats unless given.
    """
    return ImageError(f"{name}: found {printable(' '.join(found.split()))[:300]}; expected {expected or accepted()}")


def printable(text: str) -> str:
    """The text with a question mark for every character that a terminal could not show."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def name_of(source: str | os.PathLike[str]) -> str:
    """A path or address for a message: on one line, printable, short, without a password.

    Examples:
        >>> name_of("https://me:secret@a.org/cat.png")
        'https://a.org/cat.png'
    """
    text = os.fsdecode(source)
    if re.match(r"(?i)[a-z][a-z0-9+.-]+://", text):
        text = re.sub(r"(?<=://)[^/?#]*@", "", text)
    text = printable(text)
    return repr(text) if not text.strip() else text if len(text) <= 200 else f"{text[:80]}...{text[-80:]}"


def check_length(length: int, name: str) -> None:
    """Raises unless a file has at most `MAXIMUM_BYTES` bytes.

    Raises:
        ImageError: it has more.
    """
    if length > MAXIMUM_BYTES:
        raise image_error(name, f"{length / 1e6:.1f} MB")


def check_size(size: tuple[int, int], name: str) -> None:
    """Raises unless an image has at least one and at most `MAXIMUM_PIXELS` pixels.

    Raises:
        ImageError: it has none, or more.
    """
    width, height = size
    if width < 1 or height < 1:
        raise image_error(name, f"no pixels ({width} x {height})")
    if width * height > MAXIMUM_PIXELS:
        raise image_error(name, f"{width} x {height} = {width * height / 1e6:.1f} megapixels")
