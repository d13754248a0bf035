"""Measures of maps against plain loops, scikit-learn and numbers worked by hand."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from dinoclip_viz.affordance.metrics import (
    Summary,
    average_precision,
    iou_counts,
    kld,
    normalised,
    nss,
    score_map,
    sim,
)

CHANCE = np.random.default_rng(0)
FOUND, TRUE = CHANCE.random((7, 9)), CHANCE.random((7, 9)) ** 4


def test_kld_and_sim_are_loops_over_pixels():
    p, q = FOUND / FOUND.sum(), TRUE / TRUE.sum()
    cells = [(i, j) for i in range(7) for j in range(9)]
    expected = sum(q[c] * math.log(q[c] / (p[c] + 1e-12) + 1e-12) for c in cells)
    assert kld(FOUND, TRUE) == pytest.approx(expected, abs=1e-9)
    assert sim(FOUND, TRUE) == pytest.approx(sum(min(p[c], q[c]) for c in cells), abs=1e-9)
    assert kld(TRUE, TRUE) == pytest.approx(0, abs=1e-9) and sim(TRUE, TRUE) == pytest.approx(1, abs=1e-9)


def test_nss_is_the_mean_standard_score_where_the_target_is_above_a_tenth():
    scaled = (TRUE - TRUE.min()) / (TRUE.max() - TRUE.min())
    inside = [FOUND[i, j] for i in range(7) for j in range(9) if scaled[i, j] > 0.1]
    assert 0 < len(inside) < 63
    assert nss(FOUND, TRUE) == pytest.approx((np.mean(inside) - FOUND.mean()) / FOUND.std(), abs=1e-6)
    assert nss(np.ones((7, 9)), TRUE) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("decimals", [8, 1])
def test_average_precision_is_that_of_scikit_learn_with_and_without_ties(decimals):
    scores, mask = FOUND.round(decimals), TRUE > 0.3
    expected = average_precision_score(mask.ravel(), scores.ravel())
    assert average_precision(scores, mask) == pytest.approx(expected, abs=1e-12)


def test_a_map_of_one_value_has_the_fraction_of_the_mask_as_precision():
    assert average_precision(np.ones((2, 4)), [[1, 0, 0, 0], [1, 0, 0, 0]]) == pytest.approx(0.25)


def test_iou_counts_the_pixels_above_half_of_the_range():
    assert iou_counts([[10.0, 16.0, 20.0, 10.0]], [[False, False, True, True]]) == (1, 3)


def test_scores_do_not_depend_on_the_range_of_a_map():
    mask = TRUE > 0.3
    one, other = score_map("cut", FOUND, mask, True), score_map("cut", 5 * FOUND - 2, mask, True)
    for name in ("kld", "sim", "nss", "ap"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-6)
    assert one.overlap == other.overlap
    assert score_map("cut", FOUND, TRUE, False).ap is None


def test_means_are_over_maps_and_the_iou_over_all_pixels_of_a_verb():
    mask = np.array([[1.0, 1.0, 0.0, 0.0]])
    scores = [
        score_map("cut", [[1.0, 1.0, 0.0, 0.0]], mask, True),  # 2 of 2
        score_map("cut", [[1.0, 0.0, 0.0, 0.0]], mask, True),  # 1 of 2
        score_map("hold", [[0.0, 1.0, 1.0, 0.0]], mask, True),  # 1 of 3
    ]
    found = Summary(scores).figures()
    assert found["miou"] == pytest.approx((3 / 4 + 1 / 3) / 2)
    assert found["ap"] == pytest.approx(np.mean([one.ap for one in scores]))
    assert found["maps"] == 3
    assert Summary(scores).by_verb()["hold"]["miou"] == pytest.approx(1 / 3)
    soft = Summary([*scores, score_map("hold", FOUND, TRUE, False)]).figures()
    assert "ap" not in soft and "nss" in soft


def test_what_cannot_be_scored_is_refused_in_one_line():
    with pytest.raises(ValueError, match="cut: a target from 0 to 0"):
        score_map("cut", FOUND, np.zeros((7, 9)), True)
    with pytest.raises(ValueError, match="expected equal shapes"):
        score_map("cut", FOUND, TRUE[:3], True)
    with pytest.raises(ValueError, match="expected finite values"):
        normalised([[math.nan]])
    with pytest.raises(ValueError, match="found no maps"):
        Summary().figures()
