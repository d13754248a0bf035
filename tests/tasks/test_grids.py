"""Where patches lie, compared with plain loops."""

import numpy as np
import pytest
import torch

from dinoclip_viz import ImageFeatures, load_encoder, playground
from dinoclip_viz.tasks.grids import patch_at, patch_centres, patch_labels


@pytest.fixture
def features():
    boxes = torch.tensor([[0.0, 0.0, 60.0, 30.0], [10.0, 5.0, 40.0, 25.0]])
    return ImageFeatures(
        torch.ones(2, 4), torch.ones(2, 4), torch.ones(2, 3, 5, 4), boxes, torch.tensor([[60, 30], [60, 30]]), "some"
    )


def test_every_centre_is_found_in_its_own_patch(features):
    centres = patch_centres(features)
    for index in range(2):
        for row in range(3):
            for column in range(5):
                x, y = centres[index, row, column].tolist()
                assert patch_at(features, x, y, index) == (row, column)


def test_the_corners_of_the_box_belong_to_the_corner_patches(features):
    assert patch_at(features, 10, 5, 1) == (0, 0)
    assert patch_at(features, 40, 25, 1) == (2, 4)


@pytest.mark.parametrize(("x", "y"), [(-1, 5), (5, -0.1), (61, 5), (5, 31), (float("nan"), 5)])
def test_places_outside_the_image_are_refused_in_one_line(features, x, y):
    with pytest.raises(ValueError, match=r"outside the part of the image.*x from 0 to 60"):
        patch_at(features, x, y)


@pytest.mark.parametrize(("shape", "box"), [((24, 24), None), ((25, 31), None), ((30, 40), (3.0, 2.0, 38.0, 27.0))])
def test_labels_of_patches_equal_a_plain_loop(shape, box):
    mask = np.random.default_rng(0).integers(0, 4, shape)
    mask[:6, :6] = 255
    left, top, right, bottom = box or (0, 0, shape[1], shape[0])
    for row, column in np.ndindex(4, 4):
        counted = [0] * 4
        for y, x in np.ndindex(shape):
            down, across = (y + 0.5 - top) / (bottom - top) * 4, (x + 0.5 - left) / (right - left) * 4
            if row <= down < row + 1 and column <= across < column + 1 and mask[y, x] < 4:
                counted[mask[y, x]] += 1
        expected = max(range(4), key=lambda label: (counted[label], -label)) if any(counted) else -1
        assert patch_labels(mask, (4, 4), 4, box)[row, column] == expected


def test_labels_fit_the_grid_that_an_encoder_returns():
    scene = playground.draw(1500, 1, 192, objects=1)[0]
    grid = load_encoder("playground-dino").encode([scene.image], fit="whole").grid
    labels = patch_labels(scene.mask, grid, 21)
    assert labels.shape == grid and set(labels.unique().tolist()) <= set(np.unique(scene.mask).tolist())


def test_a_mask_of_a_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 2, 3\); expected \(height, width\)"):
        patch_labels(np.zeros((2, 2, 3), int), (1, 1), 2)
