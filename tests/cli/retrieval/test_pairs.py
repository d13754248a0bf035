"""Any two encoders by commands: pairs are ranked, one is chosen and trained, and its folder answers as a model."""

import pytest

import dinoclip_viz as dv
from tests.made_stores import pair, unimodal


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return {
        "good": unimodal(folder, images=150, name="good"),
        "weak": unimodal(folder, images=150, noise=3.0, tokens=False, patches="", name="weak"),
        "other": pair(folder / "p", 150)[0],
    }


@pytest.fixture(scope="module")
def scenes_store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "s"
    dv.embed("playground:1600:60", "playground-dino", folder, "playground-text", patches="full", text_tokens=True)
    return folder


def paths(made, *names):
    return [made[name].path for name in names]


def test_every_pair_of_encoders_is_ranked(dinoclip, made):
    done = dinoclip("evaluate", "alignment", *paths(made, "weak", "good", "other"), "--json")
    rows = done.json["pairs"]
    assert done.json["images"] == 150
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert (rows[0]["images"], rows[0]["texts"]) == ("good", "made-text")
    assert {(row["images"], row["texts"]) for row in rows} == {
        (images, texts) for images in ("good", "weak", "made-dino") for texts in ("made-text", "made-clip")
    }
    for row in rows:
        assert row["interval"][0] < row["debiased_cka"] < row["interval"][1]
    text = dinoclip("evaluate", "alignment", *paths(made, "weak", "good", "other"), "-k", 3).out.splitlines()
    assert text[0].split()[:2] == ["rank", "images"]
    assert text[1].split()[:2] == ["1", "good"]


def test_stores_of_other_images_or_without_captions_are_named(dinoclip, made, tmp_path):
    other = unimodal(tmp_path, images=40, name="few")
    dinoclip("evaluate", "alignment", made["good"].path, other.path).refused("150 and 40 images")
    bare = unimodal(tmp_path, images=60, captions=0, tokens=False, name="bare")
    dinoclip("evaluate", "alignment", bare.path).refused("has encoded captions", "--texts MODEL")
    dinoclip("evaluate", "alignment").refused("expected STORE..., or --images and --targets")
    dinoclip("evaluate", "alignment", other.path, "--images", other.path).refused("go together")
    dinoclip("train", "--recipe", "sail", "--images", bare.path, "--out", tmp_path / "p").refused("no encoded captions")


def test_the_best_pair_is_chosen_with_a_reason(dinoclip, made, tmp_path):
    words = ("train", "--recipe", "cca", "--choose", *paths(made, "weak", "good"), "--out", tmp_path / "p", "--json")
    done = dinoclip(*words)
    assert done.code == 0, done.err
    assert done.json["stores"][0] == str(made["good"].path)
    assert "dinoclip: good (" in done.err and "debiased CKA" in done.err and "; next " in done.err
    assert (tmp_path / "p" / "model.safetensors").is_file() and (tmp_path / "p" / "README.md").is_file()


def test_pairs_whose_stores_lack_what_the_recipe_reads_are_not_chosen(dinoclip, made, tmp_path):
    out = ("--out", tmp_path / "p")
    refused = dinoclip("train", "--recipe", "freeze-align", "--choose", made["weak"].path, *out)
    refused.refused("none of", "--patches full")
    mixed = dinoclip("train", "--recipe", "cca", "--choose", made["good"].path, "--texts", made["good"].path, *out)
    mixed.refused("--choose replaces")
    dinoclip("train", "--choose", made["good"].path, *out).refused("'best' has one side", "freeze-align")
    dinoclip("train", "--recipe", "sail", "--images", made["good"].path, "--engine", "ray", *out).refused("one process")
    tokens = dinoclip("train", "--recipe", "freeze-align", "--images", made["weak"].path, *out)
    tokens.refused("--patches full")


def test_a_trained_pair_retrieves_searches_and_classifies(dinoclip, scenes_store, tmp_path):
    out = tmp_path / "pair"
    settings = ("--set", "outputs=32", "--set", "holdout=10", "--set", "rate=4e-3", "--epochs", 15, "--batch", 27)
    done = dinoclip("train", "--recipe", "freeze-align", "--images", scenes_store, "--out", out, *settings, "--json")
    assert done.code == 0, done.err
    assert done.json["best"]["temperature"] == pytest.approx(0.07, abs=0.03)
    direct = dinoclip("evaluate", "retrieval", "playground:1600:60", "--model", out, "--json").json["results"][0]
    stored = dinoclip("evaluate", "retrieval", scenes_store, "--model", out, "--json").json["results"][0]
    for way in ("image_to_text", "text_to_image"):
        assert stored[way]["R@10"] == pytest.approx(direct[way]["R@10"], abs=0.05)
        assert stored[way]["R@10"] > 0.2, stored
    assert (stored["images"], stored["captions"]) == (60, 240)
    found = dinoclip("search", scenes_store, "--text", "a red car", "--model", out, "-k", 2, "--json")
    assert found.code == 0, found.err
    shot = dinoclip("evaluate", "zero-shot", "playground:3000:8:96:1", "--model", out, "--json")
    assert shot.code == 0, shot.err
    scene = dv.playground.draw(2100, 1, 96)[0].image
    scene.save(tmp_path / "a.png")
    heat = dinoclip("heatmap", tmp_path / "a.png", "--prompt", "a cat", "--model", out, "--out", tmp_path / "h.png")
    assert heat.code == 0, heat.err


def test_token_vectors_need_a_text_encoder_that_has_them(dinoclip, tmp_path):
    words = ("embed", "playground:1600:3", "--out", tmp_path / "s", "--workers", 0, "--text-tokens")
    dinoclip(*words).refused("--text-tokens without --texts", "--texts MODEL")
