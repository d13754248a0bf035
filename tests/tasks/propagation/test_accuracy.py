"""J and F next to plain loops and to values worked by hand."""

import numpy as np
import pytest

from dinoclip_viz.tasks.propagation.accuracy import (
    Statistics,
    boundary,
    boundary_measure,
    mean_statistics,
    region_similarity,
    statistics,
)
from dinoclip_viz.tasks.propagation.tracking import point_accuracy, point_distances


def square(low, high, side=20):
    mask = np.zeros((side, side), bool)
    mask[low:high, low:high] = True
    return mask


def blobs(seed, shape=(23, 31)):
    coarse = np.random.default_rng(seed).random((6, 8)) > 0.6
    return np.kron(coarse, np.ones((4, 4), bool))[: shape[0], : shape[1]]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("tolerance", [0.008, 0.05, 0.12])
def test_both_are_those_of_plain_loops(plain, seed, tolerance):
    found, expected = blobs(seed), blobs(seed + 100)
    assert region_similarity(found, expected) == plain.jaccard(found, expected)
    assert {tuple(one) for one in np.argwhere(boundary(found)).tolist()} == plain.edge_pixels(found)
    assert boundary_measure(found, expected, tolerance) == pytest.approx(plain.boundary_f(found, expected, tolerance))


def test_region_similarity_by_hand():
    assert region_similarity(square(0, 4), square(2, 6)) == 4 / 28
    assert region_similarity(square(2, 6), square(2, 6)) == 1
    assert region_similarity(square(0, 4), square(10, 14)) == 0
    assert region_similarity(square(3, 3), square(3, 3)) == 1  # both empty
    assert region_similarity(square(3, 3), square(2, 6)) == 0


def test_boundary_measure_by_hand():
    empty, full = square(0, 0), square(4, 12)
    assert boundary_measure(full, full) == 1
    assert (boundary_measure(empty, full), boundary_measure(full, empty), boundary_measure(empty, empty)) == (0, 0, 1)
    # 20 x 20: 0.008 of the diagonal is 0.23, rounded up to 1 pixel, so that a shift by 1 matches all
    left, right = (np.tile(np.arange(20) >= column, (20, 1)) for column in (10, 11))
    assert boundary_measure(left, right) == 1 and boundary_measure(left, np.roll(right, 1, 1)) < 1
    assert boundary_measure(square(2, 8), square(12, 18)) == 0
    # two vertical edges, one of which is in the other mask: recall 1, precision 20 / 40
    whole, half = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    whole[:, 10:] = True
    half[:, 10:] = True
    half[:, :3] = True
    assert boundary_measure(half, whole) == pytest.approx(2 * 0.5 * 1 / 1.5)


def test_the_tolerance_is_that_of_davis():
    """480 x 854: 0.008 of 979.7 is 7.8, rounded up to 8 pixels."""
    first, near, far = (np.zeros((480, 854), bool) for _ in range(3))
    first[:, 400:], near[:, 408:], far[:, 409:] = True, True, True
    assert boundary_measure(first, near) == 1 and boundary_measure(first, far) == 0


def test_statistics_by_hand():
    # of 9 frames the quarters are 0..2, 2..4, 4..6, 6..8
    values = [1.0, 0.9, 0.8, 0.5, 0.5, 0.6, 0.3, 0.2, 0.1]
    found = statistics(values)
    assert found.mean == pytest.approx(sum(values) / 9)
    assert found.recall == pytest.approx(4 / 9)  # above one half, not at it
    assert found.decay == pytest.approx(0.9 - 0.2)
    # of 66 frames, those of a clip of 68: linspace(1, 66, 5) rounds to 1, 17, 34, 50, 66
    many = np.random.default_rng(0).random(66)
    assert statistics(many).decay == pytest.approx(many[0:17].mean() - many[49:66].mean())
    assert statistics([0.4]) == Statistics(0.4, 0.0, 0.0)
    long = np.linspace(1, 0, 600)  # more frames than a byte counts
    assert statistics(long).decay == pytest.approx(long[0:151].mean() - long[449:600].mean(), abs=1e-3)
    with pytest.raises(ValueError, match="no frames"):
        statistics([])
    two = mean_statistics([Statistics(0.2, 0.0, 0.1), Statistics(0.6, 1.0, 0.3)])
    assert (two.mean, two.recall, two.decay) == pytest.approx((0.4, 0.5, 0.2))


def test_points_are_measured_where_they_are_visible():
    expected = np.zeros((3, 2, 2))
    found = expected + np.array([[[9, 9]], [[6, 8]], [[3, 4]]])  # (T, 1, 2)
    visible = np.array([[True, True], [True, False], [True, True]])
    away = point_distances(found, expected, visible, side=256)
    assert away.tolist() == [10 / 256, 5 / 256, 5 / 256]  # the first frame does not count
    accuracy = point_accuracy(away)
    assert accuracy.error == pytest.approx(20 / 3 / 256) and accuracy.median == 5 / 256
    assert accuracy.within == pytest.approx((0 + 0 + 0 + 2 / 3 + 1) / 5)
    with pytest.raises(ValueError, match="no visible positions"):
        point_accuracy(np.zeros(0))
