"""A run's folder belongs to one run: what it was started with stands in it, and another run is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

RUN = "run.json"


def claim(folder: Path, said: Mapping[str, object]) -> None:
    """Make the folder this run's, or find that it is.

    Args:
        folder: made where it is missing.
        said: everything that decides on the result, as JSON can hold it.

    Raises:
        ValueError: the folder holds a run of other settings, or a broken record of one.
    """
    file = folder / RUN
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(said, indent=1), encoding="utf-8")
        return
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        differing = [name for name in said if known.get(name) != said[name]]
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{file} cannot be read as the record of a run; name another folder") from error
    if differing:
        name = differing[0]
        found = f"{name} {known.get(name)!r}, not {said[name]!r}"
        raise ValueError(f"{folder} holds a run with {found}; name another folder")
