"""Points as labels of patches, and values of patches at points."""

import numpy as np
import pytest
import torch

from dinoclip_viz.tasks.propagation.points import label_positions, point_labels, values_at

BOX = (10.0, 20.0, 90.0, 60.0)  # 10 x 4 patches of 8 x 10 pixels


def test_a_label_gives_its_point_back():
    points = torch.tensor([[14.0, 25.0], [15.5, 27.3], [50.0, 40.0], [86.0, 55.0], [83.2, 31.9]])
    labels = point_labels(points, (4, 10), BOX)
    assert labels.shape == (4, 10, 5) and torch.allclose(labels.sum((0, 1)), torch.ones(5))
    assert torch.allclose(label_positions(labels, BOX), points, atol=1e-3)
    assert labels[0, 0, 0] == 1  # the centre of the first patch


def test_points_beyond_the_outer_centres_are_labels_of_the_outer_patches():
    labels = point_labels(torch.tensor([[10.0, 20.0], [90.0, 60.0]]), (4, 10), BOX)
    assert labels[0, 0, 0] == 1 and labels[3, 9, 1] == 1


def test_a_position_is_the_mean_around_the_strongest_patch():
    labels = torch.zeros(1, 10, 1)
    labels[0, 1], labels[0, 2], labels[0, 8] = 3, 1, 2.9
    x = label_positions(labels, (0, 0, 80, 8), reach=2)[0, 0].item()
    assert x == pytest.approx((3 * 12 + 1 * 20) / 4)  # the patch at 8 is too far away


def test_values_are_interpolated_as_by_hand():
    values = torch.rand(4, 10, 3, generator=torch.Generator().manual_seed(0))
    found = values_at(values, torch.tensor([[14.0, 25.0], [18.0, 25.0], [20.0, 32.5], [10.0, 20.0]]), BOX)
    corner = values[0:2, 0:2].numpy()
    assert np.allclose(found[0], corner[0, 0], atol=1e-6) and np.allclose(found[3], corner[0, 0], atol=1e-6)
    assert np.allclose(found[1], corner[0].mean(0), atol=1e-6)
    top = 0.25 * corner[0, 0] + 0.75 * corner[0, 1]
    below = 0.25 * corner[1, 0] + 0.75 * corner[1, 1]
    assert np.allclose(found[2], 0.25 * top + 0.75 * below, atol=1e-5)
