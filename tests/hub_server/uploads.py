"""The routes of the test hub that write: repositories, large files and commits, as `push_to_hub` uses them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from email.message import Message
from pathlib import Path
from typing import Any

from tests.hub_server.repositories import LARGE, Repositories

_PREUPLOAD = re.compile(r"/api/models/(.+)/preupload/([^/]+)")
_BATCH = re.compile(r"/(.+)\.git/info/lfs/objects/batch")
_STORED = re.compile(r"/upload/([0-9a-f]{64})")
_COMMIT = re.compile(r"/api/models/(.+)/commit/([^/]+)")

Answer = tuple[int, Any]
"""Status and JSON of an answer."""


class Uploads:
    """What was uploaded and not yet committed, by SHA-256."""

    def __init__(self, repositories: Repositories) -> None:
        self.repositories = repositories
        self._large: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, body: bytes, headers: Message) -> Answer:
        """Answer to one request; whoever writes must be logged in, except to the signed address of a large file."""
        if found := _STORED.fullmatch(path):
            return self._store(found[1], body)
        if not headers.get("Authorization"):
            return 401, {"error": "Invalid username or password."}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            return self._create(json.loads(body), str(headers.get("Host")))
        if found := _PREUPLOAD.fullmatch(path):
            return self._modes(found[1], json.loads(body))
        if found := _BATCH.fullmatch(path):
            return self._batch(json.loads(body), str(headers.get("Host")))
        if found := _COMMIT.fullmatch(path):
            return self._commit(found[1], body, str(headers.get("Host")))
        return 404, {"error": f"{method} {path} is no route of the test hub"}

    def _create(self, asked: dict[str, Any], host: str) -> Answer:
        name = f"{asked.get('organization') or 'tester'}/{asked['name']}"
        answer = {"url": f"http://{host}/{name}", "name": name}
        if self.repositories.has(name):
            return 409, {**answer, "error": "You already created this model repo"}
        self.repositories.place(name).mkdir(parents=True)
        return 200, answer

    def _modes(self, name: str, asked: dict[str, Any]) -> Answer:
        snapshot = self.repositories.snapshot(name)
        if snapshot is None:
            return 404, {"error": "Repository not found"}
        files = []
        for file in asked["files"]:
            known = snapshot.files.get(file["path"])
            mode = "lfs" if Path(file["path"]).suffix in LARGE else "regular"
            oid = known.etag if known else None
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return 200, {"files": files}

    def _batch(self, asked: dict[str, Any], host: str) -> Answer:
        objects = []
        for wanted in asked["objects"]:
            actions = {"upload": {"href": f"http://{host}/upload/{wanted['oid']}", "header": {}}}
            objects.append({**wanted, "authenticated": True, "actions": actions})
        return 200, {"transfer": "basic", "objects": objects}

    def _store(self, sha256: str, body: bytes) -> Answer:
        if hashlib.sha256(body).hexdigest() != sha256:
            return 400, {"error": f"the content is not that of {sha256}"}
        with self._lock:
            self._large[sha256] = body
        return 200, {}

    def _commit(self, name: str, body: bytes, host: str) -> Answer:
        """Write a commit's files; nothing is written if one of its large files was not uploaded."""
        written: dict[str, bytes] = {}
        for line in body.decode().splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                written[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                if value["oid"] not in self._large:
                    return 400, {"error": f"the large file {value['path']} was not uploaded"}
                written[value["path"]] = self._large[value["oid"]]
            elif operation["key"] != "header":
                return 400, {"error": f"the test hub knows no operation {operation['key']!r}"}
        folder = self.repositories.place(name)
        for path, content in written.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        snapshot = self.repositories.snapshot(name)
        if snapshot is None:
            return 404, {"error": "Repository not found"}
        commit = {"commitOid": snapshot.commit, "commitUrl": f"http://{host}/{name}/commit/{snapshot.commit}"}
        return 200, {"success": True, "hookOutput": "", **commit}
