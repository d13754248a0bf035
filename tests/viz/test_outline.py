"""Edges of regions against a plain loop over every pixel and its neighbours."""

import numpy as np
import pytest

from dinoclip_viz.viz.outline import region_edges


@pytest.mark.parametrize("thickness", [1, 2, 3, 6])
def test_edges_agree_with_a_plain_loop_over_neighbours(thickness):
    labels = np.zeros((11, 14), dtype=np.int32)
    labels[2:6, 3:9] = 1
    labels[5:9, 8:13] = 2
    expected = np.zeros(labels.shape, dtype=bool)
    for y, x in np.ndindex(labels.shape):
        near = labels[max(0, y - thickness) : y + thickness + 1, max(0, x - thickness) : x + thickness + 1]
        expected[y, x] = (near != labels[y, x]).any()
    assert np.array_equal(region_edges(labels, thickness), expected)


def test_one_region_has_no_edge_even_at_the_image_rim():
    assert not region_edges(np.ones((4, 5), dtype=np.int32), thickness=9).any()
