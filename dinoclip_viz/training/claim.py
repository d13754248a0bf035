"""One run per folder: the settings of a run are stored in its folder, and other settings raise an error."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path

from dinoclip_viz.disk import locked, replacing_in, write_json, write_text
from dinoclip_viz.projector import Projector
from dinoclip_viz.training.recipes import Recipe

RUN = "run.json"
CARD = "README.md"


def one_run(folder: Path | None, first: bool = True) -> contextlib.AbstractContextManager[None]:
    """Holds the folder of a run for this process, so that no other run writes there.

    Args:
        folder: of the run, None for a run that saves nothing.
        first: whether this process is the one that writes, of those that train together.

    Raises:
        ValueError: another process writes there; the message has its id, its machine and the time since when.
        OSError: the folder cannot be written to.
    """
    return locked(folder) if folder is not None and first else contextlib.nullcontext()


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
        write_json(file, settings)
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


def claim_run(folder: Path, recipe: Recipe, stores: Mapping[str, Mapping[str, object]]) -> None:
    """Check that the folder is new or holds this run of a projector, and record recipe and stores in it.

    Args:
        folder: of the run.
        recipe: of the run.
        stores: role -> the record of its store.

    Raises:
        ValueError: the folder holds another run, or a model without a record of its run.
    """
    noted = folder / RUN
    written = json.dumps({"settings": asdict(recipe), "stores": stores}, indent=1) + "\n"
    if noted.is_file():
        known, wanted = json.loads(noted.read_text(encoding="utf-8")), json.loads(written)
        for name, store in known.get("stores", {}).items():  # a record without dtypes was written before there were any
            store.setdefault("dtype", wanted["stores"].get(name, {}).get("dtype"))
        for field in fields(Recipe):  # likewise for settings that were added later
            if field.default is not MISSING:
                known.get("settings", {}).setdefault(field.name, field.default)
        other = next((part for part in wanted if known.get(part) != wanted[part]), None)
        if other:
            raise ValueError(f"{folder} holds a run with other {other} (see {noted.name}); name another folder")
    elif (folder / "config.json").is_file():
        raise ValueError(f"{folder} holds a model without {noted.name}; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(noted, written)


def save_run(projector: Projector, folder: Path, record: Mapping[str, object], half: bool) -> None:
    """Save a trained projector and the record of its training, training.json.

    Args:
        projector: in float32.
        folder: of the run.
        record: recipe, images, stores, device, dtype and history.
        half: whether the weights are saved as float16.
    """
    saved = copy.deepcopy(projector).half() if half else projector
    with replacing_in(folder) as aside:
        saved.save_pretrained(aside)
        if (folder / CARD).is_file():
            (aside / CARD).unlink(missing_ok=True)  # one that was edited stays
        write_json(aside / "training.json", record)
