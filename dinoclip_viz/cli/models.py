"""`dinoclip models`: what is known by name, and its commits on the hub."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from dinoclip_viz.cli.answer import Answer, Failure, check_some, table

if TYPE_CHECKING:
    from dinoclip_viz.encoders.catalog import CatalogEntry

SUMMARY = "list the models that are known by name"
SECONDS = 10.0  # that the hub may take to answer for one model
_TOO_MANY = 429


def add_arguments(parser: ArgumentParser) -> None:
    """The verb's options."""
    parser.add_argument("--pin", action="store_true", help="read each model's present commit from the hub, print it")


def run(arguments: Namespace) -> Answer:
    """The catalogue's rows, or the models' commits."""
    return _pin() if arguments.pin else _list()


def _list() -> Answer:
    from dinoclip_viz.encoders.catalog import CATALOG, on_disk

    rows = [
        {
            "name": entry.name,
            "kind": entry.kind,
            "size": entry.size,
            "patch": entry.patch,
            "dimension": entry.dimension,
            "licence": entry.licence,
            "on_disk": on_disk(entry),
            "family": entry.family,
            "library": entry.library,
            "source": entry.source,
            "millions": entry.parameters,
            "gated": entry.gated,
            "revision": entry.revision,
            "note": entry.note,
        }
        for entry in CATALOG.values()
    ]
    shown = ("name", "kind", "size", "patch", "dimension", "licence")
    lines = [[*shown, "on disk"]]
    lines += [[*(str(row[key]) for key in shown), "yes" if row["on_disk"] else "no"] for row in rows]
    return Answer({"models": rows}, table(lines))


def _pin() -> Answer:
    """Raises EncoderError where the hub does not answer at all; what it refuses is listed."""
    from huggingface_hub import HfApi

    from dinoclip_viz.encoders.catalog import CATALOG
    from dinoclip_viz.encoders.errors import EncoderError
    from dinoclip_viz.encoders.hub import failures, refusal

    hub = HfApi()
    revisions: dict[str, str] = {}
    failed: list[Failure] = []
    entries = [entry for entry in CATALOG.values() if entry.folder is None]
    for index, entry in enumerate(entries):
        repository = _repository(entry)
        if not repository:
            failed.append(
                Failure(entry.name, f"{entry.name}: its weights are not on the hub, so it has no commit there")
            )
            continue
        try:
            revisions[entry.name] = str(hub.model_info(repository, timeout=SECONDS).sha)
        except failures() as error:
            reason = _out_of_reach(error)
            if not reason:
                failed.append(Failure(entry.name, str(refusal(error, entry.name, repository, gated=entry.gated))))
                continue
            if not revisions:
                raise EncoderError(
                    f"the hub is out of reach ({reason}), so no revision can be read; expected a connection to "
                    "huggingface.co: try again with one, or without --pin"
                ) from error
            rest = len(entries) - index - 1
            failed.append(Failure(entry.name, f"{entry.name} and {rest} more models are not read: {reason}"))
            break
    check_some(len(revisions), failed)
    return Answer({"revisions": revisions}, table([*revisions.items()]), failed, kind="model")


def _out_of_reach(error: Exception) -> str:
    """Why the hub need not be asked about further models; "" where it refuses this one."""
    from huggingface_hub import errors

    from dinoclip_viz.encoders.errors import one_line
    from dinoclip_viz.encoders.hub import unread

    if isinstance(error, errors.HfHubHTTPError):
        return unread(error, "it") if error.response.status_code == _TOO_MANY else ""
    return f"no answer within {SECONDS:g} s" if "Timeout" in type(error).__name__ else one_line(error)


def _repository(entry: CatalogEntry) -> str:
    """Hub id of the weights; "" where open_clip fetches them from elsewhere."""
    if isinstance(entry.weights, str):
        return entry.weights
    from open_clip.pretrained import get_pretrained_cfg

    return "/".join(str(get_pretrained_cfg(*entry.weights).get("hf_hub", "")).split("/")[:2])
