"""Intersection over union against counted pixels, and matching against all assignments."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoclip_viz.tasks.vlm.boxes import box_iou, mask_iou, matched

edges = st.lists(st.integers(0, 12), min_size=4, max_size=4)


def painted(box):
    x0, y0, x1, y1 = box
    mask = np.zeros((12, 12), bool)
    mask[y0:y1, x0:x1] = True
    return mask


@given(edges, edges)
def test_whole_pixels_are_counted(one, other):
    masks = painted(one), painted(other)
    assert box_iou([one], [other])[0, 0] == pytest.approx(mask_iou(*masks))
    union = (masks[0] | masks[1]).sum()
    assert mask_iou(*masks) == (0 if union == 0 else (masks[0] & masks[1]).sum() / union)


def test_no_boxes_give_an_empty_table():
    assert box_iou([], [[0, 0, 1, 1]]).shape == (0, 1)
    assert box_iou([[0, 0, 1, 1]], []).shape == (1, 0)


@given(st.lists(st.lists(st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]), min_size=3, max_size=3), max_size=3))
def test_pairs_are_one_to_one_above_the_least_and_none_is_missing(table):
    pairs = matched(np.array(table).reshape(-1, 3), 0.5)
    rows, columns = [row for row, _ in pairs], [column for _, column in pairs]
    assert len(set(rows)) == len(rows) and len(set(columns)) == len(columns)
    assert all(table[row][column] >= 0.5 for row, column in pairs)
    free = [
        (row, column)
        for row in range(len(table))
        for column in range(3)
        if row not in rows and column not in columns and table[row][column] >= 0.5
    ]
    assert free == []
    best = max(
        (
            sum(table[row][column] >= 0.5 for row, column in enumerate(order[: len(table)]))
            for order in permutations(range(3))
        ),
        default=0,
    )
    assert 2 * len(pairs) >= best  # greedy matching is at least half of the largest one


def test_what_has_no_four_edges_or_one_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(N, 4\)"):
        box_iou([[1, 2]], [[0, 0, 1, 1]])
    with pytest.raises(ValueError, match="one shape"):
        mask_iou(np.ones((2, 3)), np.ones((3, 2)))
