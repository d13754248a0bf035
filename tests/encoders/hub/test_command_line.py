"""The command line on models from a hub, in this process and as a user starts it: one line for each fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dinoclip_viz.cli import main
from dinoclip_viz.encoders.catalog import CATALOG
from tests import tiny_models
from tests.encoders.hub.families import FAMILIES


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    tiny_models.images((64, 48))[0].save(path)
    return path


@pytest.fixture
def dinoclip(capsys):
    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def verbs(picture: Path, out: Path) -> dict[str, list[object]]:
    """Family -> a command that runs it."""
    return {
        "DINOv2": ["pca", picture, "--encoder", "dinov2-small", "--out", out / "pca.png"],
        "DINOv3": ["tokens", picture, "--encoder", "dinov3-vits16", "--out", out / "tokens.png"],
        "timm": ["pca", picture, "--encoder", "mae-vitb16", "--out", out / "pca.png"],
        "CLIP": ["classify", picture, "--labels", "cat,dog", "--model", "clip-vit-base-patch16"],
        "SigLIP": ["classify", picture, "--labels", "cat,dog", "--model", "siglip-base-patch16-224"],
        "open_clip": ["classify", picture, "--labels", "cat,dog", "--model", "openai-vit-b-32"],
        "open_clip SigLIP": ["classify", picture, "--labels", "cat,dog", "--model", "openclip-siglip-b-16"],
        "PaliGemma 2": ["ask", picture, "--caption", "--model", "paligemma2-3b-mix-224"],
    }


COMMANDS = list(verbs(Path(), Path()))


@pytest.mark.parametrize("family", COMMANDS)
def test_a_command_downloads_and_answers(family, hub, accepted, dinoclip, picture, tmp_path):
    code, out, err = dinoclip(*verbs(picture, tmp_path)[family], "--json")
    assert code == 0, err
    assert json.loads(out)


@pytest.mark.parametrize("fault", ["401", "403", "404", "429", "500", "half", "checksum", "never"])
@pytest.mark.parametrize("family", COMMANDS)
def test_a_fault_ends_a_command_with_one_line(family, fault, hub, dinoclip, picture, tmp_path, request):
    if fault in ("half", "checksum"):
        request.getfixturevalue("accepted")
    hub.misbehave(fault, seconds=3600)
    code, out, err = dinoclip(*verbs(picture, tmp_path)[family])
    lines = [line for line in err.splitlines() if line.startswith("dinoclip: ")]
    assert (code, out, len(lines)) == (2, "", 1)
    assert FAMILIES[family].name in lines[0]
    assert "Traceback" not in err


def started(words: list[object], hub, home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    environment |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), **settings}
    command = [sys.executable, "-m", "dinoclip_viz", *map(str, words)]
    root = Path(__file__).parents[3]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=280, cwd=root)


@pytest.mark.timeout(600)
def test_hf_endpoint_selects_the_hub_of_a_process(hub, picture, tmp_path):
    words = ["pca", picture, "--encoder", "dinov2-small", "--out", tmp_path / "pca.png", "--json"]
    hub.misbehave("never", on=("content",))
    done = started(words, hub, tmp_path / "home", HF_HUB_DOWNLOAD_TIMEOUT="1", HF_HUB_ETAG_TIMEOUT="1")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("dinoclip: dinov2-small: the hub did not answer within 1 s")
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "home").rglob("*.incomplete"))
    hub.behave()
    again = started(words, hub, tmp_path / "home")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["explained_variance"]


class TestPin:
    """`dinoclip models --pin`."""

    @pytest.fixture(autouse=True)
    def _few(self, monkeypatch):
        kept = [entry.name for entry in CATALOG.values() if entry.folder is not None]
        kept += [family.name for family in FAMILIES.values() if family.name in CATALOG]
        for name in set(CATALOG) - set(kept):
            monkeypatch.delitem(CATALOG, name)

    def test_commits_of_the_hub(self, hub, dinoclip):
        code, out, _ = dinoclip("models", "--pin", "--json")
        revisions = json.loads(out)["revisions"]
        assert code == 0
        snapshot = hub.repositories.snapshot("facebook/dinov2-small")
        assert revisions["dinov2-small"] == snapshot.commit
        assert len(revisions) == sum(family.name in CATALOG for family in FAMILIES.values())

    def test_a_missing_repository_is_listed(self, hub, dinoclip):
        hub.misbehave("404", match="dino-vits8")
        code, out, err = dinoclip("models", "--pin", "--json")
        assert code == 1
        assert "dinov2-small" in json.loads(out)["revisions"]
        assert "dino-vits8: the hub has no repository 'facebook/dino-vits8'" in err

    @pytest.mark.parametrize(("fault", "words"), [("429", "try again in 55 s"), ("never", "no answer within")])
    def test_a_hub_that_answers_no_more_keeps_what_was_read(self, fault, words, hub, dinoclip, monkeypatch):
        monkeypatch.setattr("dinoclip_viz.cli.models.SECONDS", 0.3)
        hub.misbehave(fault, match="clip", seconds=55)
        code, out, err = dinoclip("models", "--pin", "--json")
        assert code == 1
        assert "dinov2-small" in json.loads(out)["revisions"]
        assert "more models are not read" in err and words in err

    def test_a_hub_that_never_answers_is_one_line(self, hub, dinoclip, monkeypatch):
        monkeypatch.setattr("dinoclip_viz.cli.models.SECONDS", 0.3)
        hub.misbehave("never")
        code, out, err = dinoclip("models", "--pin")
        assert (code, out) == (2, "")
        assert err.startswith("dinoclip: the hub is out of reach (no answer within 0.3 s)") and err.count("\n") == 1
