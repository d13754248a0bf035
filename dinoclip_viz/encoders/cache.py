"""A cache of loaded models that keeps none of them alive: a model that is still in use is not loaded again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

Loaded = TypeVar("Loaded")

_LOCK = threading.RLock()  # reentrant, since loading a model loads its encoders
_LOADED: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()


def cached(kind: str, name: str, settings: tuple[Hashable, ...], load: Callable[[], Loaded]) -> Loaded:
    """The referenced model that was loaded with the same settings, or a new one.

    Args:
        kind: namespace of the name, such as "encoder" or "model".
        name: catalogue name, hub id or local folder; a folder whose files have changed is loaded again.
        settings: everything else that the result depends on.
        load: loads the model.
    """
    state = files_state(name)
    key = (kind, name, state, settings)
    with _LOCK:
        found: Loaded | None = _LOADED.get(key)
        if found is None:
            found = load()
            _LOADED[key] = found
        _LOADED[kind, name, state] = found
    return found


def latest(kind: str, name: str, load: Callable[[], Loaded]) -> Loaded:
    """The referenced model that was last loaded under a name, with any settings, or a new one.

    Args:
        kind: namespace of the name, as in `cached`.
        name: name of the model, as in `cached`.
        load: loads the model with the default settings.
    """
    with _LOCK:
        found: Loaded | None = _LOADED.get((kind, name, files_state(name)))
        return load() if found is None else found


def files_state(name: str | None) -> tuple[tuple[str, int, int], ...]:
    """Name, size in bytes and modification time of a file, or of each file in a folder; empty for any other name."""
    try:
        path = Path(name).expanduser() if name else None
        if path is None or not path.exists():
            return ()
        states = [(each.name, each.stat()) for each in (sorted(path.iterdir()) if path.is_dir() else [path])]
    except (OSError, ValueError, TypeError, RuntimeError):
        return ()
    return tuple((each, state.st_size, state.st_mtime_ns) for each, state in states)
