"""What went wrong with the hub, in one line that states what to do."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from dinoclip_viz.encoders.catalog import nearest
from dinoclip_viz.encoders.errors import EncoderError, one_line
from dinoclip_viz.encoders.hub.limits import UnansweredError, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

OFFLINE = "playground-dino, playground-clip and local folders work without it"

_LOGIN = "log in with `hf auth login`"


def failures() -> tuple[type[Exception], ...]:
    """Kinds of errors that functions of huggingface_hub raise, for an except clause."""
    from huggingface_hub import errors

    transport: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]  # httpx's or httpx2's
    return (transport, UnansweredError, OSError, ValueError, RuntimeError, KeyError, TypeError)


def refusal(
    error: BaseException, name: str, repository: str, revision: str | None = None, gated: bool = False
) -> EncoderError:
    """The error to raise for one of huggingface_hub's.

    Args:
        error: of one of the `failures`.
        name: name as the user wrote it.
        repository: hub id that was asked for.
        revision: revision that was asked for.
        gated: whether its licence must be accepted first.
    """
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError) or (gated and isinstance(error, errors.RepositoryNotFoundError)):
        return EncoderError(_gated(name, repository))
    if isinstance(error, errors.RevisionNotFoundError):
        return EncoderError(f"{name}: {repository} has no revision {revision!r}")
    if isinstance(error, errors.RepositoryNotFoundError):
        near = [known for known in nearest(repository) if known != repository]
        hint = f"; the nearest known ones are {', '.join(near)}" if near else ""
        return EncoderError(
            f"{name}: the hub has no repository {repository!r}, or it is private; check the name, or {_LOGIN}{hint}"
        )
    if isinstance(error, errors.HFValidationError):
        return EncoderError(f"{name}: {repository!r} is not a hub id; expected org/name")
    return EncoderError(f"{name}: {unread(error, repository)}; {OFFLINE}")


def unread(error: BaseException, repository: str) -> str:
    """Why a repository cannot be read, and what to do, without the model's name."""
    from huggingface_hub import constants, errors

    cause = _cause(error)
    if isinstance(cause, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled) or _named(cause, "ConnectError"):
        part = "only in part on this disk" if _named(error, "IncompleteSnapshotError") else "not on this disk"
        reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the Hugging Face hub cannot be reached"
        return f"{repository} is {part} and {reason}"
    if isinstance(cause, errors.HfHubHTTPError):
        return _status(cause, repository)
    if isinstance(cause, UnansweredError) or _named(cause, "Timeout"):
        return (
            f"the hub did not answer within {seconds():g} s; try again, or set HF_HUB_DOWNLOAD_TIMEOUT and "
            "HF_HUB_ETAG_TIMEOUT to more seconds"
        )
    if _named(cause, "ProtocolError") or _named(cause, "ReadError"):
        return f"the hub broke off while sending {repository}; try again: complete files are kept"
    if isinstance(cause, OSError):  # no route, no name server, a full disk
        return f"{repository} could not be fetched ({one_line(cause)[:160]})"
    return f"the hub's answer about {repository} cannot be read ({one_line_of(cause)[:160]}); check HF_ENDPOINT"


def one_line_of(error: BaseException) -> str:
    """An error's kind and message on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _cause(error: BaseException) -> BaseException:
    """The error behind huggingface_hub's message that nothing is in the cache."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    return error.__cause__ or error if isinstance(error, LocalEntryNotFoundError) else error


def _named(error: BaseException, name: str) -> bool:
    """Whether a kind of the error has a name that ends so: httpx's and httpx2's errors have equal names."""
    return any(kind.__name__.endswith((name, f"{name}Exception")) for kind in type(error).__mro__)


def _status(error: Any, repository: str) -> str:
    """Line of an HTTP status."""
    from huggingface_hub import get_token

    status = int(error.response.status_code)
    if status == 401 and get_token() is None:
        return f"the hub requires a login (401); {_LOGIN}"
    if status == 401:
        return f"the hub refused the token of this machine (401); {_LOGIN} again, or unset HF_TOKEN"
    if status == 429:
        login = "" if get_token() else f", or {_LOGIN} for a higher limit"
        return f"the hub accepts no more requests now (429); try again {_when(error.response.headers)}{login}"
    if status >= 500:
        return f"the hub has a fault ({status}); try again later"
    return f"the hub refused {repository} ({' '.join(str(error).split())[:160]})"


def _when(headers: Mapping[str, str]) -> str:
    """When the hub accepts requests again, from Retry-After or RateLimit.

    Examples:
        >>> _when({"Retry-After": "55"}), _when({"ratelimit": '"api";r=0;t=30'}), _when({})
        ('in 55 s', 'in 30 s', 'later')
    """
    value = headers.get("Retry-After") or headers.get("retry-after") or ""
    limit = re.search(r"\bt=(\d+)", headers.get("ratelimit") or "")
    if value.strip().isdigit():
        return f"in {value.strip()} s"
    if limit:
        return f"in {limit[1]} s"
    try:
        wait = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return "later"
    return f"in {max(wait, 0):.0f} s"


def _gated(name: str, repository: str) -> str:
    return (
        f"{name}: {repository} is gated; accept its licence on https://huggingface.co/{repository}, run "
        f"`hf auth login` and try again; {OFFLINE}"
    )
