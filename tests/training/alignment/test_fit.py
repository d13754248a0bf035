"""Training of both sides: every recipe learns, equal captions are no negatives, runs resume, bad stores are named."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import dinoclip_viz as dv
from dinoclip_viz.projector import Projector
from dinoclip_viz.store import StoreError
from dinoclip_viz.tasks.retrieval.stored import stored_images, stored_texts
from dinoclip_viz.training import find_recipe, fit_projector, save_card
from dinoclip_viz.training.alignment.data import Aligned
from dinoclip_viz.training.alignment.fit import PairLoss, score_aligned
from tests.made_stores import WORDS, pair, unimodal

QUICK = {"batch": 64, "epochs": 12, "holdout": 30}
RECIPES = {
    "freeze-align": {**QUICK, "outputs": 16, "rate": 3e-3},
    "sail": {**QUICK, "outputs": 16, "rate": 5e-3},
    "sharelock": {**QUICK, "text_hidden": 32, "rate": 3e-3, "epochs": 25},
    "procrustes": {"holdout": 30},
    "cca": {"holdout": 30},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return unimodal(tmp_path_factory.mktemp("one"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_of_both_sides_retrieves_held_out_images(store, tmp_path, name):
    recipe = find_recipe(name, **RECIPES[name])
    made, history = fit_projector(store, store, recipe=recipe, folder=tmp_path / "p")
    best = max(row["image_to_text_R@1"] + row["text_to_image_R@1"] for row in history) / 2
    assert best > 6 / 30, history[-1]  # chance is 1/30
    assert (made.side, made.image_encoder, made.text_encoder) == ("both", "made", WORDS)
    assert not any(weights.requires_grad for weights in made.parameters())
    found = score_aligned(made, Aligned(store, store, recipe))
    assert (found["image_to_text_R@1"] + found["text_to_image_R@1"]) / 2 == pytest.approx(best)
    loaded = Projector.from_pretrained(str(tmp_path / "p"))
    assert torch.equal(stored_images(loaded, store), stored_images(made, store))
    assert torch.equal(stored_texts(loaded, store), stored_texts(made, store))
    record = json.loads((tmp_path / "p" / "training.json").read_text())
    assert record["history"] == history and record["stores"]["targets"]["encoder"] == WORDS
    card = save_card(tmp_path / "p").read_text()
    assert f"An image-text model of made and {WORDS}" in card and "| image to text R@1 |" in card


def test_sharelock_leaves_images_as_they_are(store):
    made, _ = fit_projector(store, store, recipe=find_recipe("sharelock", **{**RECIPES["sharelock"], "epochs": 1}))
    torch.testing.assert_close(stored_images(made, store), torch.tensor(np.array(store.pooled)).float())


def test_an_interrupted_run_gives_the_weights_of_an_uninterrupted_one(store, tmp_path):
    recipe = find_recipe("freeze-align", **{**RECIPES["freeze-align"], "epochs": 3})
    whole, history = fit_projector(store, store, recipe=recipe, folder=tmp_path / "whole")

    def stop(record):
        if record["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_projector(store, store, recipe=recipe, folder=tmp_path / "parts", watch=stop)
    resumed, again = fit_projector(store, store, recipe=recipe, folder=tmp_path / "parts")
    assert again == history
    for name, weights in whole.state_dict().items():
        assert torch.equal(weights, resumed.state_dict()[name]), name
    with pytest.raises(ValueError, match=r"holds a run with other settings \(see run.json\)"):
        fit_projector(store, store, recipe=replace(recipe, mask_equal=False), folder=tmp_path / "parts")


def test_the_temperature_divides_and_is_clamped_as_published():
    loss = PairLoss(find_recipe("freeze-align"))
    assert loss.scale.item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        loss.start.fill_(2.0)
    assert loss.scale.item() == pytest.approx(1 / 0.5)
    sail = PairLoss(find_recipe("sail"))
    assert (sail.scale.item(), sail.bias.item()) == (pytest.approx(20), -10)


def test_equal_captions_are_masked_unless_the_recipe_forbids_it(tmp_path):
    store = unimodal(tmp_path, images=40, equal=True)
    recipe = find_recipe("freeze-align", **{**RECIPES["freeze-align"], "outputs": 8, "holdout": 4, "captions": 1})
    data = Aligned(store, store, recipe)
    batch = data.batch(np.arange(4), np.random.default_rng(0))
    assert batch.captions[0] == batch.captions[1]
    assert len(batch.captions.unique()) == 3
    images, texts = torch.randn(4, 8), torch.randn(4, 8)
    logits = torch.nn.functional.normalize(images, dim=1) @ torch.nn.functional.normalize(texts, dim=1).T / 0.07
    total = 0.0
    for row in range(4):
        kept = [other for other in range(4) if {row, other} != {0, 1}]
        total -= (
            logits[row, kept].log_softmax(0)[kept.index(row)] + logits[kept, row].log_softmax(0)[kept.index(row)]
        ) / 8
    assert PairLoss(recipe)(images, texts, batch).item() == pytest.approx(total.item(), rel=1e-5)
    plain = PairLoss(replace(recipe, mask_equal=False))(images, texts, batch).item()
    target = torch.arange(4)
    expected = torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.T, target)
    assert plain == pytest.approx(expected.item() / 2, rel=1e-5)
    assert abs(plain - total.item()) > 1e-3


@pytest.mark.parametrize(
    ("name", "made", "words"),
    [
        ("freeze-align", {"tokens": False}, "no token vectors of its captions; .*--texts made-text --text-tokens"),
        ("freeze-align", {"patches": ""}, "has no patches; expected all of them: .*--patches full"),
        ("freeze-align", {"patches": "2 x 3"}, "patches averaged to 2 x 3; expected all of them: .*--patches full"),
        ("sail", {"images": 1}, "has 1 training images; expected 2 or more"),
    ],
)
def test_stores_that_lack_what_a_recipe_reads_are_named_with_the_option(tmp_path, name, made, words):
    store = unimodal(tmp_path, **{"images": 20, **made})
    with pytest.raises(StoreError, match=words):
        fit_projector(store, store, recipe=name)


def test_stores_that_do_not_fit_together_are_refused(store, tmp_path):
    other = unimodal(tmp_path, images=20, name="other")
    with pytest.raises(StoreError, match=r"300 images and .* 20; expected stores of the same images"):
        fit_projector(store, other, recipe="sail")
    with pytest.raises(StoreError, match=r"2 of 50 images in .* have no caption, row 3 first"):
        bare = pair(tmp_path / "bare", 50, bare=(3, 9))[0]
        fit_projector(bare, bare, recipe="sail")
    with pytest.raises(ValueError, match="init and patches are for the other recipes"):
        fit_projector(store, store, recipe="sail", init=tmp_path)


def test_recipes_of_both_sides_need_a_text_head_and_one_loss():
    with pytest.raises(ValueError, match="text_head ''; expected a head of the texts"):
        find_recipe("sail", text_head="")
    with pytest.raises(ValueError, match="clip or siglip as the one loss"):
        find_recipe("sail", clip=1.0)
    assert dv.RECIPES["freeze-align"].outputs == 1024
