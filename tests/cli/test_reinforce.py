"""`dinoclip reinforce`: captioned images become a reinforced store, and a projector is trained from it."""

import json

import pytest

from dinoclip_viz.reinforce import ReinforcedStore
from tests.tiny_models import tiny_clip, tiny_dino

SOURCE = "playground:500:12:32"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return [
        str(path) for path in (tiny_clip(root / "clip"), tiny_clip(root / "other", seed=1), tiny_dino(root / "dino"))
    ]


@pytest.fixture(scope="module")
def words(models, tmp_path_factory):
    store = tmp_path_factory.mktemp("stores") / "s"
    return store, ("reinforce", SOURCE, "--teacher", models[0], "--student", models[2], "--out", store)


def test_a_source_becomes_a_store_shards_and_a_projector(dinoclip, words, models, tmp_path):
    store, call = words
    outcome = dinoclip(*call, "--views", 2, "--seed", 3, "--scale", "0.5,1", "--format", "datacompdr", "--json")
    assert outcome.code == 0, outcome.err
    answer = outcome.json
    assert (answer["images"], answer["views"], answer["encoded"], answer["failed"]) == (12, 2, 12, 0)
    assert len(answer["shards"]) == 1
    assert "12/12" in outcome.err  # the progress bar
    settings = ReinforcedStore.open(store).settings
    assert (settings.seed, settings.captioner) == (3, "scenes")
    assert settings.augmentation.scale == (0.5, 1.0)
    assert settings.augmentation.size == 32
    again = dinoclip("reinforce", SOURCE, "--teacher", models[1], "--out", store, "--json").json
    assert (again["encoded"], len(again["teachers"])) == (12, 2)
    trained = dinoclip(
        "train", "--recipe", "reinforced", "--images", store, "--out", tmp_path / "p", "--epochs", 2, "--batch", 4,
        "--set", "hidden=16", "--set", "distil=0.75", "--set", "teacher_scales=70,60", "--json",
    )  # fmt: skip
    assert trained.code == 0, trained.err
    assert trained.json["epochs"] == 2
    record = json.loads((tmp_path / "p" / "training.json").read_text())
    assert record["recipe"]["distil"] == 0.75
    assert record["stores"]["teacher 2"]["encoder"] == models[1]
    assert models[0] in (tmp_path / "p" / "README.md").read_text()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--views", "0"), ("views is 0; expected 1 or more",)),
        (("--seed", "-1"), ("seed is -1; expected 0 or more",)),
        (("--scale", "1,2"), ("is no range of areas; expected LOW,HIGH",)),
        (("--flip", "2"), ("is no probability; expected 0 to 1",)),
        (("--magnitude", "31"), ("magnitude of the views is 31; expected 0 to 30",)),
        (("--captioner", "nobody/nothing-here"), ("captioner nobody/nothing-here cannot be loaded",)),
    ],
)
def test_options_out_of_range_are_refused(dinoclip, models, options, expected, tmp_path):
    outcome = dinoclip("reinforce", SOURCE, "--teacher", models[0], "--out", tmp_path / "s", *options)
    last = outcome.err.strip().splitlines()[-1]
    assert outcome.code == 2
    assert all(word in last for word in expected), last
    assert "Traceback" not in outcome.err


def test_no_encoder_and_no_captions_are_refused_in_one_line(dinoclip, models, scenes, tmp_path):
    outcome = dinoclip("reinforce", SOURCE, "--out", tmp_path / "s")
    assert outcome.code == 2
    assert "found no teacher and no student" in outcome.err
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "a.png").write_bytes(scenes[0].read_bytes())
    outcome = dinoclip("reinforce", bare, "--teacher", models[0], "--out", tmp_path / "t")
    assert outcome.code == 2
    assert "no caption; expected at least one per image, or a captioner" in outcome.err.strip().splitlines()[-1]


def test_other_recipes_need_targets(dinoclip, tmp_path):
    dinoclip("train", "--images", tmp_path, "--out", tmp_path / "p").refused("the recipe 'best' needs --targets")


def test_reinforced_training_needs_a_reinforced_store(dinoclip, tmp_path):
    outcome = dinoclip("train", "--recipe", "reinforced", "--images", tmp_path, "--out", tmp_path / "p")
    outcome.refused("is no reinforced store", "dinoclip reinforce SOURCE --out STORE")


def test_shards_become_a_store_and_a_student_is_added(dinoclip, models, tmp_path):
    made = ("reinforce", SOURCE, "--teacher", models[0], "--views", 2, "--out", tmp_path / "made")
    assert dinoclip(*made, "--format", "datacompdr").code == 0
    shards = tmp_path / "made" / "datacompdr"
    read = ("reinforce", SOURCE, "--shards", shards, "--teacher", models[0], "--out", tmp_path / "read", "--json")
    outcome = dinoclip(*read)
    assert outcome.code == 0, outcome.err
    assert (outcome.json["images"], outcome.json["views"]) == (12, 2)
    added = dinoclip(*read, "--student", models[2])
    assert added.code == 0, added.err
    assert (len(added.json["students"]), added.json["encoded"]) == (1, 12)
    refused = dinoclip(*read, "--views", 3)
    assert "has its own views and captions; expected no --views" in refused.err
