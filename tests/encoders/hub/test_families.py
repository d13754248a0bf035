"""Every family of the catalogue loads from a hub under its true name, and states in one line why it cannot."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pytest
import torch

import dinoclip_viz as dv
from dinoclip_viz.encoders import EncoderError
from dinoclip_viz.encoders.catalog import CATALOG, find, on_disk
from tests.encoders.hub.families import FAMILIES
from tests.hub_server import Hub
from tests.hub_server.repositories import git_blob

FAULTS = {
    "401": (None, ["it is private; check the name, or log in with `hf auth login`"]),
    "403": (None, ["is gated; accept its licence on https://huggingface.co/"]),
    "404": (None, ["the hub has no repository"]),
    "429": (None, ["accepts no more requests now (429); try again in 55 s", "`hf auth login` for a higher limit"]),
    "500": (None, ["the hub has a fault (500); try again later"]),
    "500 of a file": (("content",), ["the hub has a fault (500); try again later"]),
    "429 of a file": (("content",), ["(429); try again in 55 s"]),
    "half": (None, ["the hub broke off while sending", "try again: complete files are kept"]),
    "checksum": (None, ["arrived damaged and was removed: the checksum is not the one that the hub states; try again"]),
    "never": (None, ["the hub did not answer within 0.3 s; try again, or set HF_HUB_DOWNLOAD_TIMEOUT"]),
    "never an address": (("resolve",), ["the hub did not answer within 0.3 s"]),
    "never a file": (("content",), ["the hub did not answer within 0.3 s"]),
}
"""Fault -> the routes that it affects (None for the usual ones), and words of the line."""

WITH_EVERY_ROUTE = ("DINOv2", "CLIP", "open_clip", "timm", "sentence-transformers", "PaliGemma 2", "projector")
"""Families that meet the faults of single routes too."""

LATER = ("half", "checksum", "never an address", "never a file", "500 of a file", "429 of a file")
"""Faults that are met after the licence was accepted."""


def checked(cache: Path) -> list[Path]:
    """The files in the cache, each of which has the content that its name states; none is unfinished."""
    blobs = sorted(path for path in cache.rglob("blobs/*"))
    for blob in blobs:
        content = blob.read_bytes()
        expected = hashlib.sha256(content).hexdigest() if len(blob.name) == 64 else git_blob(content)
        assert blob.name == expected
    return blobs


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_loads_under_its_true_name(family, hub, cache, accepted):
    chosen = FAMILIES[family]
    first = chosen.load(chosen.name)
    assert checked(cache)
    paths = [request.path for request in hub.requests]
    assert not [path for path in paths if path.endswith((".bin", ".py", ".pt"))]
    assert f"/api/models/{chosen.repository}/revision/main" in paths
    hub.misbehave("500")
    fetch_again(chosen)  # from the cache, though the hub is down
    again = chosen.load(chosen.name)
    if isinstance(first, torch.Tensor):
        torch.testing.assert_close(first, again)
    if chosen.name in CATALOG:
        assert on_disk(find(chosen.name))


@pytest.mark.parametrize(
    ("family", "fault"),
    [(family, fault) for family in FAMILIES for fault in FAULTS if " a" not in fault or family in WITH_EVERY_ROUTE],
)
def test_a_fault_is_one_line_and_a_retry_works(family, fault, hub, cache, request):
    chosen = FAMILIES[family]
    if chosen.gated and fault in (
        "half",
        "checksum",
        "never an address",
        "never a file",
        "500 of a file",
        "429 of a file",
    ):
        request.getfixturevalue("accepted")  # else the licence is asked for first
    on, words = FAULTS[fault]
    hub.misbehave(fault.split()[0], on=on or (), seconds=55)
    with pytest.raises(EncoderError) as caught:
        chosen.load(chosen.name)
    line = str(caught.value)
    assert "\n" not in line
    assert chosen.name in line
    if chosen.gated and fault in ("401", "404"):
        words = FAULTS["403"][1]
    for word in words:
        if not (chosen.gated and "higher limit" in word):
            assert word in line
    checked(cache)
    hub.behave()
    request.getfixturevalue("accepted")
    fetch_again(chosen)
    assert checked(cache)


def fetch_again(chosen) -> None:
    """Download without reading the model; that it then loads is another test's."""
    from dinoclip_viz.encoders.hub import fetch

    library = {"openai-vit-b-32": "open_clip", "openclip-siglip-b-16": "open_clip", "mae-vitb16": "timm"}
    prefixed = "open_clip" if chosen.name.startswith("hf-hub:") else "transformers"
    folder, commit = fetch(chosen.name, chosen.repository, library.get(chosen.name, prefixed))
    assert folder.name == commit


def test_a_gated_family_wants_its_licence_accepted_by_those_logged_in_too(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(EncoderError, match=r"is gated; accept its licence .*; playground-dino"):
        dv.load_encoder("dinov3-vits16")


def test_a_token_that_the_hub_does_not_know(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    hub.misbehave("401")
    with pytest.raises(EncoderError, match=r"refused the token of this machine \(401\); log in .* or unset HF_TOKEN"):
        dv.load_encoder("dinov2-small")


def test_a_slow_hub_is_waited_for(hub: Hub):
    hub.misbehave("slow", seconds=0.1)
    assert dv.load_encoder("dinov2-small", device="cpu").revision


def test_a_file_that_comes_in_pieces_is_resumed(hub, cache, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    hub.misbehave("half", times=1, match="/storage/")
    dv.load_encoder("dinov2-small", device="cpu")
    sent = [request for request in hub.requests if "/storage/" in request.path and request.method == "GET"]
    assert [request.status for request in sent] == [200, 206]
    assert checked(cache)


@pytest.mark.parametrize(
    ("route", "match", "times"),
    [
        ("api", "/revision/main", 1),
        ("api", "/tree/", 2),
        ("resolve", "/config.json", 2),
        ("content", "/storage/", 2),
    ],
)
def test_a_hub_that_does_not_answer_is_asked_twice_without_a_word(route, match, times, hub, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("huggingface_hub"), "propagate", True)
    fault = hub.misbehave("never", on=(route,), match=match)
    with pytest.raises(EncoderError, match=r"did not answer within 0\.3 s"):
        dv.load_encoder("dinov2-small")
    assert fault.met == times
    assert caplog.text == ""


def test_a_renamed_repository_is_found(hub):
    hub.repositories.moved["facebook/old-dinov2"] = "facebook/dinov2-small"
    assert dv.load_encoder("facebook/old-dinov2", device="cpu").dimension == 32


def test_a_hub_that_nobody_runs_is_one_line(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(EncoderError, match="is not on this disk and the Hugging Face hub cannot be reached"):
        dv.load_encoder("dinov2-small")


def test_a_page_in_place_of_an_answer_is_one_line(hub, monkeypatch):
    """Such as the login page of a network."""
    monkeypatch.setattr("tests.hub_server.handler.Handler._information", lambda self, snapshot: ["sign in"])
    with pytest.raises(EncoderError, match=r"answer about facebook/dinov2-small cannot be read .*HF_ENDPOINT"):
        dv.load_encoder("dinov2-small")


def test_requests_of_others_are_not_limited(hub):
    from huggingface_hub import HfApi, get_session

    from dinoclip_viz.encoders.hub.limits import limited

    hub.misbehave("slow", on=("api",), seconds=0.8)
    with limited():
        assert HfApi().model_info("facebook/dinov2-small").sha
    assert len(get_session().event_hooks["request"]) == 1
    assert get_session().event_hooks["response"] == []
