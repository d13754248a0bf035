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


def test_tokens_tells_every_layer_and_writes_a_picture(dinoclip, scenes, tmp_path):
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


def test_a_lower_ratio_finds_tokens_and_says_where(dinoclip, scenes, tmp_path):
    from dinoclip_viz.encoders import load_encoder
    from dinoclip_viz.encoders.inside import look_inside
    from dinoclip_viz.images import load_image
    from dinoclip_viz.tasks.tokens import artefact_tokens

    places = []
    for number, scene in enumerate(scenes):
        out = tmp_path / f"{number}.png"
        done = dinoclip("tokens", scene, "--out", out, "--ratio", 1.05, "--encoder", "random:playground-dino", "--json")
        norms = look_inside(load_encoder("random:playground-dino"), [load_image(scene)], attention=False).norms[0, -1]
        expected = artefact_tokens(norms, ratio=1.05).nonzero().tolist()
        assert sorted([token["row"], token["column"]] for token in done.json["artefacts"]) == expected
        places += done.json["artefacts"]
    for token in places:
        assert 0 < token["x"] < 224 and 0 < token["y"] < 224 and token["norm"] > 0


def test_two_models_stand_side_by_side_with_their_attention(dinoclip, scenes, with_registers, tmp_path):
    out = tmp_path / "both.png"
    words = ["tokens", scenes[0], "--out", out, "--beside", with_registers, "--size", 84, "--attention"]
    done = dinoclip(*words, "--scale", "layer", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["beside"]["encoder"] == str(with_registers)
    assert (done.json["beside"]["registers"], done.json["beside"]["grid"]) == (4, [6, 6])
    alone = dinoclip(*words[:4], "--size", 84, "--attention", "--json")
    assert alone.json["layers"] == done.json["layers"]
    told = dinoclip(*words).out
    assert "0 register tokens" in told and "4 register tokens" in told and told.count("artefact token") == 2


def test_tokens_says_what_it_cannot_use(dinoclip, scenes, tmp_path):
    out = ["--out", tmp_path / "tokens.png"]
    dinoclip("tokens", tmp_path / "none.png", *out).refused("none.png", "no such file")
    dinoclip("tokens", scenes[0], *out, "--encoder", "pixels").refused("pixels", "no tokens to look at")
    dinoclip("tokens", scenes[0], *out, "--encoder", "dinov2-smal").refused("dinov2-small")
    dinoclip("tokens", scenes[0], *out, "--size", 4).refused("size=4")
    dinoclip("tokens", scenes[0], *out, "--ratio", 1).refused("ratio=1.0", "above 1")
    dinoclip("tokens", scenes[0], *out, "--scale", "each").refused("each")
    dinoclip("tokens", scenes[0]).refused("--out")
    assert not (tmp_path / "tokens.png").exists()
