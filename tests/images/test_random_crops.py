"""Random crops: inside the image, distributed as torchvision's, and possible for images of any shape."""

import numpy as np
import pytest
import torch

from dinoclip_viz.images.random_crops import random_crop


def test_crops_stay_inside_and_are_distributed_as_torchvisions():
    from torchvision.transforms import RandomResizedCrop

    chance, ours, theirs = np.random.default_rng(5), [], []
    torch.manual_seed(0)
    for _ in range(2_000):
        top, left, rows, columns = random_crop(180, 120, chance, (0.2, 1.0))
        assert 0 <= top <= 120 - rows and 0 <= left <= 180 - columns and rows > 0 and columns > 0
        ours.append((top, left, rows, columns))
        theirs.append(RandomResizedCrop.get_params(torch.zeros(3, 120, 180), [0.2, 1.0], [3 / 4, 4 / 3]))
    ours, theirs = np.array(ours), np.array(theirs)
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), rtol=0.06)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.06)
    ratios = ours[:, 3] / ours[:, 2]
    assert 0.74 < min(ratios) < 0.77 and 1.3 < max(ratios) < 1.36


@pytest.mark.parametrize(("width", "height"), [(400, 4), (4, 400), (1, 1)])
def test_images_of_any_shape_have_a_crop(width, height):
    top, left, rows, columns = random_crop(width, height, np.random.default_rng(0), (0.2, 1.0))
    assert top + rows <= height and left + columns <= width and min(rows, columns) >= 1
