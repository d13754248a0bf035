"""Random views: their ranges, their seeds, and their independence of batches."""

import numpy as np
import pytest
import torch
from PIL import Image

from dinoclip_viz import playground
from dinoclip_viz.adapt.nola import views


def generator(*seed):
    return np.random.default_rng(list(seed))


def test_a_view_depends_on_its_generator_only():
    image = playground.draw(1700, 1, 96)[0].image
    one, same, other = (views.strong_view(image, 64, generator(*seed)) for seed in ((1, 2), (1, 2), (1, 3)))
    assert one.shape == (64, 64, 3) and one.dtype == torch.uint8
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_a_view_of_a_batch_depends_on_seed_epoch_and_row_only():
    images = [scene.image for scene in playground.draw(1700, 5, 64)]
    whole = views.strong_views(images, [0, 1, 2, 3, 4], 32, seed=3, epoch=2)
    assert torch.equal(whole[[4, 1]], views.strong_views(images, [4, 1], 32, seed=3, epoch=2))
    assert torch.equal(whole[3], views.strong_view(images[3], 32, generator(3, 2, 3)))
    assert not torch.equal(whole, views.strong_views(images, [0, 1, 2, 3, 4], 32, seed=3, epoch=3))
    ahead = list(views.batches_ahead(images, [[0, 1], [2, 3], [4]], 32, seed=3, epoch=2))
    assert torch.equal(torch.cat(ahead), whole)


@pytest.mark.parametrize("size", [(400, 4), (4, 400), (1, 1)])
def test_images_of_any_shape_have_a_view(size):
    assert views.strong_view(Image.new("RGB", size, (200, 10, 10)), 16, generator(0)).shape == (16, 16, 3)


def test_corners_move_inwards_by_a_tenth_of_a_side_at_most():
    moved = np.array([views.random_corners(100, generator(seed)) for seed in range(300)])
    corners = np.array([[0, 0], [99, 0], [99, 99], [0, 99]])
    inwards = (moved - corners) * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    assert inwards.min() == 0 and inwards.max() == 10
    assert inwards.mean() == pytest.approx(5, abs=0.5)


def test_a_grey_image_stays_grey_and_its_brightness_within_the_published_reach():
    grey = Image.new("RGB", (40, 40), (100, 100, 100))
    seen = torch.stack([views.strong_view(grey, 32, generator(seed))[16, 16] for seed in range(200)]).float()
    assert (seen.amax(1) - seen.amin(1)).max() <= 1
    assert 100 * 0.6**2 - 2 <= seen.min() < 50 and 150 < seen.max() <= 100 * 1.4**2 + 2  # jittered up to twice


def test_the_blur_is_in_proportion_to_the_input():
    """At the published size the deviation is .1 to 2 pixels."""
    dot = torch.zeros(3, 224, 224, dtype=torch.uint8)
    dot[:, 112, 112] = 255

    def spread(pixels):
        weight = pixels[0].double()
        offsets = torch.arange(len(weight)).double() - len(weight) // 2
        return ((weight.sum(0) * offsets**2).sum() / weight.sum()).sqrt().item()

    found = [spread(views._blurred(dot, generator(seed))) for seed in range(60)]
    assert 1.2 < max(found) < 2.1 and min(found) < 0.4
    small = dot[:, 96:128, 96:128]  # 32 pixels: a seventh of the deviation
    assert max(spread(views._blurred(small, generator(seed))) for seed in range(60)) < 0.35
