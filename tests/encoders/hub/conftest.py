"""A running test hub with every family of the catalogue, and this process as its client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from weakref import WeakValueDictionary

import pytest
from huggingface_hub import constants

from tests.encoders.hub.families import FAMILIES, tiny_open_clip, write_all
from tests.hub_server import Hub

PATIENCE = 0.3
"""Seconds that this process waits for an answer, in place of 10."""


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test hub's folder."""
    return write_all(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="session")
def _running(served: Path) -> Iterator[Hub]:
    with Hub(served) as hub:
        hub.gated = {family.repository for family in FAMILIES.values() if family.gated}
        hub.accepted = {"hf_accepted"}
        yield hub


@pytest.fixture
def hub(_running: Hub, served: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """The test hub, with an empty cache, nobody logged in, and short waits."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    cache = tmp_path / "cache"
    for name, value in {
        "ENDPOINT": _running.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": _running.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(cache),
        "HF_TOKEN_PATH": str(tmp_path / "token"),
        "HF_HUB_DOWNLOAD_TIMEOUT": PATIENCE,
        "HF_HUB_ETAG_TIMEOUT": PATIENCE,
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr("dinoclip_viz.encoders.cache._LOADED", WeakValueDictionary())
    # huggingface_hub waits 1 s between two attempts
    monkeypatch.setattr("huggingface_hub.file_download.time", SimpleNamespace(sleep=lambda seconds: None))
    _running.behave()
    _running.requests.clear()
    with tiny_open_clip(served):
        yield _running
    _running.behave()


@pytest.fixture
def cache(hub: Hub) -> Path:
    """Folder of this test's cache."""
    return Path(constants.HF_HUB_CACHE)


@pytest.fixture
def accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody is logged in who accepted every licence."""
    monkeypatch.setenv("HF_TOKEN", "hf_accepted")
