"""Checksums of downloaded files: huggingface_hub checks their size alone."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BLOCK = 1 << 20


def folder_in_cache(repository: str, cache: str | Path | None = None) -> Path:
    """Folder of a repository in the hub's cache, whether or not it exists."""
    from huggingface_hub import constants

    return Path(cache or constants.HF_HUB_CACHE).expanduser() / f"models--{repository.replace('/', '--')}"


def complete_files(folder: Path) -> set[str]:
    """Names of the complete files of a repository in the cache; each is the hash of the file's content.

    Where the disk has no symbolic links there are none, and huggingface_hub's check of the size is the only one.

    Args:
        folder: as `folder_in_cache` returns it.
    """
    blobs = folder / "blobs"
    if not blobs.is_dir():
        return set()
    return {path.name for path in blobs.iterdir() if _HASH.fullmatch(path.name) and not path.is_symlink()}


def remove_damaged(folder: Path, known: set[str]) -> list[str]:
    """Remove the files of a repository in the cache whose content is not the one that the hub states.

    The name is the SHA-256 of a large file, and the id that git gives to another one; some mirrors of the hub state
    the SHA-1 of the content instead.

    Args:
        folder: as `folder_in_cache` returns it.
        known: names of files that need no check.

    Returns:
        Paths in the repository of what was removed.
    """
    removed = []
    for name in sorted(complete_files(folder) - known):
        blob = folder / "blobs" / name
        if name in _hashes(blob):
            continue
        target = blob.resolve()
        links = [path for path in (folder / "snapshots").rglob("*") if path.is_symlink() and path.resolve() == target]
        removed += [Path(*path.relative_to(folder / "snapshots").parts[1:]).as_posix() for path in links] or [name]
        for path in (*links, blob):
            path.unlink()
    return removed


def _hashes(blob: Path) -> set[str]:
    size = blob.stat().st_size
    if len(blob.name) == 64:
        known = [hashlib.sha256()]
    else:
        known = [hashlib.sha1(usedforsecurity=False), hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)]
    with blob.open("rb") as file:
        while block := file.read(_BLOCK):
            for hashed in known:
                hashed.update(block)
    return {hashed.hexdigest() for hashed in known}
