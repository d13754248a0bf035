"""`--device` and `--dtype` stand at every verb that runs a model, reach the model, and are told in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import dinoclip_viz as dv
from dinoclip_viz.cli.parser import build_parser
from dinoclip_viz.encoders import devices
from tests.cli.test_levels import verbs
from tests.made_stores import pair

RUNS_NO_MODEL = {"models", "dedupe", "describe", "playground draw", "playground train", "evaluate alignment"}
LABELLED = (
    "--gallery",
    "playground:2001:210:96:1",
    "--queries",
    "playground:3001:9:96:1",
    "--encoder",
    "playground-dino",
)
DENSE = ("--train", "playground:2003:6:64", "--data", "playground:3004:4:64", "--size", 64)


def test_every_verb_that_runs_a_model_has_both_options():
    shown = {name: parser.format_help() for name, parser in verbs(build_parser())}
    for option in ("--device auto|cpu|cuda|cuda:N|mps", "--dtype auto|float32|bfloat16|float16"):
        assert {name for name, text in shown.items() if option not in text} == RUNS_NO_MODEL


def calls(scenes, out):
    """Verb -> words, whose model is playground-dino or has it as its image encoder."""
    image, folder = scenes[0], scenes[0].parent.parent
    return {
        "classify": (image, "--labels", "cat,tree"),
        "pca": (image, "--out", out / "a.png"),
        "heatmap": (image, "--prompt", "a cat", "--method", "projector", "--out", out / "a.png"),
        "match": (image, scenes[1], "--out", out / "a.png"),
        "tokens": (image, "--out", out / "a.png"),
        "embed": (folder, "--out", out / "store", "--workers", 0),
        "evaluate knn": LABELLED,
        "evaluate linear": LABELLED,
        "evaluate zero-shot": ("playground:3001:8:96:1",),
        "evaluate retrieval": ("playground:3002:8",),
        "evaluate instances": ("playground:3001:6:96:1", "--distractors", "none", "--encoder", "playground-dino"),
        "evaluate correspondence": ("--data", "playground:3010:2", "--encoder", "playground-dino"),
        "evaluate segmentation": (*DENSE, "--encoder", "playground-dino"),
        "evaluate depth": (*DENSE, "--encoder", "playground-dino", "--bins", 0),
        "evaluate frozen": ("--encoder", "playground-dino", "--task", "depth", "--limit", 4),
    }


VERBS = list(calls([Path("a/b/c.png"), Path("a/b/d.png")], Path()))


@pytest.fixture
def computed_in(monkeypatch):
    """The dtypes of the images that patch embeddings have read."""
    found: set[torch.dtype] = set()
    forward = torch.nn.Conv2d.forward

    def spy(self, pixels):
        if pixels.shape[1] == 3:
            found.add(pixels.dtype)
        return forward(self, pixels)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", spy)
    return found


@pytest.mark.parametrize("verb", VERBS)
def test_the_verb_computes_in_the_dtype_and_tells_it(dinoclip, scenes, tmp_path, computed_in, verb):
    words = calls(scenes, tmp_path)[verb]
    done = dinoclip(*verb.split(), *words, "--device", "cpu", "--dtype", "bfloat16", "--json")
    assert done.code == 0, done.err
    assert computed_in == {torch.bfloat16}
    assert done.devices and all(line.endswith(" on cpu, bfloat16") for line in done.devices)
    assert len(set(done.devices)) == len(done.devices)
    if verb.startswith("evaluate"):
        rows = done.json["results"]
        rows = next(iter(rows.values())) if isinstance(rows, dict) else rows
        assert {(row["device"], row["dtype"]) for row in rows} == {("cpu", "bfloat16")}


def test_the_default_of_embedded_models_is_float32_on_any_machine(dinoclip, scenes, monkeypatch, computed_in):
    monkeypatch.setattr(devices, "is_fast_in_bfloat16", lambda device: True)
    done = dinoclip("classify", scenes[0], "--labels", "cat,tree", "--device", "cpu")
    assert (done.code, done.devices) == (0, ["dinoclip: playground on cpu, float32"])
    assert computed_in == {torch.float32}


@pytest.mark.parametrize("verb", VERBS)
def test_the_verb_loads_on_the_device(dinoclip, scenes, tmp_path, monkeypatch, verb):
    asked = []

    def chosen(device="auto"):
        asked.append(str(device))
        return torch.device("cpu")

    for module in ("encoders.loading", "models.loading", "cli"):
        monkeypatch.setattr(f"dinoclip_viz.{module}.chosen_device", chosen)
    assert dinoclip(*verb.split(), *calls(scenes, tmp_path)[verb], "--device", "mps").code == 0
    assert "mps" in asked and "auto" not in asked and "None" not in asked


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--device", "gpu"), ("'gpu'", "auto, cpu, cuda, cuda:N or mps")),
        (("--device", "cuda:99"), ("'cuda:99' is not available", "this machine has cpu")),
        (("--dtype", "half"), ("'half'", "auto, float32, bfloat16 or float16")),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(dinoclip, scenes, words, told):
    dinoclip("classify", scenes[0], "--labels", "cat,tree", *words).refused(*told)
    dinoclip("evaluate", "knn", *words).refused(*told)


def test_a_quick_verb_that_fails_tells_its_error_alone(dinoclip, scenes, tmp_path):
    done = dinoclip("heatmap", scenes[0], "--prompt", "a", "--method", "none", "--out", tmp_path / "a.png")
    done.refused("does not serve the heat-map method 'none'")
    assert done.devices == []


# Stores


def test_a_basis_of_a_store_colours_images_in_its_dtype(dinoclip, scenes, tmp_path, computed_in):
    words = ("embed", scenes[0].parent.parent, "--patches", "full", "--workers", 0, "--out", tmp_path / "s")
    assert dinoclip(*words, "--dtype", "bfloat16").code == 0
    words = ("pca", scenes[0], "--fit", tmp_path / "s", "--out", tmp_path / "a.png")
    computed_in.clear()
    assert dinoclip(*words).code == 0
    assert computed_in == {torch.bfloat16}
    dinoclip(*words, "--dtype", "float32").refused("in bfloat16 and this run in float32")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A store in float32 and one in bfloat16 of the same scenes, and where they are."""
    folder = tmp_path_factory.mktemp("dtypes")
    source = dv.playground.draw(2005, 12, 96, objects=1)
    (folder / "images").mkdir()
    for number, scene in enumerate(source):
        label = folder / "images" / scene.objects[0]["name"]
        label.mkdir(exist_ok=True)
        scene.image.save(label / f"{number}.png")
    for dtype in ("float32", "bfloat16"):
        dv.embed(folder / "images", dv.load_encoder("playground-dino", "cpu", dtype), folder / dtype)
    return folder


def test_embed_writes_the_dtype_and_refuses_to_resume_in_another(dinoclip, tmp_path):
    words = ("embed", "playground:2200:5", "--out", tmp_path / "s", "--workers", 0, "--json")
    first = dinoclip(*words, "--dtype", "bfloat16")
    assert (first.json["device"], first.json["dtype"]) == ("cpu", "bfloat16")
    assert json.loads((tmp_path / "s" / "manifest.json").read_text())["settings"]["dtype"] == "bfloat16"
    again = dinoclip(*words)
    assert again.code == 2
    line = again.err.strip().splitlines()[-1]
    assert "computed in bfloat16, not in float32; resume with --dtype bfloat16, or choose another folder" in line
    assert dinoclip(*words, "--dtype", "bfloat16").code == 0


def test_encoders_of_different_dtypes_are_told_one_by_one(dinoclip, tmp_path, monkeypatch):
    both = ("--encoder", "playground-dino", "--encoder", "pixels")
    done = dinoclip("embed", "playground:2200:5", *both, "--out", tmp_path / "s", "--dtype", "bfloat16", "--json")
    assert (done.json["device"], done.json["dtype"]) == ("cpu", "bfloat16, float32")
    assert done.devices == ["dinoclip: playground-dino on cpu, bfloat16", "dinoclip: pixels on cpu, float32"]


def test_what_is_encoded_now_follows_the_store_it_is_compared_with(dinoclip, stores, scenes, computed_in):
    store, images = stores / "bfloat16", stores / "images"
    image = next(images.rglob("*.png"))
    for words in (
        ("evaluate", "knn", "--gallery", store, "--queries", images, "-k", 1),
        ("search", store, "--image", image),
    ):
        computed_in.clear()
        done = dinoclip(*words, "--json")
        assert done.code == 0, done.err
        assert computed_in == {torch.bfloat16}, words
        refused = dinoclip(*words, "--dtype", "float32")
        assert refused.code == 2
        assert "in bfloat16 and" in refused.err and "in float32; expected one: choose it with --dtype" in refused.err
    assert dinoclip("search", store, "--text", "a cat", "--dtype", "float32").code == 0  # texts are of another encoder


def test_stores_of_one_encoder_in_two_dtypes_are_not_compared(dinoclip, stores):
    words = ("evaluate", "knn", "--gallery", stores / "float32", "--queries", stores / "bfloat16", "-k", 1)
    refused = dinoclip(*words)
    refused.refused("features of playground-dino were computed in different dtypes", "in float32 and", "in bfloat16;")
    refused = dinoclip("evaluate", "knn", "--gallery", stores / "float32", "--queries", stores / "images",
                       "--dtype", "bfloat16")  # fmt: skip
    assert refused.code == 2 and "different dtypes" in refused.err


def test_alignment_names_the_dtypes_that_it_compares(dinoclip, stores):
    done = dinoclip(
        "evaluate", "alignment", "--images", stores / "float32", "--targets", stores / "bfloat16", "-k", 3, "--json"
    )
    assert done.json["dtypes"] == ["float32", "bfloat16"]
    assert done.json["pooled"]["linear_cka"] > 0.99


def test_train_tells_device_and_dtype_and_its_card_names_those_of_the_stores(dinoclip, tmp_path):
    made = pair(tmp_path / "made", 60)
    both = made[0].path.parent
    words = ("train", "--images", both, "--targets", both, "--epochs", 1, "--batch", 20, "--set", "patch_epochs=0")
    words = (*words, "--set", "hidden=8", "--json")
    done = dinoclip(*words, "--out", tmp_path / "p", "--device", "cpu", "--dtype", "bfloat16")
    assert done.code == 0, done.err
    assert done.devices == ["dinoclip: training on cpu, bfloat16"]
    assert (done.json["device"], done.json["dtype"]) == ("cpu", "bfloat16")
    card = " ".join((tmp_path / "p" / "README.md").read_text().split())
    assert "The features of `made-dino` were computed in float32, those of `made-clip` in float32" in card
    assert "the training ran on cpu, bfloat16" in card
    config = json.loads((tmp_path / "p" / "config.json").read_text())
    assert (config["image_dtype"], config["text_dtype"]) == ("float32", "float32")
    assert dinoclip(*words, "--out", tmp_path / "q").json["dtype"] == "float32"
    weights = [dv.Projector.from_pretrained(str(tmp_path / name)).state_dict() for name in "pq"]
    assert any(not torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    dinoclip(*words, "--out", tmp_path / "r", "--dtype", "float16").refused("expected float32 or bfloat16")
