"""Checksums of files in the hub's cache."""

from __future__ import annotations

import hashlib

from dinoclip_viz.encoders.hub.checksums import complete_files, remove_damaged
from tests.hub_server.repositories import git_blob


def store(folder, name, content, path):
    """Write a file into a cache, as huggingface_hub lays it out."""
    blob, link = folder / "blobs" / name, folder / "snapshots" / "0" / path
    for place in (blob, link):
        place.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    link.symlink_to(blob)


def test_only_new_files_of_another_content_are_removed(tmp_path):
    whole, damaged = b"whole", b"damaged"
    store(tmp_path, hashlib.sha256(whole).hexdigest(), whole, "model.safetensors")
    store(tmp_path, git_blob(whole), whole, "config.json")
    store(tmp_path, hashlib.sha1(whole).hexdigest(), whole, "of_a_mirror.json")
    store(tmp_path, git_blob(b"other"), damaged, "1_Pooling/config.json")
    store(tmp_path, hashlib.sha256(b"earlier").hexdigest(), damaged, "earlier.safetensors")
    store(tmp_path, "an etag of another kind", damaged, "unknown.json")
    known = {hashlib.sha256(b"earlier").hexdigest()}
    assert len(complete_files(tmp_path)) == 5
    assert remove_damaged(tmp_path, known) == ["1_Pooling/config.json"]
    assert not (tmp_path / "snapshots/0/1_Pooling/config.json").is_symlink()
    kept = {"model.safetensors", "config.json", "of_a_mirror.json", "earlier.safetensors", "unknown.json"}
    assert {path.name for path in (tmp_path / "snapshots/0").iterdir() if path.exists() and path.is_symlink()} == kept
    assert remove_damaged(tmp_path, known) == []


def test_no_cache_is_nothing_to_check(tmp_path):
    assert complete_files(tmp_path / "absent") == set()
    assert remove_damaged(tmp_path / "absent", set()) == []
