"""`dinoclip tokens`."""

import importlib.util
from pathlib import Path

import pytest
from PIL import Image

_SPEC = importlib.util.spec_from_file_location("tiny_models", Path(__file__).parent.parent / "tiny_models.py")
tiny = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tiny)


@pytest.fixture(scope="module")
def with_registers(tmp_path_factory):
    return tiny.tiny_dinov2_with_registers(tmp_path_factory.mktemp("models") / "with-registers")


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A random DINOv2 of 4 x 4 patches whose patch in row 1, column 2 has a huge position embedding."""
    from transformers import Dinov2Model

    folder = tiny.tiny_dinov2(tmp_path_factory.mktemp("models") / "planted")
    model = Dinov2Model.from_pretrained(folder)
    model.embeddings.position_embeddings.data[0, 1 + 4 + 2] *= 400
    model.save_pretrained(folder)
    return folder


def test_tokens_tells_every_layer_and_writes_an_image(dinoclip, scenes, tmp_path):
    out = tmp_path / "new" / "tokens.png"
    done = dinoclip("tokens", scenes[0], "--out", out, "--size", 96, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json.keys() == {"image", "encoder", "grid", "layers", "artefacts", "registers", "out"}
    assert (done.json["encoder"], done.json["grid"], done.json["registers"]) == ("playground-dino", [12, 12], 0)
    assert [layer["layer"] for layer in done.json["layers"]] == [1, 2, 3, 4, 5, 6]
    for layer in done.json["layers"]:
        assert layer.keys() == {"layer", "mean", "median", "min", "max"}
        assert 0 < layer["min"] <= layer["median"] <= layer["max"]
    assert done.json["artefacts"] == []
    assert Image.open(out).width > 4 * 192


def test_planted_tokens_are_told_with_their_places(dinoclip, scenes, planted, tmp_path):
    done = dinoclip("tokens", scenes[0], "--out", tmp_path / "a.png", "--encoder", planted, "--size", 56, "--json")
    assert [(token["row"], token["column"]) for token in done.json["artefacts"]] == [(1, 2)]
    token, side = done.json["artefacts"][0], Image.open(scenes[0]).width / 4
    assert (token["x"], token["y"]) == (2.5 * side, 1.5 * side)
    assert token["norm"] == done.json["layers"][-1]["max"]
    told = dinoclip("tokens", scenes[0], "--out", tmp_path / "b.png", "--encoder", planted, "--size", 56).out
    assert "1 artefact token of 16:" in told and "row 1, column 2: norm" in told
    none = dinoclip("tokens", scenes[0], "--out", tmp_path / "c.png", "--encoder", planted, "--size", 56, "--ratio", 99)
    assert "0 artefact tokens of 16" in none.out


def test_two_models_stand_side_by_side_with_their_attention(dinoclip, scenes, with_registers, tmp_path):
    out = tmp_path / "both.png"
    words = ["tokens", scenes[0], "--out", out, "--compare-with", with_registers, "--size", 84, "--attention"]
    done = dinoclip(*words, "--scale", "layer", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["compared"]["encoder"] == str(with_registers)
    assert (done.json["compared"]["registers"], done.json["compared"]["grid"]) == (4, [6, 6])
    alone = dinoclip(*words[:4], "--size", 84, "--attention", "--json")
    assert alone.json["layers"] == done.json["layers"]
    told = dinoclip(*words).out
    assert "0 register tokens" in told and "4 register tokens" in told and told.count("artefact token") == 2


def test_tokens_says_what_it_cannot_use(dinoclip, scenes, tmp_path):
    out = ["--out", tmp_path / "tokens.png"]
    dinoclip("tokens", tmp_path / "none.png", *out).refused("none.png", "no such file")
    dinoclip("tokens", scenes[0], *out, "--encoder", "pixels").refused("pixels", "is not a vision transformer")
    dinoclip("tokens", scenes[0], *out, "--encoder", "dinov2-smal").refused("dinov2-small")
    dinoclip("tokens", scenes[0], *out, "--size", 4).refused("size=4")
    dinoclip("tokens", scenes[0], *out, "--ratio", 1).refused("ratio=1.0", "above 1")
    dinoclip("tokens", scenes[0], *out, "--scale", "each").refused("each")
    dinoclip("tokens", scenes[0]).refused("--out")
    assert not (tmp_path / "tokens.png").exists()
