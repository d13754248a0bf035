"""Training, saving and loading, and the map of a verb that was never trained."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import dinoclip_viz as dv
from dinoclip_viz import AffordanceExample, fit_affordance, load_affordance
from dinoclip_viz.affordance.fitting import AffordanceRecipe
from dinoclip_viz.affordance.metrics import average_precision
from dinoclip_viz.affordance.model import AffordanceModel
from dinoclip_viz.affordance.neighbours import transfer_labels
from dinoclip_viz.affordance.views import ViewSettings
from dinoclip_viz.data.affordances.drawn import DrawnAffordances
from dinoclip_viz.encoders import EncoderError, SpaceError

VIEWS = ViewSettings(size=96, count=2, mosaic=0, colour=0)
QUICK = AffordanceRecipe(steps=60, noise=0, size=96, views=VIEWS)


def drawn(*classes):
    return [AffordanceExample(one.image, one.targets, one.name) for one in DrawnAffordances().examples(3, classes)]


@pytest.fixture(scope="module")
def examples():
    return drawn("knife", "chair")


@pytest.fixture(scope="module")
def model(examples):
    return fit_affordance(examples, recipe=QUICK)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return model.save(tmp_path_factory.mktemp("affordance") / "model")


def test_a_trained_map_finds_the_part_in_its_own_example(model, examples):
    knife = examples[0]
    maps = model.predict(knife.image, ["cut", "hold"])
    assert maps.shape == (2, 192, 192) and maps.dtype == np.float32
    assert maps.min() >= 0 and maps.max() <= 1
    for values, verb in zip(maps, ("cut", "hold"), strict=True):
        assert average_precision(values, knife.masks[verb]) > 0.6
    cosine = (maps[0] * maps[1]).sum() / np.linalg.norm(maps[0]) / np.linalg.norm(maps[1])
    assert cosine < 0.5
    assert model.verbs == ("hold", "cut", "sit on", "lean on")


def test_the_film_head_learns_as_well(examples):
    recipe = AffordanceRecipe(rate=1e-2, noise=0, weight=1, size=96, views=VIEWS)
    losses = []
    fit_affordance(examples, head="film", steps=40, recipe=recipe, progress=lambda *at: losses.append(at))
    assert [at[:2] for at in losses] == [(step, 40) for step in range(1, 41)]
    assert losses[-1][2] < 0.3 * losses[0][2]


def test_the_same_seed_gives_the_same_model(examples):
    one, other, third = (
        fit_affordance(examples[:1], "playground-dino", "playground-clip", steps=2, seed=seed, recipe=QUICK)
        for seed in (0, 0, 1)
    )
    image = examples[0].image
    assert np.array_equal(one.predict(image, "cut"), other.predict(image, "cut"))
    assert not np.array_equal(one.predict(image, "cut"), third.predict(image, "cut"))


def test_training_leaves_the_random_numbers_of_others_alone(examples):
    torch.manual_seed(4)
    expected = torch.rand(2)
    torch.manual_seed(4)
    fit_affordance(examples[:1], steps=1, recipe=QUICK)
    assert torch.equal(torch.rand(2), expected)


def test_a_saved_model_predicts_the_same(model, folder, examples):
    loaded = load_affordance(folder, "cpu")
    assert loaded.settings == model.settings
    one, other = (each.predict(examples[0].image, ["cut", "sit on"]) for each in (model, loaded))
    assert np.abs(one - other).max() < 0.02  # float16
    assert "hold, cut" in (folder / "README.md").read_text()


def test_no_vector_of_a_verb_is_saved_and_another_verb_has_an_effect_after_loading(folder, examples):
    saved = load_file(folder / "model.safetensors")
    assert {name for name in saved if not name.startswith("head.")} == {"words.context", "words.centre"}
    assert all(value.dtype == torch.float16 for value in saved.values())
    loaded = load_affordance(folder, "cpu")
    trained, new, same = (loaded.predict(examples[0].image, verb) for verb in ("cut", "wobble", "cut"))
    assert np.array_equal(trained, same)
    assert np.abs(trained - new).max() > 0.05
    swapped = json.loads((folder / "config.json").read_text())
    assert swapped["verbs"] == ["hold", "cut", "sit on", "lean on"]


def test_maps_have_the_size_of_any_image(model):
    tall = np.zeros((90, 40, 3), np.uint8)
    assert model.predict(tall, ["cut"], sharp=None).shape == (1, 90, 40)
    assert model.predict(tall, "cut", size=192).shape == (1, 90, 40)


def test_features_of_another_encoder_are_refused(model, examples):
    features = model.encode(examples[0].image)
    assert model.patch_maps(features, ["cut", "hold"]).shape == (1, 2, 12, 12)
    other = dv.encoders.layers.encode_layers("playground-clip", examples[0].image, 3)
    with pytest.raises(SpaceError, match="playground-clip/patches"):
        model.patch_maps(other, ["cut"])


def test_the_sharpness_multiplies_the_answers_before_the_probabilities(model, examples):
    features = model.encode(examples[0].image)
    soft, sharp = (
        AffordanceModel(model.encoder, model.words, model.head, replace(model.settings, sharpness=factor))
        for factor in (1.0, 2.0)
    )
    expected = torch.sigmoid(2 * torch.logit(soft.patch_maps(features, ["cut", "hold"]).double(), eps=1e-12))
    torch.testing.assert_close(sharp.patch_maps(features, ["cut", "hold"]).double(), expected, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="sharpness 0"):
        replace(model.settings, sharpness=0)


def test_bad_input_gets_one_line(model, examples, tmp_path):
    image = examples[0].image
    for bad, words in (([], "found no verbs"), (["cut", " "], "verb 2 of 2 is ' '")):
        with pytest.raises(ValueError, match=words):
            model.predict(image, bad)
    with pytest.raises(ValueError, match="smooth"):
        model.predict(image, "cut", sharp="smooth")
    with pytest.raises(ValueError, match="found no examples"):
        fit_affordance([])
    with pytest.raises(ValueError, match="without a mask"):
        fit_affordance([AffordanceExample(image, {})])
    with pytest.raises(ValueError, match=r"example 0, verb 'cut': a mask of shape \(3, 3\); expected \(192, 192\)"):
        fit_affordance([AffordanceExample(image, {"cut": np.ones((3, 3))})])
    with pytest.raises(ValueError, match="values from 0 to 255; expected bool, or 0 to 1"):
        fit_affordance([AffordanceExample(image, {"cut": np.eye(192) * 255})])
    with pytest.raises(ValueError, match="no head 'mlp'; expected one of ooal, film"):
        fit_affordance(examples, head="mlp", recipe=QUICK)
    with pytest.raises(ValueError, match="steps=0"):
        fit_affordance(examples, steps=0)
    with pytest.raises(EncoderError, match="not a vision transformer"):
        fit_affordance(examples, encoder="pixels", recipe=QUICK)
    with pytest.raises(ValueError, match="sampled 2"):
        AffordanceRecipe(sampled=2)


def test_folders_that_hold_no_model_are_refused_in_one_line(folder, tmp_path):
    with pytest.raises(EncoderError, match="no folder"):
        load_affordance(tmp_path / "gone")
    with pytest.raises(EncoderError, match="has no affordance model"):
        load_affordance(tmp_path)
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "config.json").write_text('{"kind": "projector"}')
    with pytest.raises(EncoderError, match="not that of an affordance model"):
        load_affordance(copy)
    (copy / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(EncoderError, match="cannot be read"):
        load_affordance(copy)
    tensors = load_file(folder / "model.safetensors")
    tensors.pop("words.centre")
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(EncoderError, match=r"does not fit its config.json"):
        load_affordance(copy)


def test_labels_of_the_nearest_patches_are_those_of_the_example_itself(examples):
    transfer = transfer_labels(examples, size=96)
    knife = examples[0]
    maps = transfer.predict(knife.image, ["cut", "sit on"], sharp=None)
    assert maps.shape == (2, 192, 192)
    assert average_precision(maps[0], knife.masks["cut"]) > 0.8
    assert maps[1].max() < 0.5 < maps[0].max()
    with pytest.raises(ValueError, match="'slice' is not annotated; expected some of hold, cut, sit on, lean on"):
        transfer.predict(knife.image, "slice")
