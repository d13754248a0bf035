"""Training: convergence, exact resumption, and equality of one and two processes."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dinoclip_viz.projector import Projector
from dinoclip_viz.store import StoreError
from dinoclip_viz.store.settings import sha256
from dinoclip_viz.training import RECIPES, Pairs, find_recipe, fit_projector, pick_stores
from dinoclip_viz.training.loop import Loop
from tests.made_stores import CLIP, DINO, pair

SMALL = find_recipe("best", hidden=16, batch=64, epochs=4, holdout=60, patch_epochs=0, noise=0.05)
TWO = find_recipe(SMALL, cosine=0.0, relation=0.0, clip=1e-9, epochs=12, rate=1e-2)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return pair(tmp_path_factory.mktemp("stores"), 600)


@pytest.mark.parametrize(
    "recipe",
    [
        find_recipe(SMALL, epochs=12),
        find_recipe("dinov2-clip", hidden=16, blocks=1, batch=64, epochs=12, rate=5e-3, inputs="mean"),
        replace(TWO, name="clip", clip=1.0, head="mlp", learn_temperature=True),
        replace(TWO, name="siglip", siglip=1.0, head="linear", average="epochs"),
        find_recipe(SMALL, name="gated", head="gated", epochs=12, average="none"),
        find_recipe("text-to-patch", batch=64, epochs=12, holdout=60, rate=1e-2),
    ],
    ids=lambda recipe: recipe.name,
)
def test_every_recipe_learns_to_retrieve_held_out_images(stores, recipe):
    projector, history = fit_projector(*stores, recipe=recipe)
    best = max(row["image_to_text_R@1"] + row["text_to_image_R@1"] for row in history) / 2
    assert best > 5 / 60  # chance is 1/60
    assert projector.side == recipe.side
    assert not any(weights.requires_grad for weights in projector.parameters())
    assert {"epoch", "loss", "rate", "image_to_text_share"} <= history[0].keys()


def test_the_best_epoch_is_what_comes_back(stores):
    projector, history = fit_projector(*stores, recipe=replace(SMALL, epochs=6))
    held = Pairs(*stores, holdout=60).held_out()
    from dinoclip_viz.training.fit import score_pairs

    found = score_pairs(projector, held)
    best = max(history, key=lambda row: row["image_to_text_R@1"] + row["text_to_image_R@1"])
    assert found["image_to_text_R@1"] == best["image_to_text_R@1"]


def test_training_stops_when_retrieval_falls(stores):
    _, history = fit_projector(*stores, recipe=replace(SMALL, epochs=40, rate=2.0, patience=2))
    scores = [row["image_to_text_R@1"] + row["text_to_image_R@1"] for row in history]
    assert len(history) < 40
    assert int(np.argmax(scores)) == len(history) - 3


def test_the_folder_holds_weights_settings_record_and_no_time(stores, tmp_path):
    projector, history = fit_projector(*stores, recipe=SMALL, folder=tmp_path / "p")
    loaded = Projector.from_pretrained(str(tmp_path / "p"))
    x = torch.randn(3, 24)
    torch.testing.assert_close(loaded(x), projector(x))
    assert (loaded.image_encoder, loaded.text_encoder, loaded.inputs) == (DINO, CLIP, "pooled+mean")
    record = json.loads((tmp_path / "p" / "training.json").read_text())
    assert record["history"] == history
    assert record["recipe"]["name"] == "best"
    assert not any("time" in name or "second" in name for name in json.dumps(record).split('"'))


def test_another_recipe_in_the_same_folder_is_refused(stores, tmp_path):
    fit_projector(*stores, recipe=replace(SMALL, epochs=1), folder=tmp_path / "p")
    with pytest.raises(ValueError, match=r"holds a run with other settings \(see run.json\)"):
        fit_projector(*stores, recipe=SMALL, folder=tmp_path / "p")
    other = pair(tmp_path / "other", 100)
    with pytest.raises(ValueError, match=r"holds a run with other stores"):
        fit_projector(*other, recipe=replace(SMALL, epochs=1), folder=tmp_path / "p")


def test_fine_tuning_starts_from_the_trained_projector(stores, tmp_path):
    first, history = fit_projector(*stores, recipe=replace(SMALL, epochs=6), folder=tmp_path / "a")
    still = replace(SMALL, epochs=1, rate=1e-9, average="none")
    tuned, again = fit_projector(*stores, recipe=still, init=tmp_path / "a")
    x = torch.randn(5, 24)
    torch.testing.assert_close(tuned(x), first(x), atol=1e-4, rtol=1e-4)
    assert again[0]["cosine"] == pytest.approx(max(row["cosine"] for row in history[-3:]), abs=0.02)
    words = (
        "has another head than the recipe: found residual-mlp of .* parameters on 'pooled\\+mean'; expected linear of"
    )
    for patch_epochs in (0, 1):
        with pytest.raises(ValueError, match=words):
            fit_projector(*stores, recipe=replace(SMALL, head="linear", patch_epochs=patch_epochs), init=first)


def test_fine_tuning_takes_a_projector_with_a_patch_head_or_without(tmp_path):
    stores = pair(tmp_path, 200, patches=True)
    with_patches = replace(SMALL, epochs=1, patch_epochs=1, patch_batch=60)
    first, _ = fit_projector(*stores, recipe=with_patches)
    still = {"rate": 1e-9, "patch_rate": 1e-9, "average": "none"}
    tuned, _ = fit_projector(*stores, recipe=replace(with_patches, **still), init=first)
    alone, _ = fit_projector(*stores, recipe=replace(SMALL, epochs=1, **still), init=first)
    x, patches = torch.randn(5, 24), torch.randn(5, 12)
    torch.testing.assert_close(tuned(x), first(x), atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(alone(x), first(x), atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(tuned.project_patches(patches), first.project_patches(patches), atol=1e-2, rtol=1e-2)
    assert alone.patch_head is None


def test_averaging_epochs_is_the_mean_of_their_weights():
    layer = torch.nn.Linear(2, 1)
    from dinoclip_viz.training.processes import Processes

    loop = Loop(layer, 3, 1, 1e-2, 0.0, "epochs", 2, None, Processes())
    seen = []
    for _ in range(3):
        for _ in loop.run():
            loop.update((layer(torch.ones(1, 2)) - 3).square().sum())
        seen.append(layer.weight.detach().clone())
        together = loop.weights()["weight"]
        torch.testing.assert_close(together, torch.stack(seen[-2:]).mean(0))
        loop.end_epoch({}, 0.0, 0)


CODE = """
import sys, torch
from dataclasses import replace
from dinoclip_viz.training import find_recipe, fit_projector
import dinoclip_viz.training.loop as loop
loop._SAVE_SECONDS = 0.0
torch.set_num_threads(1)
recipe = find_recipe(
    "best", hidden=16, batch=32, epochs=5, rate=2e-3, holdout=60, noise=0.05, patch_epochs=2, patch_batch=60, half=False
)
fit_projector({images!r}, {targets!r}, recipe=recipe, folder={folder!r})
"""


def results(folder):
    return {
        f.name: sha256(f) for f in folder.iterdir() if f.name in ("model.safetensors", "training.json", "config.json")
    }


def test_a_run_that_was_killed_goes_on_to_the_same_bits(tmp_path):
    stores = [str(store.path) for store in pair(tmp_path, 600, patches=True)]
    code = {
        name: CODE.format(images=stores[0], targets=stores[1], folder=str(tmp_path / name)) for name in ("whole", "cut")
    }
    subprocess.run([sys.executable, "-c", code["whole"]], check=True)
    for wait in ("checkpoint.pt", "checkpoint-patches.pt"):
        process = subprocess.Popen([sys.executable, "-c", code["cut"]])
        while not (tmp_path / "cut" / wait).exists() and process.poll() is None:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([sys.executable, "-c", code["cut"]], check=True)
    assert results(tmp_path / "cut") == results(tmp_path / "whole")
    assert len(results(tmp_path / "cut")) == 3


def test_two_processes_train_what_one_does(tmp_path):
    stores = [str(store.path) for store in pair(tmp_path, 600, patches=True)]
    for name, words in (("one", []), ("two", ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"])):
        script = tmp_path / f"{name}.py"
        script.write_text(CODE.format(images=stores[0], targets=stores[1], folder=str(tmp_path / name)))
        subprocess.run([sys.executable, *words, str(script)], check=True, capture_output=True, cwd=ROOT, timeout=200)
    one, two = (Projector.from_pretrained(str(tmp_path / name)) for name in ("one", "two"))
    x, patches = torch.randn(20, 24), torch.randn(20, 12)
    torch.testing.assert_close(one(x), two(x), atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(one.project_patches(patches), two.project_patches(patches), atol=2e-3, rtol=2e-3)


def test_the_patch_head_follows_the_teachers_patches(tmp_path):
    stores = pair(tmp_path, 300, patches=True)
    recipe = replace(SMALL, epochs=1, patch_epochs=12, patch_batch=120, patch_rate=5e-3, guided=0.0)
    projector, history = fit_projector(*stores, recipe=recipe)
    last = [row for row in history if "stage" in row][-1]
    assert last["patch_cosine"] > 0.9
    grids = torch.from_numpy(stores[0].patches[290:].astype(np.float32))
    wanted = torch.from_numpy(stores[1].dense[290:].astype(np.float32))
    assert torch.cosine_similarity(projector.project_patches(grids), wanted, dim=-1).mean() > 0.9


def test_a_patch_head_needs_patches(stores):
    with pytest.raises(StoreError, match="has no patches; embed the source again with --patches full"):
        fit_projector(*stores, recipe=replace(SMALL, epochs=1, patch_epochs=1))


def test_stores_that_do_not_belong_together_are_named(tmp_path, stores):
    other = pair(tmp_path / "other", 500)
    with pytest.raises(StoreError, match=r"made-dino holds 600 images and .*made-clip 500"):
        fit_projector(stores[0], other[1], recipe=SMALL)
    with pytest.raises(
        StoreError, match=r"the captions in .* are vectors of 'made-clip', the targets .* of 'made-dino'"
    ):
        fit_projector(stores[1], stores[0], recipe=SMALL)


def test_an_image_without_caption_is_named(tmp_path):
    stores = pair(tmp_path, 100, bare=(7, 9))
    with pytest.raises(StoreError, match=r"2 of 100 images in .* have no caption, row 7 first"):
        fit_projector(*stores, recipe=SMALL)
    _, history = fit_projector(*stores, recipe=find_recipe("dinov2-clip", hidden=8, blocks=1, epochs=1, batch=16))
    assert history[0]["cosine"] != 0


def test_captions_of_a_batch_are_the_images_own(stores):
    pairs = Pairs(*stores, holdout=60)
    rows = np.array([5, 3, 200])
    batch = pairs.batch(rows, 2, np.random.default_rng(0))
    assert batch.owners.tolist() == [0, 0, 1, 1, 2, 2]
    owners = stores[1].text_to_image
    texts = np.asarray(stores[1].texts, np.float32)
    for text, owner in zip(batch.texts.numpy(), batch.owners.tolist(), strict=True):
        found = np.flatnonzero((texts == text).all(1))
        assert owners[found[0]] == rows[owner]


def test_held_out_images_are_never_trained_on(stores):
    pairs = Pairs(*stores, holdout=60)
    orders = [pairs.order(0, epoch) for epoch in range(2)]
    assert sorted(orders[0].tolist()) == list(range(540))
    assert orders[0].tolist() != orders[1].tolist()
    assert len(pairs.held_out().pooled) == 60


def test_stores_are_found_in_one_folder(stores):
    folder = stores[0].path.parent
    images, targets = pick_stores(folder, folder)
    assert (images.settings.encoder, targets.settings.encoder) == (DINO, CLIP)
    with pytest.raises(StoreError, match="name the one store whose features go in"):
        pick_stores(stores[1].path, stores[1].path)


def test_unknown_recipes_and_settings_list_the_known_ones():
    with pytest.raises(ValueError, match="there is no recipe 'fast'; expected one of dinov2-clip, best"):
        find_recipe("fast")
    with pytest.raises(ValueError, match="a recipe has no setting 'speed'; it has name, side"):
        find_recipe("best", speed=3)
    with pytest.raises(ValueError, match="has no loss"):
        find_recipe("best", cosine=0.0, relation=0.0, clip=0.0)
    assert RECIPES["dinov2-clip"].head == "projector-with-residuals"
