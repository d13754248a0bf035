"""One writer per folder: a file in the folder names the process that writes there."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

LOCK = ".writer.json"
_BEAT = 15.0  # seconds between two signs of life
_LOST = 90.0  # seconds without a sign after which a writer on another machine counts as dead
_TRIES = 5


@dataclass(frozen=True)
class Holder:
    """The process that writes to a folder.

    Attributes:
        process: its id.
        host: the name of its machine.
        machine: distinguishes machines and containers of equal names; "" if unknown.
        since: when it began to write, in seconds since 1970.
        started: when the process started, in the system's ticks; "" if unknown.
    """

    process: int
    host: str
    machine: str
    since: float
    started: str

    def __str__(self) -> str:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.process} on {self.host} since {at}"


@contextlib.contextmanager
def locked(folder: Path, error: Callable[[str], Exception] = ValueError) -> Iterator[None]:
    """Holds a folder for this process while it writes there; the folder is created if it is missing.

    A writer that ended without giving the folder back is detected: on this machine by its process, on another one,
    which shares the disk, by 90 seconds without a sign of life. The lock is an ordinary file that is linked to its
    name, which works on network disks as well.

    Args:
        folder: to write to.
        error: makes the error of a folder that another process holds, from its message.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / LOCK
    _take(file, error)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(file, ended), name="dinoclip-writer", daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        if _read(file) == _HERE.get(file):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        _HERE.pop(file, None)


def holder_of(folder: Path) -> Holder | None:
    """The process that a folder's lock names, whether or not it still runs; None without a lock."""
    return _read(folder / LOCK)


_HERE: dict[Path, Holder] = {}
"""Lock files that this process holds."""


def _take(file: Path, error: Callable[[str], Exception]) -> None:
    mine = Holder(os.getpid(), platform.node(), _machine(), time.time(), _started(os.getpid()))
    aside = file.with_name(f"{LOCK}.{mine.process}.{threading.get_ident()}.tmp")
    try:
        aside.write_text(json.dumps(asdict(mine)), encoding="utf-8")
        with _one_at_a_time(file.parent):
            if _taken(file, aside, mine):
                return
    except OSError as found:
        raise OSError(found.errno, found.strerror, str(file.parent)) from found
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
    raise error(
        f"{file.parent} is being written by {_read(file) or 'another process'}; expected one writer: wait until it "
        "ends, or choose another folder"
    )


def _taken(file: Path, aside: Path, mine: Holder) -> bool:
    """Whether the lock is this process's now, after those of processes that have ended were removed."""
    for _ in range(_TRIES):
        try:
            os.link(aside, file)
            _HERE[file] = mine
            return True
        except FileExistsError:
            other = _read(file)
            if other is not None and _is_alive(other, mine, aside, file):
                return False
            _remove(file, other)
        except OSError:  # a disk without links
            with contextlib.suppress(FileExistsError), file.open("x", encoding="utf-8") as opened:
                opened.write(json.dumps(asdict(mine)))
                _HERE[file] = mine
                return True
    return False


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Of the threads and processes of this machine, one at a time is inside; the system ends it for a killed one.

    Else one that removes the lock of an ended process could remove the one that another has just put there. Where the
    disk or the system does not lock folders, `_remove` makes that improbable.
    """
    try:
        import fcntl

        opened = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _remove(file: Path, known: Holder | None) -> None:
    """Removes the lock of a process that has ended, unless another process has taken it over meanwhile."""
    away = file.with_name(f"{LOCK}.{os.getpid()}.{threading.get_ident()}.old.tmp")
    try:
        file.rename(away)
    except FileNotFoundError:
        return
    if _read(away) != known:
        with contextlib.suppress(OSError):
            os.link(away, file)
    away.unlink(missing_ok=True)


def _read(file: Path) -> Holder | None:
    """The holder that a lock file names; None where it is missing or invalid."""
    try:
        return Holder(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _is_alive(other: Holder, mine: Holder, fresh: Path, file: Path) -> bool:
    """Whether the holder of a lock still runs.

    Args:
        other: the holder.
        mine: this process.
        fresh: a file that was written just now; its time is that of the disk's own clock.
        file: the lock.
    """
    if other.host == mine.host and other.machine == mine.machine:
        try:
            os.kill(other.process, 0)
        except ProcessLookupError:
            return False
        except OSError:  # it is another user's
            return True
        return not other.started or other.started == _started(other.process)
    try:
        return fresh.stat().st_mtime - file.stat().st_mtime < _LOST
    except FileNotFoundError:
        return False


def _beat(file: Path, ended: threading.Event) -> None:
    while not ended.wait(_BEAT):
        with contextlib.suppress(OSError):
            os.utime(file)


def _machine() -> str:
    """Tells this machine, and this container on it, from others of the same name; "" where the system does not."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(process: int) -> str:
    """When a process started, unlike a later one of the same id; "" if it has ended or is unknown."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rsplit(")", 1)[1].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (OSError, IndexError):
        return ""
