"""The images that a list names: their files or addresses, their keys, and the folder that relative names start from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".avif", ".heic", ".heif",
    ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
)  # fmt: skip
"""The extensions of images that can be loaded, in lower case."""

IMAGE_FOLDERS = (
    "",
    "images",
    "Images",
    "Flicker8k_Dataset",  # as the data set itself spells it
    "Flickr8k_Dataset",
    "flickr30k-images",
    "flickr30k_images",
    "train2017",
    "val2017",
    "test2017",
    "train2014",
    "val2014",
)
"""Folders, next to a list, in which published data sets keep their images."""

_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


def is_image_name(name: str) -> bool:
    """Whether a file name has the extension of an image.

    Examples:
        >>> [is_image_name(name) for name in ("cat.JPG", "cat.txt", "jpg")]
        [True, False, False]
    """
    return name.lower().endswith(SUFFIXES)


def is_address(text: str) -> bool:
    """Whether a text is an http(s) address.

    Examples:
        >>> [is_address(text) for text in ("https://a.org/cat", "a.org/cat.jpg")]
        [True, False]
    """
    return _ADDRESS.match(text) is not None


def shown(text: str | os.PathLike[str]) -> str:
    r"""A name as one printable line, with "?" for other characters.

    Examples:
        >>> shown("two\nlines")
        'two?lines'
    """
    name = os.fspath(text)
    return name if name.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in name)


def key_of_name(name: str) -> str:
    """The default key of an image: its path without the extension, or its full address.

    Examples:
        >>> key_of_name("images/cat.1.jpg"), key_of_name("https://a.org/cat.jpg")
        ('images/cat.1', 'https://a.org/cat.jpg')
    """
    return shown(name if is_address(name) else os.path.splitext(name)[0])


def located(root: Path, name: str) -> tuple[str | Path, str]:
    """The file or address of an image, and its text for display.

    Args:
        root: folder that relative names start from.
        name: path or http(s) address.
    """
    if is_address(name):
        return name, shown(name)
    path = found_in(root, name)
    return path, shown(path)


def found_in(root: Path, name: str) -> Path:
    r"""The path of a name below a folder; backslashes separate folders, unless a file has exactly that name.

    Lists written on Windows can thus be read on every system.

    Args:
        root: folder that relative names start from.
        name: a path, relative or not.

    Examples:
        >>> found_in(Path("nowhere"), r"images\cats\1.jpg").as_posix()
        'nowhere/images/cats/1.jpg'
    """
    path = root / name
    if "\\" not in name or os.path.lexists(path):
        return path
    return root / name.replace("\\", "/")


def images_root(folder: Path, names: Iterable[str]) -> Path:
    """The folder that names start from: the first usual folder that contains one of them, or `folder`.

    Args:
        folder: the list's folder; searched first, then the usual folders in it, then those next to it.
        names: some of the paths in the list.
    """
    local = [name for name in names if name and not is_address(name) and "\0" not in name]
    for name in (*IMAGE_FOLDERS, *(f"../{name}" for name in IMAGE_FOLDERS)):
        root = folder / name
        if root.is_dir() and any(os.path.isfile(found_in(root, path)) for path in local):
            return root
    return folder
