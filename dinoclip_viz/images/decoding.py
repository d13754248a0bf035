"""Files of images -> RGB images. Files come from strangers: what a file is, its content decides, never its name."""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Callable

from PIL import Image, UnidentifiedImageError

from dinoclip_viz.images.blocks import check_blocks
from dinoclip_viz.images.blocks.boxes import brand_of
from dinoclip_viz.images.deep import deep_pgm, deep_png, warn_of_lost_bits
from dinoclip_viz.images.errors import (
    ALL_FORMATS,
    MAXIMUM_BYTES,
    ImageError,
    accepted,
    check_length,
    check_size,
    image_error,
)
from dinoclip_viz.images.headers import SIZES
from dinoclip_viz.images.levels import Levels
from dinoclip_viz.images.pixels import rgb
from dinoclip_viz.images.ppm import open_ppm

_DEEP = ("LA", "RGB", "RGBA")  # modes in which Pillow keeps the upper 8 of 16 bits


def read(path: str | os.PathLike[str], name: str) -> bytes:
    """The content of a regular file; pipes and devices are not even opened.

    Raises:
        ImageError: the file is missing, no regular file, unreadable or too large.
    """
    try:
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode):
            found = "a directory" if stat.S_ISDIR(state.st_mode) else "a device, pipe or socket, not a file"
            raise image_error(name, found)
        check_length(state.st_size, name)
        with open(path, "rb") as file:
            return file.read(MAXIMUM_BYTES + 1)
    except FileNotFoundError as error:
        raise image_error(name, "no such file") from error
    except OSError as error:
        raise image_error(name, f"a file that cannot be read ({error.strerror})") from error
    except ImageError:
        raise
    except ValueError as error:  # a null character in the path
        raise image_error(name, f"an invalid path ({error})") from error


def decode(
    data: bytes,
    name: str,
    levels: Levels = None,
    formats: tuple[str, ...] = ALL_FORMATS,
    scale: Callable[[Image.Image], object] | None = None,
) -> Image.Image:
    """The first frame of a file of an accepted format, RGB.

    Args:
        data: content of the file.
        name: of the file, for errors.
        levels: as in `load_image`.
        formats: as in `load_image`.
        scale: is given a JPEG that is opened and not decoded yet, and may choose its scale.

    Raises:
        ImageError: the file is of another kind, too large, or broken.
    """
    check_length(len(data), name)
    kind = kind_of(data)
    if kind not in SIZES or kind not in formats:
        raise image_error(name, kind, accepted(formats))
    try:
        check_blocks(data, kind, name)
        size = SIZES[kind](data)
        if size is not None:  # else Pillow has the first word, and is asked below
            check_size(size, name)
        if kind == "PNG":  # decoding alone would not miss a chunk's checksum, nor the end of the file
            Image.open(io.BytesIO(data), formats=[kind]).verify()
        with _opened(data, kind, name) as image:
            check_size(image.size, name)
            if scale is not None and kind == "JPEG":
                scale(image)
            return _converted(image, data, kind, name, levels)
    except ImageError:
        raise
    except UnidentifiedImageError as error:  # its message names an object in memory
        raise image_error(name, f"a broken {kind}") from error
    except Exception as error:  # Pillow's plugins raise whatever a broken file makes them stumble over
        raise image_error(name, f"a broken {kind} ({error or type(error).__name__})") from error


def _opened(data: bytes, kind: str, name: str) -> Image.Image:
    if kind == "PPM":
        return open_ppm(data)
    if kind != "HEIC":
        return Image.open(io.BytesIO(data), formats=[kind])
    try:
        from pillow_heif.as_plugin import HeifImageFile
    except ImportError as error:
        raise image_error(
            name, "HEIC, which needs the package pillow-heif", 'pip install "dinoclip-viz[heif]", or a JPEG'
        ) from error
    image: Image.Image = HeifImageFile(io.BytesIO(data))  # type: ignore[no-untyped-call]
    return image


def _converted(image: Image.Image, data: bytes, kind: str, name: str, levels: Levels) -> Image.Image:
    """The opened image as RGB, from all bits that the file has."""
    if kind == "PNG":
        _scale_transparency(image, depth=data[24])
    if kind == "PNG" and data[24] == 16 and image.mode in _DEEP and "transparency" not in image.info:
        return rgb(deep_png(data, image, name, levels), name)
    if kind == "PPM" and image.mode == "I" and levels is not None:
        return rgb(deep_pgm(data, image), name, levels)
    if kind in ("TIFF", "PPM") and image.mode in _DEEP:
        warn_of_lost_bits(data, image, name, levels)
    return rgb(image, name, levels, own=True)


def kind_of(data: bytes) -> str:
    """A key of `SIZES`, or what else the content looks like."""
    if not data:
        return "an empty file"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return brand_of(data)
    text = data[:2000].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    looks = (
        *((data.startswith(start), kind) for start, kind in _STARTS),
        (re.match(rb"P[1-6]\s", data) is not None, "PPM"),
        (b"<html" in text or text.startswith(b"<!doctype html"), "HTML text"),
        (b"<svg" in text, "SVG text"),
        (text.startswith((b"{", b"[")), "JSON text"),
        (text.isascii() and re.search(rb"[^\s\x20-\x7e]", text) is None, "plain text"),
    )
    return next((kind for looks_so, kind in looks if looks_so), f"unknown data ({data[:4].hex(' ')}...)")


_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"8BPS", "a Photoshop file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "gzip data"),
)


def _scale_transparency(image: Image.Image, depth: int) -> None:
    """Scales the value that means transparent to 8 bits, as Pillow did with the pixels of 2, 4 and 16 bits alone."""
    clear = image.info.get("transparency")
    if isinstance(clear, int) and image.mode == "L" and depth in (2, 4):
        image.info["transparency"] = clear * (255 // (2**depth - 1))
    elif isinstance(clear, tuple) and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in clear)
