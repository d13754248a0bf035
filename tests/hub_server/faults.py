"""Faults of the test hub: on which requests it misbehaves, and how."""

from __future__ import annotations

from dataclasses import dataclass, field

KINDS = ("401", "403", "404", "429", "500", "half", "checksum", "slow", "never")
"""Kinds of faults: refusals by status; "half": the connection closes in the middle of a file; "checksum": a file of the
right length with other bytes; "slow": a pause before an answer and between parts of a file; "never": no answer."""

ROUTES = ("api", "resolve", "content", "upload")
"""Routes: questions about a repository; the address of a file; the bytes of a file; whatever writes."""

_USUAL = {
    "403": ("resolve", "content"),  # a gated repository is listed for everybody
    "half": ("content",),
    "checksum": ("content",),
    "slow": ("content",),
}


@dataclass
class Fault:
    """One way to misbehave.

    Attributes:
        kind: one of `KINDS`.
        on: routes that it affects; by default those on which the real hub would show it.
        match: part of the addresses that it affects; "" for all.
        times: number of requests that it affects; None for all.
        seconds: of "429" the time that the answer says to wait; of "slow" each pause.
    """

    kind: str
    on: tuple[str, ...] = ()
    match: str = ""
    times: int | None = None
    seconds: float = 1.0
    met: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault is called {self.kind!r}; expected one of {', '.join(KINDS)}")
        self.on = tuple(self.on) or _USUAL.get(self.kind, ROUTES)
        unknown = set(self.on) - set(ROUTES)
        if unknown:
            raise ValueError(f"no route is called {sorted(unknown)[0]!r}; expected {', '.join(ROUTES)}")

    def meets(self, route: str, path: str) -> bool:
        """Whether a request is affected; counts it if so."""
        if route not in self.on or self.match not in path or (self.times is not None and self.met >= self.times):
            return False
        self.met += 1
        return True


REFUSALS = {
    "401": (401, "RepoNotFound", "Invalid username or password."),
    "403": (403, "GatedRepo", "Access to this model is restricted and you are not in the authorized list."),
    "404": (404, "RepoNotFound", "Repository not found"),
    "429": (429, "", "We had to rate limit you. Please retry later."),
    "500": (500, "", "Internal Error - We're working hard to fix this as soon as possible!"),
}
"""Kind -> status, X-Error-Code and X-Error-Message of the real hub's answer."""

SIGNED_OUT_GATED = (401, "GatedRepo", "Access to this model is restricted. You must have access to it. Please log in.")
"""Answer about a gated repository to somebody who is not logged in."""

BAD_TOKEN = (401, "", "Invalid credentials in Authorization header")
"""Answer to a token that does not exist."""
