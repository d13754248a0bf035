"""Repositories of the test hub: folders under their hub names, with the hashes that the real hub states."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

LARGE = {".safetensors", ".bin", ".model", ".npz", ".pt", ".onnx", ".h5"}
"""Suffixes of the files that the hub keeps in its large-file storage."""

_PULL_REQUEST = re.compile(r"refs/pr/(\d+)")
_hashes: dict[tuple[str, int, int, str], str] = {}


@dataclass(frozen=True)
class File:
    """One file of a repository.

    Attributes:
        path: path in the repository.
        location: file on disk.
        size: number of bytes.
        oid: id of its git blob; of a large file, of the pointer to it.
        sha256: hash of its content if it is a large file, else "".
    """

    path: str
    location: Path
    size: int
    oid: str
    sha256: str = ""

    @property
    def etag(self) -> str:
        return self.sha256 or self.oid


@dataclass(frozen=True)
class Snapshot:
    """The files of a repository at one commit."""

    name: str
    commit: str
    files: dict[str, File]


class Repositories:
    """Repositories of a folder: FOLDER/OWNER/NAME, and FOLDER/OWNER/NAME@pr-N for pull request N.

    Attributes:
        folder: the folder.
        moved: old name -> new name of renamed repositories.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.moved: dict[str, str] = {}

    def has(self, name: str) -> bool:
        return self.place(name).is_dir()

    def place(self, name: str) -> Path:
        """Folder of a repository, whether or not it exists."""
        parts = name.split("/")
        if any(part in ("", ".", "..") for part in parts) or len(parts) > 2:
            return self.folder / "no such repository"
        return self.folder.joinpath(*parts)

    def pull_requests(self, name: str) -> list[int]:
        folder = self.place(name)
        return sorted(int(path.name.rpartition("@pr-")[2]) for path in folder.parent.glob(f"{folder.name}@pr-*"))

    def snapshot(self, name: str, revision: str = "main") -> Snapshot | None:
        """The files at a branch, commit or pull request; None if the repository has no such revision."""
        revision, folder = unquote(revision), self.place(name)
        request = _PULL_REQUEST.fullmatch(revision)
        if request:
            return _snapshot(name, folder.with_name(f"{folder.name}@pr-{request[1]}"))
        current = _snapshot(name, folder)
        if revision in ("main", current.commit if current else None):
            return current
        others = (_snapshot(name, folder.with_name(f"{folder.name}@pr-{n}")) for n in self.pull_requests(name))
        return next((other for other in others if other and other.commit == revision), None)

    def large(self, name: str, sha256: str) -> File | None:
        """The large file of a repository with this hash; None without one."""
        folder = self.place(name)
        for place in (folder, *folder.parent.glob(f"{folder.name}@pr-*")):
            snapshot = _snapshot(name, place)
            for file in snapshot.files.values() if snapshot else ():
                if file.sha256 == sha256:
                    return file
        return None


def _snapshot(name: str, folder: Path) -> Snapshot | None:
    if not folder.is_dir():
        return None
    files = {}
    for location in sorted(path for path in folder.rglob("*") if path.is_file()):
        file = _file(location.relative_to(folder).as_posix(), location)
        files[file.path] = file
    listing = name + "".join(f"\n{file.path} {file.etag}" for file in files.values())
    return Snapshot(name, hashlib.sha1(listing.encode()).hexdigest(), files)


def _file(path: str, location: Path) -> File:
    size = location.stat().st_size
    if location.suffix not in LARGE:
        return File(path, location, size, digest(location, "sha1"))
    sha256 = digest(location, "sha256")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    return File(path, location, size, git_blob(pointer), sha256)


def git_blob(content: bytes) -> str:
    """Id that git gives to a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def digest(location: Path, kind: str) -> str:
    """SHA-256 of a file, or its git blob id for "sha1"; computed again only after the file has changed."""
    state = location.stat()
    key = str(location), state.st_mtime_ns, state.st_size, kind
    if key not in _hashes:
        hashed = hashlib.new(kind, b"blob %d\0" % state.st_size if kind == "sha1" else b"")
        with location.open("rb") as file:
            while block := file.read(1 << 20):
                hashed.update(block)
        _hashes[key] = hashed.hexdigest()
    return _hashes[key]
