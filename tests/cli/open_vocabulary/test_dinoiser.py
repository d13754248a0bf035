"""`dinoclip dinoiser`."""

import json

import pytest
from PIL import Image

from dinoclip_viz.models import load_model

TINY = ["--steps", 6, "--rounds", 2, "--batch", 2, "--size", 64, "--rate", "1e-3", "--held", 2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from dinoclip_viz.cli import main

    out = tmp_path_factory.mktemp("runs") / "new" / "dinoiser"
    words = ["dinoiser", "playground:2000:8:64", "--out", out, *TINY]
    assert main([str(word) for word in words]) == 0
    return words, out


def test_layers_are_trained_saved_and_told(trained, dinoclip):
    words, out = trained
    done = dinoclip(*words, "--json")  # a finished run comes back
    assert done.code == 0
    assert done.json.keys() == {
        "out", "head", "clip", "guide", "source", "images", "rounds", "best", "history", "device", "dtype",
    }  # fmt: skip
    assert (done.json["clip"], done.json["guide"], done.json["images"]) == ("playground-clip", "playground-dino", 8)
    assert [row["epoch"] for row in done.json["history"]] == [1, 2]
    assert done.json["best"] == min(done.json["history"], key=lambda row: row["held_loss"])
    names = {path.name for path in out.iterdir()}
    assert {"dinoiser.safetensors", "run.json", "history.json", "checkpoint.pt", "learning_curve.png"} <= names
    assert Image.open(out / "learning_curve.png").size == (1024, 384)
    assert json.loads((out / "history.json").read_text()) == done.json["history"]
    model = load_model("playground-clip", dinoiser=done.json["head"])
    assert "dinoiser" in model.methods


def test_the_card_tells_what_was_done(trained):
    _, out = trained
    card = (out / "README.md").read_text()
    for words in ("playground-clip", "playground-dino", "playground:2000:8:64", "6 steps of 2 images", "held loss"):
        assert words in card
    assert "8 images, 2 of them held out" in card and str(out) not in card


def test_another_run_in_the_same_folder_is_refused(trained, dinoclip):
    words, out = trained
    dinoclip(*words, "--seed", 1).refused(out.name, "seed 0, not 1", "name another folder")


def test_a_broken_image_is_told_and_the_rest_trains(dinoclip, scenes, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for scene in scenes:
        (folder / scene.name).write_bytes(scene.read_bytes())
    (folder / "000001.png").write_bytes(b"no image")
    done = dinoclip("dinoiser", folder, "--out", tmp_path / "out", *TINY, "--json")
    assert done.code == 1
    [failure] = done.json["failed"]
    assert "000001.png" in failure["image"] and done.json["rounds"] == 2


def test_it_says_what_it_cannot_use(dinoclip, scenes, tmp_path):
    out = ["--out", tmp_path / "none"]
    source = "playground:2000:3:64"
    dinoclip("dinoiser", tmp_path / "nothing", *out).refused("nothing")
    dinoclip("dinoiser", source, *out, "--model", "playground-dino").refused("playground-dino")
    dinoclip("dinoiser", source, *out, "--held", 3).refused("3 images, of which 3 are held out")
    dinoclip("dinoiser", source, *out, "--rounds", 9, "--steps", 4).refused("9 rounds of 4 steps")
    dinoclip("dinoiser", source, *out, "--size", 4).refused("size is 4 pixels")
    dinoclip("dinoiser", source, *out, "--rate", 0).refused("0 is no learning rate")
    dinoclip("dinoiser", source, *out, "--guide", "dinov2-smal").refused("dinov2-small")
    dinoclip("dinoiser", source).refused("--out")
    assert not (tmp_path / "none").exists()
