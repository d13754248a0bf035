"""Limits of a download: a hub that does not answer, or that only asks to wait, ends it."""

from __future__ import annotations

import logging
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_TAG = "x-dinoclip-download"
_ATTEMPTS = 2  # at the same question, or the same part of a file
_KINDS = ("connect", "read", "write", "pool")
_LOCK = threading.Lock()


class UnansweredError(Exception):
    """The hub did not answer a request in time, or sent no further byte of a file, twice."""


def seconds() -> float:
    """Time that the hub may take to answer: HF_HUB_DOWNLOAD_TIMEOUT or HF_HUB_ETAG_TIMEOUT, 10 s unless set."""
    from huggingface_hub import constants

    return float(max(constants.HF_HUB_DOWNLOAD_TIMEOUT, constants.HF_HUB_ETAG_TIMEOUT))


@contextmanager
def limited() -> Iterator[dict[str, str]]:
    """Headers for functions of huggingface_hub, whose requests are limited inside the block.

    By itself huggingface_hub waits for some answers without an end, and waits as long as the hub asks before it
    retries. Inside the block a request has `seconds()`, and is sent twice and no more, 1 s apart, if it has no answer
    in time; the refusals 429 and 5xx fail at once. Requests of others are not changed.

    Raises:
        UnansweredError: the hub sent no byte of a file twice.
    """
    tag = uuid.uuid4().hex
    limits = _Limits(tag)
    logs = [logging.getLogger(f"huggingface_hub.{module}") for module in ("file_download", "utils._http")]
    for log in logs:
        log.addFilter(_errors_only)
    _change_hooks(lambda hooks: _with(hooks, limits))
    try:
        yield {_TAG: tag}
    finally:
        _change_hooks(lambda hooks: _without(hooks, limits))
        for log in logs:
            log.removeFilter(_errors_only)


class _Limits:
    """The limits of one download, for the requests that carry its tag."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self._asked: Counter[tuple[str, str, str]] = Counter()

    def before(self, request: Any) -> None:
        """Hook of a request: take the tag off, limit its time, and count it."""
        if request.headers.get(_TAG) == self.tag:
            del request.headers[_TAG]
            request.extensions[_TAG] = self.tag  # redirects keep it
        if request.extensions.get(_TAG) != self.tag:
            return
        given, most = request.extensions.get("timeout", {}), seconds()
        times = {kind: most if given.get(kind) is None else min(given[kind], most) for kind in _KINDS}
        request.extensions["timeout"] = times
        asked = request.method, str(request.url), request.headers.get("Range", "")
        self._asked[asked] += 1
        broke_off = "ProtocolError" in type(sys.exception()).__name__  # then huggingface_hub tries six times
        if self._asked[asked] > _ATTEMPTS and not broke_off:
            raise UnansweredError(f"no answer to {request.method} {request.url}")

    def after(self, response: Any) -> None:
        """Hook of a response: raise what huggingface_hub would wait for and retry."""
        from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]  # documented there

        if response.request.extensions.get(_TAG) != self.tag:
            return
        if response.status_code == 429 or response.status_code >= 500:
            hf_raise_for_status(response)


_Hooks = dict[str, list[Any]]


def _change_hooks(change: Callable[[_Hooks], _Hooks]) -> None:
    """Replace the hooks of huggingface_hub's client; requests that run keep their list."""
    from huggingface_hub import get_session

    with _LOCK:
        client: Any = get_session()
        client.event_hooks = change(client.event_hooks)


def _with(hooks: _Hooks, limits: _Limits) -> _Hooks:
    return {"request": [*hooks["request"], limits.before], "response": [*hooks["response"], limits.after]}


def _without(hooks: _Hooks, limits: _Limits) -> _Hooks:
    return {
        "request": [hook for hook in hooks["request"] if hook != limits.before],
        "response": [hook for hook in hooks["response"] if hook != limits.after],
    }


def _errors_only(record: logging.LogRecord) -> bool:
    """Filter of messages on every attempt; the line of the raised error replaces them."""
    return record.levelno >= logging.ERROR
