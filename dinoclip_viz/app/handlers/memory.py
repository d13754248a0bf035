"""A server whose memory stays flat: freed buffers go back to the system."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable

MMAP_THRESHOLD, ARENA_MAX = -3, -8
"""glibc's numbers of the settings, from malloc.h."""
LARGE = 2**17
"""Bytes from which a buffer, such as an image or the features of one, is allocated on its own."""
HEAPS = 2
"""Number of heaps that all threads share for smaller ones."""
PAUSE = 20.0
"""Seconds between two returns of unused parts of the heaps."""
KEEPER = "dinoclip-memory"


def keep_memory_flat() -> bool:
    """Set the C library to return freed memory; False where that is not glibc, or the environment sets it.

    glibc raises its threshold to 32 MB as soon as a large buffer was freed. Images and maps of many threads are then
    taken from heaps that cannot shrink, and the memory of the app under load grows to a multiple of what it uses.
    """
    if not sys.platform.startswith("linux") or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    try:
        library = ctypes.CDLL(None)
        done = library.mallopt(MMAP_THRESHOLD, LARGE) and library.mallopt(ARENA_MAX, HEAPS)
        trim = library.malloc_trim
    except (AttributeError, OSError):  # another C library
        return False
    if KEEPER not in [thread.name for thread in threading.enumerate()]:
        threading.Thread(target=_return_unused, args=(trim,), name=KEEPER, daemon=True).start()
    return bool(done)


def _return_unused(trim: Callable[[int], object]) -> None:
    while True:
        time.sleep(PAUSE)
        trim(0)
