"""Anything that is an image, or many -> RGB images: the one conversion that every function with images uses."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from typing import IO, TYPE_CHECKING, TypeAlias, TypeGuard, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoclip_viz.images.addresses import ADDRESSES, download
from dinoclip_viz.images.decoding import decode, read
from dinoclip_viz.images.errors import (
    ALL_FORMATS,
    MAXIMUM_BYTES,
    ImageError,
    check_length,
    check_size,
    image_error,
    name_of,
    printable,
)
from dinoclip_viz.images.levels import Levels, check_levels
from dinoclip_viz.images.pixels import image_of_array, image_of_pil, image_of_tensor, is_plain

if TYPE_CHECKING:
    from torch import Tensor

ImageLike: TypeAlias = Union[
    str, os.PathLike[str], bytes, bytearray, memoryview, IO[bytes], Image.Image, NDArray[np.generic], "Tensor"
]
"""One image: a path, an http(s) address, the bytes of a file, an open file, a PIL image, an array or a tensor."""

ImagesLike: TypeAlias = ImageLike | Iterable[ImageLike]
"""One image or several, of any kinds."""

_KINDS = "a path, an http(s) address, bytes, an open file, a PIL image, an array or a tensor"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://|(data|file|blob|about|javascript|mailto):", re.IGNORECASE)


def load_image(
    source: ImageLike,
    *,
    levels: Levels = None,
    formats: Collection[str] = ALL_FORMATS,
    fetch: Callable[[str], bytes] | None = None,
) -> Image.Image:
    """The image as an RGB image of its own: fully loaded, upright by its EXIF, on white where it is transparent.

    Colour profiles are applied, so that the values are sRGB; CMYK, LAB, palettes and grey are converted. Of an
    animation or a TIFF with several pages comes the first, of a PIL image the current one. No metadata is kept.

    Values of 16 bits and floats in [0, 1] are scaled to 8 bits by their whole range; one that uses less than a
    sixteenth of it warns. With `levels` any real numbers are accepted.

    Args:
        source: path of a regular file, http(s) address, bytes of a file, file object open for reading bytes (read from
            its start and put back where it was), PIL image, or NumPy array or torch tensor: (H, W), (H, W, C) or
            (C, H, W) with C of 1, 3 or 4, of uint8, uint16, bool, or float in [0, 1]. Where both ends could be
            channels, an array has them last and a tensor first. The source is not changed.
        levels: (low, high), the values that become black and white; "auto", the image's lowest and highest; None, the
            range of its type. For files of 8 bits low and high are in 0..255.
        formats: accepted file formats, of `ALL_FORMATS`.
        fetch: address -> bytes of the file; `download` unless given.

    Raises:
        ImageError: the source is missing, broken, truncated, too large, or not an image of an accepted kind.
        ValueError: the levels are invalid.

    Examples:
        >>> load_image(np.array([[0.0, 1.0]])).getpixel((1, 0))
        (255, 255, 255)
        >>> load_image(np.array([[-160, 40, 240]]), levels=(-160, 240)).getpixel((1, 0))
        (128, 128, 128)
        >>> load_image(b"<html>404</html>")
        Traceback (most recent call last):
        ...
        dinoclip_viz.images.errors.ImageError: 16 bytes: found HTML text; expected JPEG, PNG, WebP, ...
    """
    levels, name = check_levels(levels), name_of_image(source)
    if isinstance(source, Image.Image):
        return image_of_pil(source, name, levels)
    if isinstance(source, np.ndarray):
        return image_of_array(source, name, levels)
    if _is_tensor(source):
        return image_of_tensor(source, name, levels)
    data = bytes_of(source, name, fetch or download)
    return decode(data, name, levels, tuple(formats))


def load_images(images: ImagesLike, *, levels: Levels = None) -> list[Image.Image]:
    """One image or several as a list of RGB images; a PIL image that is RGB already is passed on, not copied.

    Args:
        images: one `ImageLike` or an iterable of them, of any kinds.
        levels: as in `load_image`, for all.

    Raises:
        ImageError: there is none, or one is invalid; the message begins with its number, such as `images[3]`.

    Examples:
        >>> [image.size for image in load_images([np.zeros((2, 3)), Image.new("RGB", (5, 4))])]
        [(3, 2), (5, 4)]
        >>> load_images([np.zeros((2, 3)), None])
        Traceback (most recent call last):
        ...
        dinoclip_viz.images.errors.ImageError: images[1]: None: found NoneType; expected a path, an http(s) ...
    """
    if is_image(images):
        return [_loaded(images, levels)]
    found = []
    for number, image in enumerate(items_of(images)):
        try:
            found.append(_loaded(image, levels))  # type: ignore[arg-type]
        except ImageError as error:
            raise ImageError(f"images[{number}]: {error}") from error
    return found


def items_of(images: object) -> list[object]:
    """The items of a sequence of images, as they are.

    Raises:
        ImageError: it is no sequence, or empty.
    """
    if isinstance(images, (Mapping, Set)) or not isinstance(images, Iterable):
        raise image_error(name_of_image(images), type(images).__name__, f"{_KINDS}, or a sequence of them")
    found = list(images)
    if not found:
        raise image_error("images", f"an empty {type(images).__name__}", "at least one image")
    return found


def is_image(value: object) -> TypeGuard[ImageLike]:
    """Whether a value is of a kind that `load_image` accepts; a sequence of images is not.

    Examples:
        >>> [is_image(value) for value in ("a.png", b"", np.zeros((2, 2)), ["a.png"], None)]
        [True, True, True, False, False]
    """
    kinds = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image, np.ndarray)
    return isinstance(value, kinds) or _is_tensor(value) or callable(getattr(value, "read", None))


def name_of_image(source: object) -> str:
    """An image, or what should have been one, for a message: on one line, short, without a password."""
    if isinstance(source, Image.Image):
        name = f"{source.mode} image of {source.width} x {source.height}"
    elif isinstance(source, np.ndarray) or _is_tensor(source):
        kind = "array" if isinstance(source, np.ndarray) else "tensor"
        name = f"{str(source.dtype).removeprefix('torch.')} {kind} of shape {tuple(source.shape)}"
    elif isinstance(source, (bytes, bytearray, memoryview)):
        name = f"{memoryview(source).nbytes} bytes"
    elif isinstance(source, (str, os.PathLike)):
        name = name_of(source)
    elif callable(getattr(source, "read", None)):
        named = getattr(source, "name", None)
        name = name_of(named) if isinstance(named, str) and named else type(source).__name__
    else:
        shown = printable(repr(source))
        name = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return name


def _loaded(image: ImageLike, levels: Levels) -> Image.Image:
    if levels is None and isinstance(image, Image.Image) and is_plain(image):
        return _checked(image)
    return load_image(image, levels=levels)


def _checked(image: Image.Image) -> Image.Image:
    """A plain image itself, loaded and of an accepted size.

    Raises:
        ImageError: it has no pixels, too many, or is broken.
    """
    name = name_of_image(image)
    check_size(image.size, name)
    try:
        image.load()
    except Exception as error:  # a lazy image decodes here
        raise image_error(name, f"a broken image ({error or type(error).__name__})") from error
    return image


def _is_tensor(value: object) -> TypeGuard[Tensor]:
    torch = sys.modules.get("torch")  # who has a tensor has imported it
    return torch is not None and isinstance(value, torch.Tensor)


def bytes_of(source: object, name: str, fetch: Callable[[str], bytes] = download) -> bytes:
    """The content of a file, wherever it is.

    Raises:
        ImageError: it cannot be read, is too large, or is no file at all.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        check_length(memoryview(source).nbytes, name)
        return bytes(source)
    if isinstance(source, str) and (scheme := _SCHEME.match(source)):
        if scheme[0].lower() not in ("http://", "https://"):
            raise image_error(name, f"an address that begins with {scheme[0]}", f"{ADDRESSES}, or a path")
        return fetch(source)
    if isinstance(source, (str, os.PathLike)):
        return read(source, name)
    if callable(getattr(source, "read", None)):
        return _bytes_of_file(source, name)  # type: ignore[arg-type]
    raise image_error(name, type(source).__name__, _KINDS)


def _bytes_of_file(file: IO[bytes], name: str) -> bytes:
    """All bytes of an open file, which is left where it was."""
    try:
        before = file.tell() if getattr(file, "seekable", lambda: False)() else None
        if before is not None:
            file.seek(0)
        data = file.read(MAXIMUM_BYTES + 1)
        if before is not None:
            file.seek(before)
    except (OSError, ValueError) as error:  # ValueError: it is closed, or text of another encoding
        raise image_error(name, f"a file that cannot be read ({error})", "a file open for reading bytes") from error
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise image_error(name, f"{type(data).__name__} in an open file", 'bytes: open it with mode "rb"')
    check_length(len(data), name)
    return bytes(data)
