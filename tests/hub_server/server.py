"""The test hub: a local HTTP server that plays the Hugging Face hub, and misbehaves on request."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.hub_server.faults import Fault
from tests.hub_server.handler import Handler, Request, Server
from tests.hub_server.repositories import Repositories
from tests.hub_server.uploads import Uploads


class Hub:
    """A running hub of a folder's repositories, for a `with` block; `endpoint` is its address for HF_ENDPOINT.

    Args:
        folder: holds OWNER/NAME/FILES.
        port: port on the loopback device; 0 for any free one.
        page: number of files per page of a listing.

    Attributes:
        faults: ways in which it misbehaves now.
        requests: what was asked, in order.
        gated: names of repositories whose licence must be accepted.
        accepted: tokens of users who did.
    """

    def __init__(self, folder: str | Path, port: int = 0, page: int = 1000) -> None:
        self.repositories = Repositories(Path(folder))
        self.uploads = Uploads(self.repositories)
        self.page = page
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.gated: set[str] = set()
        self.accepted: set[str] = set()
        self.behaving = threading.Event()
        self._server = Server(("127.0.0.1", port), Handler)
        self._server.hub = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def storage(self, host: str) -> str:
        """Address of the large-file storage, which is another host for the client, as in reality."""
        return f"http://{'127.0.0.1' if host.startswith('localhost') else 'localhost'}:{self.port}/storage"

    def misbehave(self, kind: str, **settings: Any) -> Fault:
        """Add a fault; settings are those of `Fault`."""
        fault = Fault(kind, **settings)
        self.behaving.clear()
        self.faults.append(fault)
        return fault

    def behave(self) -> None:
        """Remove every fault, and close the connections that wait for an answer."""
        self.faults.clear()
        self.behaving.set()

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        self.behave()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
