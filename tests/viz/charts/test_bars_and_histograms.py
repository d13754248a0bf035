"""Bars and histograms: lengths by hand, unknown values counted, invalid input refused."""

import numpy as np
import pytest

from dinoclip_viz.viz import component_histogram, figure_to_image, score_bars


def test_bars_are_as_long_as_their_probabilities():
    bars = np.asarray(score_bars(["cat", "dog"], [0.75, 0.25]))
    best = (bars == [0, 114, 178]).all(axis=-1).sum(axis=1).max()
    other = (bars == [143, 184, 214]).all(axis=-1).sum(axis=1).max()
    assert abs(best / other - 3) < 0.05


def test_none_of_these_is_striped_grey_and_last():
    plain = np.asarray(score_bars(["cat", "dog"], [0.1, 0.2]))
    none = np.asarray(score_bars(["cat", "dog"], [0.1, 0.2, 0.7]))
    grey = (none == [125, 125, 132]).all(axis=-1)
    assert grey.any() and not (plain == [125, 125, 132]).all(axis=-1).any()
    blue = (none == [143, 184, 214]).all(axis=-1)
    assert np.argwhere(grey)[:, 0].min() > np.argwhere(blue)[:, 0].max()
    assert not (none == [0, 114, 178]).all(axis=-1).any()  # no label is the best answer


@pytest.mark.parametrize("probabilities", [[0.5], [0.5, 0.1, 0.1, 0.1], [[0.5, 0.5]], [0.5, 1.5], [0.5, np.nan]])
def test_probabilities_that_do_not_match_the_labels_are_refused_in_one_line(probabilities):
    with pytest.raises(ValueError) as caught:
        score_bars(["a", "b"], probabilities)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("above", "words"), [(True, "25 %"), (False, "50 %")])
def test_the_histogram_names_the_share_of_the_foreground(above, words):
    figure = component_histogram([-1.0, -1.0, 0.0, 5.0], threshold=0.0, foreground_above=above)
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert f"foreground {words}" in texts  # what equals the threshold is background


def test_the_histogram_counts_every_known_patch_once_and_tells_of_the_others():
    values = np.random.default_rng(0).normal(size=500)
    figure = component_histogram([*values, np.nan], threshold=0.3)
    steps = [patch.get_data() for patch in figure.axes[0].patches]
    heights = sum((step.values - step.baseline).sum() for step in steps)
    assert heights == 500
    assert figure.axes[0].get_title(loc="left") == "1 of 501 patches unknown"


@pytest.mark.parametrize("values", [[], [np.nan], [np.inf], [[1.0]]])
def test_a_histogram_of_nothing_is_refused(values):
    with pytest.raises(ValueError, match="expected"):
        component_histogram(values, threshold=0)


def test_a_histogram_of_one_value_at_the_threshold_can_be_drawn():
    assert figure_to_image(component_histogram([2.0], threshold=2.0)).size == (768, 360)
