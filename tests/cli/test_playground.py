"""`dinoclip playground draw`, `train` and `measure`."""

import json
import logging

import numpy as np
from PIL import Image

from dinoclip_viz import playground


def test_draw_writes_the_files_that_others_rely_on(dinoclip, tmp_path):
    folder = tmp_path / "new" / "scenes"
    words = ["--seed", 1234, "--count", 3, "--size", 64, "--objects", 2, "--out", folder]
    done = dinoclip("playground", "draw", *words, "--json")
    assert (done.code, done.err, done.json["scenes"]) == (0, "", 3)
    known = json.loads((folder / "scenes.json").read_text())
    assert known["classes"] == list(playground.CLASSES)
    assert known["parts"] == list(playground.PARTS)
    scenes = playground.draw(seed=1234, count=3, size=64, objects=2)
    for index, (row, scene) in enumerate(zip(known["scenes"], scenes, strict=True)):
        name = f"{index:06d}.png"
        assert (row["image"], row["mask"], row["parts"]) == (f"images/{name}", f"masks/{name}", f"parts/{name}")
        assert row["captions"] == scene.captions
        assert row["objects"] == scene.objects
        assert np.array_equal(np.asarray(Image.open(folder / row["image"])), np.asarray(scene.image))
        for place, truth in (("masks", scene.mask), ("parts", scene.parts), ("instances", scene.instances)):
            written = np.asarray(Image.open(folder / place / name))
            assert written.dtype == np.uint8
            assert np.array_equal(written, truth)
        seen = {verb for verb, mask in zip(playground.ACTIONS, scene.affordances, strict=True) if mask.any()}
        assert set(row["affordances"]) == seen
        for verb, file in row["affordances"].items():
            mask = scene.affordances[list(playground.ACTIONS).index(verb)]
            assert np.array_equal(np.asarray(Image.open(folder / file)), mask * 255)
        depth = np.asarray(Image.open(folder / "depth" / name))
        assert depth.dtype == np.uint16
        assert np.abs(depth / 1000 - scene.depth).max() < 0.001


def test_draw_says_what_it_cannot_draw_and_leaves_no_folder(dinoclip, tmp_path):
    folder = tmp_path / "scenes"
    dinoclip("playground", "draw", "--size", 4, "--out", folder).refused("4 pixels", "16 to 2048")
    dinoclip("playground", "draw", "--seed", -1, "--out", folder).refused("seed is -1")
    dinoclip("playground", "draw", "--objects", 9, "--out", folder).refused("objects is 9")
    dinoclip("playground", "draw", "--world", 3, "--out", folder).refused("world is 3", "expected 1 or 2")
    dinoclip("playground", "draw", "--domain", "dusk", "--out", folder).refused("'dusk'", "outline")
    assert not folder.exists()
    folder.write_text("a file")
    dinoclip("playground", "draw", "--out", folder).refused("a file", "expected a folder")


def test_draw_follows_world_and_domain(dinoclip, tmp_path):
    words = ["--seed", 1234, "--count", 2, "--size", 48, "--world", 2, "--domain", "blur", "--out", tmp_path / "new"]
    assert dinoclip("playground", "draw", *words).code == 0
    known = json.loads((tmp_path / "new" / "scenes.json").read_text())
    for row, scene in zip(known["scenes"], playground.draw(1234, 2, 48, world=2, domain="blur"), strict=True):
        assert row["captions"] == scene.captions and len(scene.captions) == 7
        assert np.array_equal(np.asarray(Image.open(tmp_path / "new" / row["image"])), np.asarray(scene.image))


def test_train_runs_the_recipe_and_shows_its_progress(dinoclip, tmp_path, monkeypatch):
    from dinoclip_viz.playground.recipe import train

    def train_all(job, only, install):
        logging.getLogger("dinoclip_viz.playground.recipe").info("step 1")
        told = f"{job.threads} {job.device} {job.again} {job.layouts} {job.scale} {only} {install}"
        return {"playground-dino": f"{job.folder}/dino", "told": told}

    monkeypatch.setattr(train, "train_all", train_all)
    options = ["--threads", 3, "--device", "cpu", "--continue", "--layouts", 7, "--scale", 0.5, "--only", "dino"]
    done = dinoclip("playground", "train", "--out", tmp_path / "run", *options, "--json")
    assert done.code == 0
    told = "3 cpu True 7 0.5 ['dino'] False"
    assert done.json["models"] == {"playground-dino": f"{tmp_path}/run/dino", "told": told}
    assert "step 1" in done.err


def test_measure_prints_every_figure(dinoclip, monkeypatch):
    from dinoclip_viz.playground.recipe import measure

    def measure_all(seed, count, device, dtype):
        return {"a": {"b": 0.5, "count": count}, "seed": seed}

    monkeypatch.setattr(measure, "measure_all", measure_all)
    words = ["playground", "measure", "--seed", 5000, "--count", 50]
    assert dinoclip(*words, "--json").json == {"a": {"b": 0.5, "count": 50}, "seed": 5000}
    assert [line.split() for line in dinoclip(*words).out.splitlines()] == [
        ["a.b", "0.5000"],
        ["a.count", "50"],
        ["seed", "5000"],
    ]


def test_measure_refuses_scenes_that_were_trained_on(dinoclip):
    dinoclip("playground", "measure", "--seed", 999).refused("999", "1000")
