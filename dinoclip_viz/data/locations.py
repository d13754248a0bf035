"""Where the image that a list names lies: its address or file, its key, and the folder that such names start from."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".avif", ".heic", ".heif",
    ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
)  # fmt: skip
"""How the names of images that can be loaded end, in small letters."""

PLACES = (
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
"""Folders where published data sets keep their images, next to the list that names them."""

_ADDRESS = re.compile(r"https?://", re.IGNORECASE)


def is_image_name(name: str) -> bool:
    """Whether a file's name ends as an image's does.

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
    r"""A name on one printable line, whatever bytes the disk holds.

    Examples:
        >>> shown("two\nlines")
        'two?lines'
    """
    name = os.fspath(text)
    return name if name.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in name)


def key_of_name(name: str) -> str:
    """The name of an image when nothing else gives one: its path without the ending, or its address in full.

    Examples:
        >>> key_of_name("images/cat.1.jpg"), key_of_name("https://a.org/cat.jpg")
        ('images/cat.1', 'https://a.org/cat.jpg')
    """
    return shown(name if is_address(name) else os.path.splitext(name)[0])


def placed(root: Path, name: str) -> tuple[str | Path, str]:
    """What to load, and how a person would look for it.

    Args:
        root: folder that relative names start from.
        name: path or http(s) address.
    """
    if is_address(name):
        return name, shown(name)
    path = found_in(root, name)
    return path, shown(path)


def found_in(root: Path, name: str) -> Path:
    r"""The file of a name below a folder; where none has that very name, backslashes separate folders.

    Lists that were written on Windows are so read on every system.

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
    """The folder that names start from: the first of the usual folders that holds one of them, or else `folder`.

    Args:
        folder: where the list lies; looked at first, then the usual folders in it, then those next to it.
        names: some of the paths that the list gives.
    """
    local = [name for name in names if name and not is_address(name) and "\0" not in name]
    for place in (*PLACES, *(f"../{place}" for place in PLACES)):
        root = folder / place
        if root.is_dir() and any(os.path.isfile(found_in(root, name)) for name in local):
            return root
    return folder
