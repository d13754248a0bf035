"""Files by address, on any file system of fsspec: s3://, gs://, hf://, file://, memory:// and others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, Any

from PIL import Image

from dinoclip_viz.data.base import SourceError
from dinoclip_viz.data.locations import is_address, shown
from dinoclip_viz.images import MAXIMUM_BYTES, ImageError, Levels, load_image

_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_remote(text: str) -> bool:
    """Whether a text is an address of a file system, other than http(s).

    Examples:
        >>> [is_remote(text) for text in ("s3://bucket/a", "https://a.org/b", "C:/images", "images")]
        [True, False, False, False]
    """
    return _REMOTE.match(text) is not None and not is_address(text)


def open_file(address: str) -> IO[bytes]:
    """A file of a file system or of this machine, open for reading.

    Raises:
        OSError: it cannot be opened.
        SourceError: its file system is unknown or needs a package that is not installed.
    """
    system, path = file_system(address)
    opened: IO[bytes] = system.open(path, "rb")
    return opened


def file_system(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it.

    Raises:
        SourceError: it is unknown, or needs a package that is not installed.
    """
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(address)
    except ImportError as error:  # fsspec names the package
        raise SourceError(f"{shown(address)}: {' '.join(str(error).split())}") from error
    except Exception as error:  # every file system has its own errors
        raise SourceError(
            f"{shown(address)}: no file system for this address ({' '.join(str(error).split())[:160]}); expected "
            "s3://, gs://, hf://, file:// or another of fsspec"
        ) from error
    return system, path


def files_in(address: str) -> list[str]:
    """The addresses of all files below a folder, or that match a pattern with `*`, sorted.

    Raises:
        SourceError: the folder cannot be listed, or there is none.
    """
    system, path = file_system(address)
    try:
        found = system.glob(path) if "*" in path else system.find(path)
    except Exception as error:  # as above
        raise SourceError(f"{shown(address)}: cannot be listed ({' '.join(str(error).split())[:160]})") from error
    if not found:
        raise SourceError(f"{shown(address)}: no file or folder; expected one that can be read with this account")
    return sorted(system.unstrip_protocol(one) for one in found)


def full_address(address: str) -> str:
    """The address of a folder as `files_in` begins those of its files, without a slash at its end."""
    system, path = file_system(address)
    return str(system.unstrip_protocol(path)).rstrip("/")


@dataclass(frozen=True)
class RemoteFile:
    """An image by its address, read when called.

    Attributes:
        address: as `open_file` accepts it.
    """

    address: str

    def __call__(self) -> Image.Image:
        """The RGB image, as `read` returns it."""
        return self.read()

    def read(self, levels: Levels = None) -> Image.Image:
        """The RGB image.

        Args:
            levels: the values shown as black and white, as in `load_image`.

        Raises:
            ImageError: the file cannot be read, is too large, or is not an image of a supported format.
        """
        try:
            return load_image(self.content(), levels=levels)
        except ImageError as error:
            raise ImageError(f"{shown(self.address)}: {error}") from error

    def content(self) -> bytes:
        """The bytes of the file, up to one more than an image may have.

        Raises:
            ImageError: the file cannot be read.
        """
        try:
            with open_file(self.address) as file:
                return file.read(MAXIMUM_BYTES + 1)
        except Exception as error:  # as above
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise ImageError(f"cannot be read ({reason}); expected an image") from error
