"""Diagnostics of two labellings, against numbers worked by hand."""

import pytest
import torch

from dinoclip_viz.adapt.diagnostics import agreement, changed_images, compare, confidence_histogram
from dinoclip_viz.viz import confidence_chart, figure_to_image

BEFORE = torch.tensor([[0.9, 0.1, 0.0], [0.2, 0.5, 0.3], [0.4, 0.3, 0.3], [1.0, 0.0, 0.0]])
AFTER = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.2, 0.7], [0.05, 0.9, 0.05], [1.0, 0.0, 0.0]])


def test_the_comparison_of_two_labellings():
    found = compare(BEFORE, AFTER, ["cat", "dog", "car"], bins=4)
    assert found.agreement == 0.5
    assert (found.confidence_before, found.confidence_after) == ((0, 1, 1, 2), (0, 0, 1, 3))
    assert (found.count_before, found.count_after) == ((3, 1, 0), (2, 1, 1))
    changes = found.changes
    assert (changes.rows.tolist(), changes.before.tolist(), changes.after.tolist()) == ([2, 1], [0, 1], [1, 2])
    written = found.json(["a", "b", "c", "d"])
    assert written["changed"][0] == {"image": "c", "row": 2, "before": "cat", "after": "dog", "probability": 0.9}
    assert written["classes"][2] == {"class": "car", "before": 0, "after": 1}
    assert written["confidence"]["edges"] == [0, 0.25, 0.5, 0.75, 1]


def test_equal_labellings_have_no_changes():
    assert len(changed_images(BEFORE, BEFORE)) == 0 and compare(BEFORE, BEFORE, ["a", "b", "c"]).agreement == 1


def test_inconsistent_labellings_are_refused():
    with pytest.raises(ValueError, match=r"expected \(N, 2\)"):
        compare(BEFORE, AFTER, ["cat", "dog"])
    with pytest.raises(ValueError, match=r"\(4, 3\) and \(3, 3\)"):
        compare(BEFORE, AFTER[:3], ["a", "b", "c"])
    with pytest.raises(ValueError, match="N >= 1"):
        agreement(torch.tensor([]), torch.tensor([]))
    with pytest.raises(ValueError, match="bins=0"):
        confidence_histogram(BEFORE, 0)


def test_the_chart_has_both_histograms():
    edges, counts = confidence_histogram(BEFORE)
    image = figure_to_image(confidence_chart(edges, counts, counts))
    assert image.size == (768, 360) and len(image.getcolors(1 << 20)) > 10
    with pytest.raises(ValueError, match="one edge more"):
        confidence_chart(edges, counts[1:], counts)
