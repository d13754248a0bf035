import numpy as np
import pytest

from dinoclip_viz.viz import rank_frequency
from dinoclip_viz.viz.charts.frequency import _curve


def test_a_curve_has_every_rank_of_few_counts_and_the_ends_of_many():
    ranks, values = _curve("few", np.array([0, 3, 9, 1]))
    assert ranks.tolist() == [1, 2, 3] and values.tolist() == [9, 3, 1]
    counts = np.arange(1, 500_001)
    ranks, values = _curve("many", counts)
    assert len(ranks) <= 2000 and ranks[0] == 1 and ranks[-1] == 500_000
    assert np.array_equal(values, np.sort(counts)[::-1][ranks - 1])


def test_the_figure_shows_a_difference_between_the_curves():
    counts = 1000 / np.arange(1, 200)
    one = rank_frequency({"before": counts, "after": np.minimum(counts, 50)}, 50)
    other = rank_frequency({"before": counts, "after": counts}, 50)
    assert one.size == other.size == (768, 480)
    assert (np.asarray(one) != np.asarray(other)).any(axis=2).mean() > 0.005


@pytest.mark.parametrize(
    "counts", [{}, {"a": [0, 0]}, {"a": [1, -1]}, {"a": [[1]]}, {"a": [np.nan, 1]}, {name: [1] for name in "abcd"}]
)
def test_counts_that_cannot_be_drawn_are_refused(counts):
    with pytest.raises(ValueError, match="expected"):
        rank_frequency(counts)
