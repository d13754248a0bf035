"""The files that the page serves: written aside and renamed, once per content, and bounded in bytes."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

import gradio as gr
from PIL import Image

LIMIT = 2**30
"""Bytes of all files, beyond which the least recently used are deleted."""
GRACE = 600.0
"""Seconds for which a file is kept in any case after it was handed out, so that every page can fetch it."""
LEVEL = 1
"""Compression of figures: a third of the CPU time of Pillow's default for a fifth more bytes, measured on all tabs."""
WRITERS = 4


@dataclass
class _Kept:
    """A file or a folder of files: its bytes, when it was last handed out, and whether it is never deleted."""

    size: int
    used: float
    pinned: bool


class ServedFiles:
    """A folder whose files Gradio serves as they are, without a copy. A name appears when its file is complete.

    Gradio itself writes an image under a name made from its content each time it is shown. A visitor who fetches it
    while another one is shown the same image then receives an empty or cut file.

    Args:
        limit: maximum bytes of all files; exceeded only by files handed out within the last `grace` seconds.
        grace: seconds.

    Attributes:
        folder: where the files are; removed with this object.
    """

    def __init__(self, limit: int = LIMIT, grace: float = GRACE) -> None:
        self.limit, self.grace = limit, grace
        self.folder = Path(tempfile.mkdtemp(prefix="dinoclip-")).resolve()
        self._kept: OrderedDict[Path, _Kept] = OrderedDict()
        self._nbytes = 0
        self._lock = Lock()
        self._remove = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        gr.set_static_paths([self.folder])

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return self._nbytes

    def image(self, image: Image.Image, pinned: bool = False) -> str:
        """Path of the image as a PNG file; written once per content.

        Args:
            image: of any mode that PNG has.
            pinned: whether the file is never deleted, as for what a page opens with.
        """
        path = self.folder / f"figure-{_digest(image)}.png"
        if self.still([path]) and not pinned:
            return str(path)
        return self.write(path, lambda aside: image.save(aside, compress_level=LEVEL), pinned)

    def write(self, path: Path, save: Callable[[Path], object], pinned: bool = False) -> str:
        """The path, once its file is complete.

        Args:
            path: the file's name, inside `folder`.
            save: writes the file at the path that it is given.
            pinned: whether it is never deleted.
        """
        self.folder.mkdir(parents=True, exist_ok=True)  # some systems empty their temporary folder
        aside = path.with_name(f"{secrets.token_hex(8)}-{path.name}")
        try:
            save(aside)
            size = aside.stat().st_size
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        self._hand_out(path, size, pinned)
        return str(path)

    def adopted(self, paths: Sequence[str]) -> list[str]:
        """The same paths: of complete files in a folder of their own inside `folder`, from now on counted here."""
        for path in paths:
            self._hand_out(Path(path), Path(path).stat().st_size, False)
        return list(paths)

    def still(self, paths: Sequence[Path | str]) -> bool:
        """Whether all paths of this folder are there; they are then kept for at least `grace` seconds more."""
        with self._lock:
            known = [self._kept.get(Path(path)) for path in paths]
            if not all(each is not None and Path(path).exists() for path, each in zip(paths, known, strict=True)):
                return False
            for path, each in zip(paths, known, strict=True):
                if each is not None:
                    each.used = monotonic()
                    self._kept.move_to_end(Path(path))
            return True

    def served(self, value: Any) -> Any:
        """A handler's answer with the path of its file in place of every image, however deep in lists and updates."""
        images: list[Image.Image] = []
        _replaced(value, images.append)
        if not images:
            return value
        if len(images) == 1:
            paths = iter([self.image(images[0])])
        else:
            with ThreadPoolExecutor(min(WRITERS, len(images))) as pool:
                paths = iter(list(pool.map(self.image, images)))
        return _replaced(value, lambda image: next(paths))

    def paths_in(self, value: Any) -> list[str]:
        """The paths of this folder's files in an answer."""
        if isinstance(value, str):
            return [value] if value.startswith(str(self.folder)) and "\n" not in value else []
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        return [path for part in parts for path in self.paths_in(part)]

    def _hand_out(self, path: Path, size: int, pinned: bool) -> None:
        """Note a file, and delete the least recently used ones beyond the limit."""
        with self._lock:
            before = self._kept.pop(path, _Kept(0, 0.0, False))
            self._kept[path] = _Kept(size, monotonic(), pinned or before.pinned)
            self._nbytes += size - before.size
            for old, each in list(self._kept.items()) if self._nbytes > self.limit else ():
                if self._nbytes <= self.limit or monotonic() - each.used < self.grace:
                    break
                if not each.pinned:
                    self._delete(old)

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        if path.parent != self.folder and not any(path.parent.iterdir()):
            path.parent.rmdir()
        self._nbytes -= self._kept.pop(path).size


def _digest(image: Image.Image) -> str:
    """Hash of everything that the file shows: pixels, palette and transparency."""
    looks = f"{image.mode} {image.size} {image.getpalette()} {image.info.get('transparency')!r} "
    return hashlib.sha256(looks.encode() + image.tobytes()).hexdigest()[:32]


def _replaced(value: Any, replace: Callable[[Image.Image], Any]) -> Any:
    """The value with each image replaced; lists, tuples and updates are copied, other values are not."""
    if isinstance(value, Image.Image):
        return replace(value)
    if isinstance(value, list | tuple):
        return type(value)(_replaced(part, replace) for part in value)
    if isinstance(value, dict):
        return {name: _replaced(part, replace) for name, part in value.items()}
    return value
