"""The test hub itself, and as a process."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download

from tests.hub_server.faults import Fault


def get(address: str, method: str = "GET", body: dict | None = None, **headers: str):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(address, data, headers, method=method), timeout=20) as answer:
        return answer.status, answer.read(), answer.headers


def test_ranges_are_the_parts_of_a_file(hub, served):
    file = hub.repositories.snapshot("facebook/dinov2-small").files["model.safetensors"]
    content = file.location.read_bytes()
    address = f"{hub.endpoint}/facebook/dinov2-small/resolve/main/model.safetensors"
    assert get(address)[1] == content
    status, part, headers = get(address, Range="bytes=10-19")
    assert (status, part, headers["Content-Range"]) == (206, content[10:20], f"bytes 10-19/{len(content)}")
    assert get(address, Range=f"bytes={len(content) - 3}-")[1] == content[-3:]


def test_listings_come_in_pages(hub, monkeypatch):
    monkeypatch.setattr(hub, "page", 2)
    listed = {file.path: file for file in HfApi().list_repo_tree("openai/clip-vit-base-patch16", recursive=True)}
    assert listed.keys() == hub.repositories.snapshot("openai/clip-vit-base-patch16").files.keys()
    assert len(listed) > 2
    assert listed["model.safetensors"].lfs.sha256 and listed["config.json"].lfs is None


def test_names_that_leave_the_folder_are_not_found(hub):
    for name in ("..%2F..", "../x", ".."):
        assert not hub.repositories.has(name)
        assert hub.repositories.snapshot(name) is None


def test_a_pull_request_of_the_conversion_bot_is_used(hub, served, tmp_path):
    import dinoclip_viz as dv
    from tests.tiny_models import tiny_dinov2

    tiny_dinov2(served / "someone/old@pr-3")
    (served / "someone/old").mkdir(exist_ok=True)
    (served / "someone/old/config.json").write_text((served / "someone/old@pr-3/config.json").read_text())
    encoder = dv.load_encoder("someone/old", device="cpu")
    assert encoder.revision == hub.repositories.snapshot("someone/old", "refs/pr/3").commit


def test_faults_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="no fault is called 'sad'"):
        Fault("sad")
    with pytest.raises(ValueError, match="no route is called 'there'"):
        Fault("500", on=("there",))


def test_the_hub_as_a_process(hub, served, tmp_path):
    command = [sys.executable, "-m", "tests.hub_server", "--folder", str(served), "--port", "0", "--empty"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as process:
        try:
            endpoint = process.stdout.readline().strip().removeprefix("HF_ENDPOINT=")
            assert HfApi(endpoint=endpoint).model_info("facebook/dinov2-small").id == "facebook/dinov2-small"
            get(f"{endpoint}/_hub/faults", "POST", {"kind": "checksum", "match": "config"})
            told = [request["path"] for request in json.loads(get(f"{endpoint}/_hub/requests")[1])]
            assert "/api/models/facebook/dinov2-small" in told
            damaged = hf_hub_download("facebook/dinov2-small", "config.json", endpoint=endpoint, cache_dir=tmp_path)
            whole = (served / "facebook/dinov2-small/config.json").read_bytes()
            assert Path(damaged).read_bytes() != whole
            assert len(Path(damaged).read_bytes()) == len(whole)
            get(f"{endpoint}/_hub/faults", "DELETE")
        finally:
            process.terminate()
        assert process.wait(20) == 0
