"""Requests to the test hub: the routes of the Hugging Face hub that huggingface_hub asks."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.hub_server.faults import BAD_TOKEN, REFUSALS, SIGNED_OUT_GATED, Fault
from tests.hub_server.repositories import File, Snapshot

if TYPE_CHECKING:
    from tests.hub_server.server import Hub

_ID = r"(?P<name>[^/]+(?:/(?!revision/|tree/|discussions$|preupload/|commit/|resolve/)[^/]+)?)"
_INFO = re.compile(rf"/api/models/{_ID}(?:/revision/(?P<revision>[^/]+))?")
_TREE = re.compile(rf"/api/models/{_ID}/tree/(?P<revision>[^/]+)(?:/(?P<inside>.*))?")
_DISCUSSIONS = re.compile(rf"/api/models/{_ID}/discussions")
_RESOLVE = re.compile(rf"/{_ID}/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_SMALL = re.compile(r"/api/resolve-cache/models/(?P<name>[^/]+(?:/[^/]+)?)/(?P<revision>[0-9a-f]{40})/(?P<file>.+)")
_LARGE = re.compile(r"/storage/(?P<name>[^/]+(?:/[^/]+)?)/(?P<sha256>[0-9a-f]{64})")
_CONTROL = "/_hub/"
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Request:
    """One request that was answered; status 0 where the connection was closed instead."""

    method: str
    path: str
    status: int


class Server(ThreadingHTTPServer):
    """One thread per connection; `hub` is what it serves."""

    daemon_threads = True
    request_queue_size = 64
    hub: Hub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no error of the server."""


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests, or misbehaves."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept in `Hub.requests` instead."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    @property
    def hub(self) -> Hub:
        return self.server.hub

    def _answer(self) -> None:
        self.address = urlsplit(self.path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            self.body = self._chunked()
        if self.address.path.startswith(_CONTROL):
            self._control()
            return
        route = self._route()
        fault = next((fault for fault in self.hub.faults if fault.meets(route, self.path)), None)
        if fault is not None and self._misbehave(fault, route):
            return
        self._serve(fault)

    def _chunked(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _route(self) -> str:
        if self.command in ("POST", "PUT", "DELETE"):
            return "upload"
        if self.command == "HEAD" or _RESOLVE.fullmatch(self.address.path):
            return "resolve"
        return "content" if _SMALL.fullmatch(self.address.path) or _LARGE.fullmatch(self.address.path) else "api"

    def _misbehave(self, fault: Fault, route: str) -> bool:
        """Whether the fault was the whole answer."""
        if fault.kind == "never":
            self.hub.behaving.wait()
            self._drop()
            return True
        if fault.kind == "slow" and route != "content":
            time.sleep(fault.seconds)
        if fault.kind not in REFUSALS:
            return False
        status, code, message = REFUSALS[fault.kind]
        signed_in = bool(self.headers.get("Authorization"))
        if fault.kind == "401" and signed_in:
            status, code, message = BAD_TOKEN
        if fault.kind == "403" and not signed_in:
            status, code, message = SIGNED_OUT_GATED
        more = {"Retry-After": f"{fault.seconds:.0f}"} if fault.kind == "429" else {}
        self._refuse(status, code, message, more)
        return True

    def _serve(self, fault: Fault | None) -> None:
        path = self.address.path
        if self.command in ("POST", "PUT", "DELETE"):
            status, answer = self.hub.uploads.answer(self.command, path, self.body, self.headers)
            self._json(answer, status)
        elif path == "/api/whoami-v2":
            self._json({"type": "user", "name": "tester", "orgs": [], "auth": {"type": "access_token"}})
        elif found := _SMALL.fullmatch(path):
            self._content(self._snapshot(found), unquote(found["file"]), fault)
        elif found := _LARGE.fullmatch(path):
            self._bytes(self.hub.repositories.large(unquote(found["name"]), found["sha256"]), {}, fault)
        elif found := _DISCUSSIONS.fullmatch(path):
            self._discussions(unquote(found["name"]))
        elif found := _TREE.fullmatch(path) or _INFO.fullmatch(path) or _RESOLVE.fullmatch(path):
            self._repository(found)
        else:
            self._refuse(404, "", f"{path} is no route of the test hub")

    def _repository(self, found: re.Match[str]) -> None:
        """Answers about a repository and its files, once it is known to exist."""
        name = unquote(found["name"])
        new = self.hub.repositories.moved.get(name)
        if new is not None:
            query = f"?{self.address.query}" if self.address.query else ""
            self._redirect(307, self.address.path.replace(name, new, 1) + query)
            return
        if not self.hub.repositories.has(name):
            signed_in = bool(self.headers.get("Authorization"))
            self._refuse(*REFUSALS["404" if signed_in else "401"])
            return
        snapshot = self._snapshot(found)
        if snapshot is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {found['revision']}")
        elif found.re is _TREE:
            self._tree(snapshot)
        elif found.re is _INFO:
            self._json(self._information(snapshot))
        else:
            self._resolve(snapshot, unquote(found["file"]))

    def _snapshot(self, found: re.Match[str]) -> Snapshot | None:
        return self.hub.repositories.snapshot(unquote(found["name"]), found["revision"] or "main")

    def _information(self, snapshot: Snapshot) -> dict[str, Any]:
        blobs = "blobs" in parse_qs(self.address.query)
        siblings = [{"rfilename": file.path, **(_blob(file) if blobs else {})} for file in snapshot.files.values()]
        gated = "manual" if snapshot.name in self.hub.gated else False
        return {
            "_id": snapshot.commit[:24], "id": snapshot.name, "modelId": snapshot.name, "sha": snapshot.commit,
            "author": snapshot.name.split("/")[0], "private": False, "gated": gated, "disabled": False, "tags": [],
            "downloads": 0, "likes": 0, "createdAt": "2024-01-01T00:00:00.000Z",
            "lastModified": "2024-01-01T00:00:00.000Z", "siblings": siblings,
        }  # fmt: skip

    def _tree(self, snapshot: Snapshot) -> None:
        first = int(parse_qs(self.address.query).get("cursor", ["0"])[0])
        files = list(snapshot.files.values())
        shown, after = files[first : first + self.hub.page], first + self.hub.page
        entries = []
        for file in shown:
            entry: dict[str, Any] = {"type": "file", "oid": file.oid, "size": file.size, "path": file.path}
            if file.sha256:
                entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": 134}
            entries.append(entry)
        link = f'<{self.hub.endpoint}{self.address.path}?recursive=True&cursor={after}>; rel="next"'
        self._json(entries, headers={"Link": link} if after < len(files) else {})

    def _discussions(self, name: str) -> None:
        found = [
            {
                "num": number, "title": "Adding `safetensors` variant of this model", "status": "open",
                "author": {"name": "SFconvertbot"}, "createdAt": "2024-01-01T00:00:00.000Z", "isPullRequest": True,
                "repo": {"name": name, "type": "model"},
            }
            for number in self.hub.repositories.pull_requests(name)
        ]  # fmt: skip
        self._json({"discussions": found, "count": len(found), "start": 0})

    def _resolve(self, snapshot: Snapshot, path: str) -> None:
        """A file's metadata, with a redirect to its bytes."""
        commit = {"X-Repo-Commit": snapshot.commit}
        if snapshot.name in self.hub.gated and self._token() not in self.hub.accepted:
            self._refuse(*(REFUSALS["403"] if self._token() else SIGNED_OUT_GATED), commit)
            return
        file = snapshot.files.get(path)
        if file is None:
            self._refuse(404, "EntryNotFound", "Entry not found", commit)
            return
        headers = {**commit, "ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        if not file.sha256:
            self._redirect(307, f"/api/resolve-cache/models/{snapshot.name}/{snapshot.commit}/{quote(path)}", headers)
            return
        headers |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.sha256}"'}
        place = f"{self.hub.storage(self.headers.get('Host', ''))}/{snapshot.name}/{file.sha256}"
        self._redirect(302, f"{place}?X-Signature=test", headers)

    def _token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _content(self, snapshot: Snapshot | None, path: str, fault: Fault | None) -> None:
        file = snapshot.files.get(path) if snapshot else None
        headers = {"X-Repo-Commit": snapshot.commit} if snapshot else {}
        self._bytes(file, headers, fault)

    def _bytes(self, file: File | None, headers: dict[str, str], fault: Fault | None) -> None:
        """A file's bytes, or the part of them that was asked for."""
        if file is None:
            self._refuse(404, "EntryNotFound", "Entry not found", headers)
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1 if asked and asked[2] else file.size, file.size)
        headers = {**headers, "ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        if asked and start >= file.size:
            self._send(416, b"", {**headers, "Content-Range": f"bytes */{file.size}"})
            return
        if asked:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
        self._start(206 if asked else 200, end - start, headers)
        if self.command != "HEAD":
            self._stream(file, start, end, fault)

    def _stream(self, file: File, start: int, end: int, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        stop = min(end, file.size // 2) if kind == "half" else end
        block = max(1, file.size // 4) if kind == "slow" else _BLOCK
        with file.location.open("rb") as content:
            content.seek(start)
            while start < stop:
                part = content.read(min(block, stop - start))
                if kind == "slow" and fault is not None:
                    time.sleep(fault.seconds)
                if kind == "checksum" and start + len(part) == file.size:  # the last byte is another one
                    part = part[:-1] + bytes([part[-1] ^ 1])
                self.wfile.write(part)
                start += len(part)
        if kind == "half":
            self._drop()

    def _control(self) -> None:
        """POST /_hub/faults {"kind": ...} adds a fault, DELETE /_hub/faults removes all, GET /_hub/requests lists."""
        if self.command == "POST":
            self.hub.misbehave(**json.loads(self.body))
        elif self.command == "DELETE":
            self.hub.behave()
        self._json([vars(request) for request in self.hub.requests])

    def _redirect(self, status: int, location: str, headers: dict[str, str] | None = None) -> None:
        self._send(status, b"", {**(headers or {}), "Location": location})

    def _refuse(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        errors = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})}
        self._json({"error": message}, status, {**(headers or {}), **errors})

    def _json(self, answer: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(answer).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self._start(status, len(content), headers)
        if self.command != "HEAD":
            self.wfile.write(content)

    def _start(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.hub.requests.append(Request(self.command, self.path, status))
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(key, value)
        self.end_headers()

    def _drop(self) -> None:
        """Close the connection in the middle of an answer."""
        self.wfile.flush()
        self.close_connection = True


def _blob(file: File) -> dict[str, Any]:
    known: dict[str, Any] = {"size": file.size, "blobId": file.oid}
    if file.sha256:
        known["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": 134}
    return known
