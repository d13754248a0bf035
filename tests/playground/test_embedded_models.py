"""The embedded models: far above chance on scenes of held-out seeds, and conforming to the encoder contract."""

import pytest

from dinoclip_viz import check_image_encoder, check_text_encoder, load_encoder, load_model
from dinoclip_viz.playground import draw
from dinoclip_viz.playground.recipe import measure
from dinoclip_viz.tasks.probes.knn import knn_accuracy


@pytest.fixture(scope="module")
def scenes():
    return draw(5000, 150, 96, objects=1)


@pytest.mark.parametrize("name", ["playground-dino", "playground-clip"])
def test_embedded_encoders_keep_the_contract(name):
    check_image_encoder(load_encoder(name))


def test_embedded_text_encoder_keeps_the_contract():
    check_text_encoder(load_model("playground-clip").texts)


def test_playground_clip_names_what_is_drawn(scenes):
    assert measure.zero_shot(load_model("playground-clip"), scenes)["top1_bare_names"] > 0.85


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
