"""`--levels` stands at every verb that reads images, and does what it says."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz import FeatureStore, playground
from dinoclip_viz.cli.parser import build_parser, levels

READS_NO_IMAGES = {
    "demo", "models", "train", "dedupe", "playground draw", "playground train", "playground measure",
    "evaluate affordance", "evaluate alignment", "evaluate frozen", "evaluate domains", "evaluate propagation",
    "describe", "curate",
}  # fmt: skip


def verbs(parser: argparse.ArgumentParser, before: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield before.strip(), parser
    for action in below:
        for name, one in action.choices.items():
            yield from verbs(one, f"{before} {name}")


def test_every_verb_that_reads_images_has_levels():
    without = {name for name, parser in verbs(build_parser()) if "--levels" not in parser.format_help()}
    assert without == READS_NO_IMAGES


@pytest.mark.parametrize("text", ["", "5", "5,1", "1,1", "a,b", "1,2,3", "nan,1", "0,inf", "Auto"])
def test_what_are_no_levels_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected auto, or LOW,HIGH such as 0,4095"):
        levels(text)


@pytest.fixture
def twelve(tmp_path):
    """A folder of scenes of 12 bits in 16, and one of the same in 8."""
    for name in ("deep", "plain"):
        (tmp_path / name).mkdir()
    for number, scene in enumerate(playground.draw(1010, 3, 96)):
        grey = np.asarray(scene.image.convert("L")).astype(np.uint16)
        Image.fromarray(grey * 16).save(tmp_path / "deep" / f"{number}.png")
        Image.fromarray(np.repeat(grey[..., None].astype(np.uint8), 3, 2)).save(tmp_path / "plain" / f"{number}.png")
    return tmp_path


def close(left: object, right: object) -> bool:
    return np.allclose(np.asarray(left, float), np.asarray(right, float), atol=1e-5)


def test_levels_reach_the_images_of_verbs(dinoclip, twelve):
    deep, plain = (str(twelve / name / "0.png") for name in ("deep", "plain"))
    scores = []
    for image, option in ((deep, ["--levels", "0,4080"]), (plain, [])):
        done = dinoclip("classify", image, "--labels", "cat,tree", "--json", *option)
        assert done.code == 0, done.err
        scores.append(list(done.json["results"][0]["scores"].values()))
    assert close(*scores)
    maps = []
    for image, option in ((deep, ["--levels", "0,4080"]), (plain, [])):
        out = [str(twelve / "map.png"), "--array", str(twelve / "map.npy")]
        assert dinoclip("heatmap", image, "--prompt", "a cat", "--out", *out, *option).code == 0
        maps.append(np.load(twelve / "map.npy"))
    assert close(*maps)


def test_levels_reach_the_images_of_sources_and_belong_to_a_store(dinoclip, twelve):
    for name, option in (("deep", ["--levels", "0,4080"]), ("plain", [])):
        assert dinoclip("embed", str(twelve / name), "--out", str(twelve / f"{name}-store"), *option).code == 0
    deep, plain = (FeatureStore.open(twelve / f"{name}-store") for name in ("deep", "plain"))
    assert close(deep.pooled[:], plain.pooled[:])
    assert (deep.settings.levels, plain.settings.levels) == ("0, 4080", "")
    assert (deep.settings.image_levels, plain.settings.image_levels) == ((0, 4080), None)
    again = dinoclip("embed", str(twelve / "deep"), "--out", str(twelve / "deep-store"), "--levels", "auto")
    assert again.code == 2 and "levels" in again.err
