"""Views of annotated images."""

import numpy as np
import pytest
import torch
from PIL import Image

from dinoclip_viz.affordance.example import AffordanceExample, read_examples
from dinoclip_viz.affordance.views import ViewSettings, draw_views, encode_views
from dinoclip_viz.encoders import load_encoder


def annotated(count=3, width=60, height=40):
    """Images that are white exactly where they are annotated."""
    chance, examples = np.random.default_rng(0), []
    for number in range(count):
        mask = np.zeros((height, width), bool)
        top, left = chance.integers(4, 16), chance.integers(4, 30)
        mask[top : top + 18, left : left + 20] = True
        image = Image.fromarray(np.repeat((mask * 255).astype(np.uint8)[..., None], 3, 2))
        examples.append(AffordanceExample(image, {("cut", "hold")[number % 2]: mask}))
    return read_examples(examples)[1]


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_targets_follow_their_images_through_crops_flips_and_mosaics(mosaic):
    settings = ViewSettings(count=4, mosaic=mosaic, colour=0)
    images, targets = draw_views(annotated(), settings, 64, seed=1)
    assert len(images) == len(targets) == 12
    for image, target in zip(images, targets, strict=True):
        white = torch.from_numpy(np.asarray(image.convert("L")) / 255.0)
        assert image.size == (64, 64) and target.shape == (2, 64, 64)
        assert (white - target.amax(0)).abs().mean() < 0.02
        assert target.min() >= 0 and target.max() <= 1


def test_a_crop_keeps_half_of_the_annotated_area_and_the_first_view_is_the_whole_image():
    example = annotated(1)[0]
    images, targets = draw_views([example], ViewSettings(count=9, mosaic=0, least=0.5), 64, seed=0)
    whole = float(example.targets.mean())
    assert float(targets[0].mean()) == pytest.approx(whole, rel=0.02)
    assert np.asarray(images[0]).shape == (64, 64, 3)
    assert all(float(target.mean()) >= 0.45 * whole for target in targets)
    assert len({round(float(target.mean()), 4) for target in targets}) > 5


def test_a_mosaic_holds_annotations_of_several_images():
    _, targets = draw_views(annotated(2), ViewSettings(count=6, mosaic=1, colour=0), 64, seed=2)
    assert sum(bool((target.amax((1, 2)) > 0.9).all()) for target in targets[2:]) >= 5


def test_the_same_seed_gives_the_same_views_and_colours_change_only_pixels():
    examples = annotated()
    one, other = (draw_views(examples, ViewSettings(count=3, colour=1), 32, seed=5) for _ in range(2))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one[0], other[0], strict=True))
    third = draw_views(examples, ViewSettings(count=3, colour=1), 32, seed=6)[0]
    assert any(a.tobytes() != b.tobytes() for a, b in zip(one[0], third, strict=True))
    assert len({np.asarray(image)[..., 0].max() for image in one[0]}) > 1


def test_targets_of_patches_are_means_over_their_pixels():
    encoder = load_encoder("playground-dino")
    views = encode_views(encoder, annotated(1), ViewSettings(size=96, count=1), 2, seed=0)
    target = draw_views(annotated(1), ViewSettings(count=1), 96, seed=0)[1][0]
    assert views.patches.shape == (1, 2, 12, 12, 128) and views.patches.dtype == torch.float16
    assert views.targets[0, 0, 3, 5] == pytest.approx(float(target[0, 24:32, 40:48].mean()), abs=1e-5)


def test_the_usual_side_is_twice_the_published_size_but_not_below_it():
    class Published:
        size = 518

    assert ViewSettings().side(load_encoder("playground-dino")) == 192
    assert ViewSettings().side(Published()) == 518
    assert ViewSettings(size=64).side(Published()) == 64
