"""Files that are written whole or not at all: a write that fails leaves the former file."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

_FULL = 1 << 20  # a disk with fewer free bytes counts as full where a library does not give the reason


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write to, which becomes the file when the block ends without an error, flushed to disk.

    The path is in the same folder and has the same extension. Devices and pipes are written directly. After an error
    the former file, if there was one, is as before, and nothing else remains.

    Args:
        path: of the file; its folder exists.

    Raises:
        OSError: the file cannot be written; it has a reason and the path.

    Examples:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with replacing(file) as aside:
        ...     _ = aside.write_text("whole")
        >>> file.read_text()
        'whole'
    """
    given = Path(path).expanduser()
    target = Path(os.path.realpath(given))  # a link stays one
    try:
        special = not stat.S_ISREG(target.stat().st_mode)
    except OSError:
        special = False
    aside = target if special else target.with_name(f".{target.stem}.part{target.suffix}")
    try:
        yield aside
        if not special and aside.exists():
            _flush(aside)
            if target.exists():
                shutil.copymode(target, aside)
            aside.replace(target)
    except BaseException as error:
        reason = _reason(error, aside)
        if not special:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)
        if reason is not None:
            raise OSError(reason, os.strerror(reason), str(given)) from error
        raise


def write_text(path: str | os.PathLike[str], text: str, encoding: str = "utf-8", errors: str = "strict") -> None:
    """Write a text file, whole or not at all.

    Args:
        path: of the file.
        text: its content.
        encoding, errors: as in `str.encode`.

    Raises:
        OSError: the file cannot be written.
    """
    with replacing(path) as aside:
        aside.write_bytes(text.encode(encoding, errors))


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write a value as JSON, indented, whole or not at all.

    Args:
        path: of the file.
        value: of JSON's types.

    Raises:
        OSError: the file cannot be written.
    """
    write_text(path, json.dumps(value, indent=1) + "\n")


def _flush(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


@contextlib.contextmanager
def replacing_in(folder: str | os.PathLike[str], last: str = "config.json") -> Iterator[Path]:
    """A new folder to write files to, which move into the given folder when the block ends without an error.

    Args:
        folder: of the files; created if it is missing.
        last: the file that moves last, without which readers see no complete folder.

    Raises:
        OSError: a file cannot be written; the error has a reason and the path.
    """
    target = Path(folder).expanduser()
    target.mkdir(parents=True, exist_ok=True)
    aside = target / ".part"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir()
        yield aside
        for file in sorted(aside.iterdir(), key=lambda file: (file.name == last, file.name)):
            _flush(file)
            file.replace(target / file.name)
        aside.rmdir()
    except BaseException as error:
        reason = _reason(error, aside)
        shutil.rmtree(aside, ignore_errors=True)
        if reason is not None:
            raise OSError(reason, os.strerror(reason), str(target)) from error
        raise


def _reason(error: BaseException, aside: Path) -> int | None:
    """The system's number of an error in writing, where it has to be given the path; None for any other error.

    Libraries that write by themselves raise errors of their own; some only state that fewer bytes than expected were
    written.
    """
    if isinstance(error, OSError):
        where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename or "")
        if where and str(aside) not in where:
            return None
        return error.errno or _guess(aside)
    if not isinstance(error, Exception) or isinstance(error, ValueError | TypeError | KeyError):
        return None
    told = re.search(r"os error (\d+)", str(error))
    return int(told[1]) if told else _guess(aside)


def _guess(aside: Path) -> int | None:
    """Why a write ended early, where the library that wrote has not kept the reason; None if it cannot be found."""
    try:
        if shutil.disk_usage(aside.parent).free < _FULL:
            return errno.ENOSPC
        import resource  # of Unix

        most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        return errno.EFBIG if most != resource.RLIM_INFINITY and aside.stat().st_size >= most - _FULL // 64 else None
    except (OSError, ImportError):
        return None
