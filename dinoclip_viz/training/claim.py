"""One run per folder: the settings of a run are stored in its folder, and other settings raise an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

RUN = "run.json"


def claim(folder: Path, settings: Mapping[str, object]) -> None:
    """Record the settings of a run in its folder, or check that the recorded ones are equal.

    Args:
        folder: created if it is missing.
        settings: everything that determines the result, as JSON values.

    Raises:
        ValueError: the folder holds a run with other settings, or an invalid record.
    """
    file = folder / RUN
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings, indent=1), encoding="utf-8")
        return
    try:
        known = {"dtype": "float32", **json.loads(file.read_text(encoding="utf-8"))}  # before there was a choice
        differing = [name for name in settings if known.get(name) != settings[name]]
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} is no valid record of a run; expected a JSON object; name another folder") from error
    if differing:
        name = differing[0]
        found = f"{name} {known.get(name)!r}, not {settings[name]!r}"
        raise ValueError(f"{folder} holds a run with {found}; name another folder")
