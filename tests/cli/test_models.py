"""`dinoclip models`."""

from types import SimpleNamespace

import huggingface_hub
from huggingface_hub.errors import OfflineModeIsEnabled

from dinoclip_viz.encoders.catalog import CATALOG

COLUMNS = {"name", "kind", "size", "patch", "dimension", "licence", "on_disk"}


def test_models_lists_the_catalogue(dinoclip):
    done = dinoclip("models", "--json")
    assert (done.code, done.err) == (0, "")
    rows = {row["name"]: row for row in done.json["models"]}
    assert rows.keys() == CATALOG.keys()
    assert all(row.keys() >= COLUMNS for row in rows.values())
    assert rows["playground-dino"]["on_disk"] is True


def test_models_as_text_is_a_table_with_a_line_a_model(dinoclip):
    lines = dinoclip("models").out.splitlines()
    assert len(lines) == len(CATALOG) + 1
    assert lines[0].split() == ["name", "kind", "size", "patch", "dimension", "licence", "on", "disk"]


def test_pin_without_the_hub_ends_with_one_line(dinoclip, monkeypatch):
    def unreachable(self, repository, **settings):
        raise OfflineModeIsEnabled("offline")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    dinoclip("models", "--pin").refused("out of reach", "expected", "--pin")


def test_pin_tells_when_no_connection_can_be_made(dinoclip, monkeypatch):
    def unreachable(self, repository, **settings):
        raise huggingface_hub.errors.HTTPError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    dinoclip("models", "--pin", "--json").refused("out of reach", "Name or service not known")


def test_pin_reads_a_commit_for_each_model(dinoclip, monkeypatch):
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda self, name, **_: SimpleNamespace(sha=name))
    done = dinoclip("models", "--pin", "--json")
    missing = {row["model"] for row in done.json.get("failed", [])}
    assert done.json["revisions"]["dinov2-small"] == "facebook/dinov2-small"
    assert done.json["revisions"].keys() | missing == {name for name, row in CATALOG.items() if row.folder is None}
    assert done.code == (1 if missing else 0)
