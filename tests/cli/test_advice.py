"""A photograph before a playground model brings one line with the very command for real models."""

import shlex

import numpy as np
import pytest
from PIL import Image

COMMANDS = {
    "classify": ["--labels", "a cat,a dog"],
    "heatmap": ["--prompt", "a cat", "--out", "map.png"],
    "pca": ["--out", "pca.png"],
    "match": ["--out", "match.png"],
    "tokens": ["--out", "tokens.png"],
}


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "my photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)).save(path)
    return str(path)


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_command_is_the_one_typed_with_a_real_model(verb, dinoclip, photograph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = [photograph] * (2 if verb == "match" else 1)
    done = dinoclip(verb, *images, *COMMANDS[verb], "--json")
    lines = [line for line in done.err.splitlines() if "for photographs:" in line]
    assert done.code == 0 and len(lines) == 1
    command, _, rest = lines[0].partition("for photographs: ")[2].rpartition(" (download: ")
    words = shlex.split(command)
    option = ["--model", "clip-vit-base-patch16"] if verb in ("classify", "heatmap") else ["--encoder", "dinov2-small"]
    assert words == ["dinoclip", verb, *images, *COMMANDS[verb], "--json", *option]
    assert rest in ("about 0.6 GB, MIT)", "about 90 MB, Apache-2.0)")


def test_a_named_playground_model_is_replaced_in_the_command(dinoclip, photograph):
    done = dinoclip("classify", photograph, "--labels", "a,b", "--model=playground-clip")
    assert "--labels a,b --model clip-vit-base-patch16 (" in done.err and "playground-clip knows" in done.err


def test_scenes_of_the_playground_bring_no_line(dinoclip, tmp_path):
    dinoclip("playground", "draw", "--seed", "1010", "--count", "1", "--size", "96", "--out", str(tmp_path / "drawn"))
    scene = str(tmp_path / "drawn" / "images" / "000000.png")
    assert dinoclip("classify", scene, "--labels", "cat,tree").err == ""


def test_twelve_bits_without_levels_warn_in_one_line(dinoclip, tmp_path):
    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(tmp_path / "deep.png")
    done = dinoclip("classify", str(tmp_path / "deep.png"), "--labels", "a,b")
    lines = [line for line in done.err.splitlines() if "warning" in line]
    assert done.code == 0 and len(lines) == 1 and "option --levels" in lines[0]
