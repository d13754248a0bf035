"""Errors of distributed work, each in one line."""

from __future__ import annotations

import re

INSTALL = 'pip install "dinoclip-viz[scale]"'

_ERROR = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception): (.+)$", re.MULTILINE)


class ScaleError(RuntimeError):
    """Ray or LanceDB is missing, or a cluster cannot do the work; one line states what to do."""


def plain_error(what: str, error: BaseException) -> ScaleError:
    """The first error in the trace of an error of Ray, as one line.

    Args:
        what: what could not be done.
        error: as Ray raised it.
    """
    text = str(error)
    found = _ERROR.search(text)
    reason = found[1] if found else " ".join(text.split()) or type(error).__name__
    return ScaleError(f"{what}: {reason[:300]}")
