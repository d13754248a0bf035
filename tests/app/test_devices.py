"""The page's models compute on the device and in the dtype of its start, and the page shows which."""

import sys

import pytest

import dinoclip_viz as dv
from dinoclip_viz.app.launcher import open_at
from dinoclip_viz.app.page import build_demo, describe
from dinoclip_viz.app.retrieval.gallery import Gallery
from dinoclip_viz.app.workbench import Workbench, key_of
from dinoclip_viz.store import StoreError


def test_all_models_of_a_page_compute_in_its_dtype():
    bench = Workbench("playground-clip", device="cpu", dtype="bfloat16")
    for key in (bench.first_key, key_of("playground", None)):
        assert describe(bench.model(key)).endswith(", on cpu, bfloat16.")


def test_the_page_shows_device_and_dtype():
    demo = build_demo("playground", device="cpu", dtype="float16")
    shown = [str(block.value) for block in demo.blocks.values() if getattr(block, "elem_id", None) == "status"]
    assert len(shown) == 1 and "on cpu, float16." in shown[0]


def test_a_gallery_of_another_dtype_is_refused(tmp_path):
    dv.embed("playground:2010:4", dv.load_encoder("playground-dino", "cpu", "bfloat16"), tmp_path / "s")
    with pytest.raises(StoreError, match="in bfloat16 and playground in float32; expected one: choose it with --dtype"):
        Gallery(tmp_path / "s", dv.load_model("playground", device="cpu"))
    Gallery(tmp_path / "s", dv.load_model("playground", device="cpu", dtype="bfloat16"))


@pytest.mark.parametrize("words", [["--device", "gpu"], ["--device", "cuda:99"], ["--dtype", "half"]])
def test_scripts_refuse_what_is_not_there(monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "argv", ["explorer.py", *words])
    with pytest.raises(SystemExit) as end:
        open_at("pca", "The app.")
    assert end.value.code == 2
    assert words[1] in capsys.readouterr().err.splitlines()[-1]


def test_scripts_pass_both_options_on(monkeypatch):
    given = {}
    monkeypatch.setattr("dinoclip_viz.app.launcher.build_demo", lambda *_, **named: given.update(named))
    monkeypatch.setattr("dinoclip_viz.app.launcher.launch", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["explorer.py", "--device", "cpu", "--dtype", "bfloat16"])
    open_at("pca", "The app.")
    assert (given["device"], given["dtype"]) == ("cpu", "bfloat16")
