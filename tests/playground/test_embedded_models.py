"""The embedded models: far above chance on scenes of held-out seeds, and conforming to the encoder contract."""

import pytest
import torch
from transformers import SiglipModel, SiglipVisionModel

from dinoclip_viz import check_image_encoder, check_text_encoder, load_encoder, load_model, load_text_encoder
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.playground import draw
from dinoclip_viz.playground.photographs import PHOTOGRAPHS
from dinoclip_viz.playground.recipe import further_cards, measure
from dinoclip_viz.playground.recipe.text.measure import measure_text
from dinoclip_viz.tasks.probes.knn import knn_accuracy


@pytest.fixture(scope="module")
def scenes():
    return draw(5000, 150, 96, objects=1)


@pytest.mark.parametrize("name", ["playground-dino", "playground-clip", "playground-siglip"])
def test_embedded_encoders_keep_the_contract(name):
    check_image_encoder(load_encoder(name))


@pytest.mark.parametrize("name", ["playground-clip", "playground-siglip", "playground-text"])
def test_embedded_text_encoders_keep_the_contract(name):
    check_text_encoder(load_text_encoder(name))


@pytest.mark.parametrize("name", ["playground-clip", "playground-siglip"])
def test_embedded_image_text_models_name_what_is_drawn(name, scenes):
    assert measure.zero_shot(load_model(name), scenes)["top1_bare_names"] > 0.85


def test_the_vision_tower_of_playground_siglip_loads_alone():
    tower = SiglipVisionModel.from_pretrained(PLAYGROUND / "playground-siglip", dtype=torch.float32)
    pixels = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    whole = SiglipModel.from_pretrained(PLAYGROUND / "playground-siglip", dtype=torch.float32).vision_model
    with torch.no_grad():
        assert torch.equal(tower.eval()(pixels).last_hidden_state, whole.eval()(pixels).last_hidden_state)


def test_playground_text_finds_paraphrases():
    found = measure_text(seed=5001, count=100)
    assert found["R@1"] > 0.9 * found["ceiling"] and found["R@1"] > found["bag_of_words_R@1"] + 0.15


def test_the_cards_of_further_models_are_those_of_the_templates():
    siglip, text = ((PLAYGROUND / name / "README.md").read_text() for name in ("playground-siglip", "playground-text"))
    assert further_cards.SIGLIP in siglip and all(name in siglip for name in PHOTOGRAPHS)
    assert further_cards.TEXT in text and further_cards.TEXT_TRAINING in text and "{" not in siglip + text


def test_neighbours_of_playground_dino_are_of_the_same_class(scenes):
    encoder = load_encoder("playground-dino")
    gallery = draw(5001, 600, 96, objects=1)
    vectors = [encoder.encode([s.image for s in group]).pooled for group in (gallery, scenes)]
    labels = [measure.class_numbers(group) for group in (gallery, scenes)]
    assert knn_accuracy(vectors[0], labels[0], vectors[1], labels[1], (20,))[20] > 0.7


def test_the_first_component_of_playground_dino_is_the_foreground():
    found = measure.pca_foreground(load_encoder("playground-dino"), draw(5002, 40, 192, objects=1))
    assert found["iou"] > 0.65 and found["right_polarity"] > 0.95


def test_heat_maps_of_the_playground_point_at_what_is_named():
    hits = measure.pointing(load_model("playground"), draw(5003, 40, 96))
    assert hits["default"]["hit"] > 0.6 > 3 * hits["chance"]["hit"]
