"""`dinoclip embed` and `dinoclip train`: a source becomes stores, stores become a projector, bad words one line."""

import json

import numpy as np
import pytest
from PIL import Image

import dinoclip_viz as dv
from tests.made_stores import pair

BOTH = ("--encoder", "playground-dino", "--encoder", "playground-clip", "--texts", "playground-clip")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return pair(tmp_path_factory.mktemp("made"), 200, patches=True)


def test_a_drawn_folder_is_embedded_by_two_encoders_in_one_pass(dinoclip, scenes, tmp_path):
    outcome = dinoclip("embed", scenes[0].parent.parent, *BOTH, "--out", tmp_path / "s", "--workers", 0, "--json")
    assert outcome.code == 0
    answer = outcome.json
    assert (answer["images"], answer["failed"], answer["captions"]) == (4, 0, 16)
    assert answer["seconds"] > 0
    assert answer["images_per_second"] > 0
    store = dv.FeatureStore.open(tmp_path / "s", "playground-clip")
    assert len(store) == 4
    assert len(store.captions()) == len(store.texts) == 16
    assert "4/4" in outcome.err  # the progress bar


def test_broken_images_are_listed_and_the_rest_is_done(dinoclip, tmp_path):
    for name in ("a", "b"):
        Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "c.png").write_bytes(b"no image")
    outcome = dinoclip("embed", tmp_path, "--out", tmp_path / "out" / "s", "--workers", 0, "--json")
    assert outcome.code == 1
    assert (outcome.json["images"], outcome.json["failed"]) == (2, 1)
    assert "c.png" in outcome.json["failures"][0]["error"]
    assert "c.png" in outcome.err


def test_the_same_call_again_encodes_nothing(dinoclip, tmp_path):
    words = ("embed", "playground:2200:5", "--out", tmp_path / "s", "--workers", 0)
    first, again = dinoclip(*words), dinoclip(*words)
    assert first.code == again.code == 0
    assert "5 encoded now" in first.out
    assert "0 encoded now" in again.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nowhere", "--out", "s"), ("nowhere",)),
        (
            ("playground:2200:5", "--out", "s", "--patches", "some"),
            ("'some' is no patch grid", "none, full or a number"),
        ),
        (("playground:2200:5", "--out", "s", "--encoder", "playground-dyno"), ("playground-dyno", "playground-dino")),
        (("playground:2200:5", "--out", "s", "--texts", "playground-dino"), ("reads no text",)),
        (("playground:2200:5", "--out", "s", "--workers", "-1"), ("expected 0 or more",)),
    ],
)
def test_what_cannot_be_embedded_is_said_in_one_line(dinoclip, monkeypatch, tmp_path, words, expected):
    monkeypatch.chdir(tmp_path)
    outcome = dinoclip("embed", *words)
    assert outcome.code == 2
    last = outcome.err.strip().splitlines()[-1]
    assert all(word in last for word in expected), last
    assert "Traceback" not in outcome.err


def test_an_empty_folder_is_refused(dinoclip, tmp_path):
    (tmp_path / "empty").mkdir()
    dinoclip("embed", tmp_path / "empty", "--out", tmp_path / "s").refused("empty")


def test_stores_become_a_projector_with_card_curve_and_record(dinoclip, made, tmp_path):
    both = made[0].path.parent
    outcome = dinoclip(
        "train", "--images", both, "--targets", both, "--out", tmp_path / "p", "--epochs", 3, "--batch", 64,
        "--set", "hidden=16", "--set", "patch_epochs=1", "--average", "epochs", "--json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert outcome.json["epochs"] == 3
    assert {"image_to_text_R@1", "text_to_image_share", "loss", "rate"} <= outcome.json["best"].keys()
    names = {file.name for file in (tmp_path / "p").iterdir()}
    assert {"config.json", "model.safetensors", "training.json", "learning_curve.png", "README.md"} <= names
    assert Image.open(tmp_path / "p" / "learning_curve.png").size == (1024, 384)
    card = (tmp_path / "p" / "README.md").read_text()
    assert "made-dino" in card
    assert "| image to text R@1 |" in card
    assert json.loads((tmp_path / "p" / "training.json").read_text())["recipe"]["average"] == "epochs"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--recipe", "fast"), ("there is no recipe 'fast'", "dinov2-clip")),
        (("--set", "speed=3"), ("a recipe has no setting 'speed'",)),
        (("--set", "epochs=many"), ("epochs is 'many'; expected int",)),
        (("--set", "epochs"), ("'epochs' is no setting; expected NAME=VALUE",)),
        (("--set", "head=tall"), ("there is no head 'tall'",)),
        (("--epochs", "0"), ("epochs of the recipe 'best' is 0",)),
        (("--init", "nowhere"), ("nowhere",)),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(dinoclip, made, tmp_path, words, expected):
    both = made[0].path.parent
    dinoclip("train", "--images", both, "--targets", both, "--out", tmp_path / "p", *words).refused(*expected)


def test_a_store_that_is_not_there_is_named(dinoclip, made, tmp_path):
    outcome = dinoclip("train", "--images", tmp_path / "x", "--targets", made[1].path, "--out", tmp_path / "p")
    outcome.refused("there is no folder", "dinoclip embed")
