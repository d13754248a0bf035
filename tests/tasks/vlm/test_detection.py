"""Average precision against numbers worked by hand, and records that COCO's tools read."""

import sys
from dataclasses import dataclass

import numpy as np
import pytest

from dinoclip_viz.tasks.vlm import detection
from dinoclip_viz.tasks.vlm.detection import Prediction, Target, average_precision, detections_record

pytest.importorskip("pycocotools")
BOX, FAR = (10.0, 10.0, 30.0, 40.0), (60.0, 60.0, 90.0, 90.0)


@dataclass(frozen=True)
class Found:
    label: str
    box: tuple[float, float, float, float]
    score: float
    mask: np.ndarray | None = None


def test_perfect_detections_have_a_precision_of_one():
    targets = [[Target("cat", BOX), Target("dog", FAR)], [Target("cat", FAR)]]
    found = [[Found("cat", BOX, 0.5), Found("dog", FAR, 0.4)], [Found("cat", FAR, 0.3)]]
    assert average_precision(targets, found, ["cat", "dog"]) == {"AP": 1.0, "AP50": 1.0, "AP75": 1.0, "AR100": 1.0}


def test_a_false_box_with_the_highest_score_leaves_two_thirds():
    targets = [[Target("cat", BOX)], [Target("cat", FAR)]]
    found = [[Found("cat", FAR, 0.9), Found("cat", BOX, 0.8)], [Found("cat", FAR, 0.7)]]
    figures = average_precision(targets, found, ["cat"])
    assert figures["AP50"] == pytest.approx(2 / 3, abs=1e-6)  # 2 of 3 at every recall
    assert figures["AR100"] == 1.0


def test_boxes_that_overlap_by_two_thirds_count_at_the_lower_half_of_the_ious():
    shifted = (10.0, 10.0, 30.0, 30.0)  # 400 of 600 pixels: IoU 2/3, above .5, .55, .6 and .65
    figures = average_precision([[Target("cat", BOX)]], [[Found("cat", shifted, 0.9)]], ["cat"])
    assert figures["AP"] == pytest.approx(0.4)
    assert (figures["AP50"], figures["AP75"]) == (pytest.approx(1), 0.0)


def test_crowds_and_other_labels_are_neither_right_nor_wrong():
    targets = [[Target("cat", BOX), Target("cat", FAR, crowd=True), Target("zebra", FAR)]]
    found = [[Found("cat", BOX, 0.5), Found("cat", FAR, 0.9), Found("bus", FAR, 0.9)]]
    assert average_precision(targets, found, ["cat"])["AP"] == pytest.approx(1)


def test_nothing_found_is_zero_and_nothing_to_find_is_refused():
    assert average_precision([[Target("cat", BOX)]], [[]], ["cat"])["AP"] == 0.0
    for targets in ([[]], [[Target("dog", BOX)]], [[Target("cat", BOX, crowd=True)]]):
        with pytest.raises(ValueError, match="no object of the 1 classes"):
            average_precision(targets, [[]], ["cat"])
    with pytest.raises(ValueError, match="of each image"):
        average_precision([[]], [], ["cat"])


def test_nothing_is_printed(capsys):
    average_precision([[Target("cat", BOX)]], [[Found("cat", BOX, 0.5)]], ["cat"])
    assert capsys.readouterr() == ("", "")


def test_without_the_package_one_line_names_it(monkeypatch):
    monkeypatch.setattr(detection, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(ImportError, match=r"pycocotools is not installed.*dinoclip-viz\[vlm\]") as caught:
        average_precision([[Target("cat", BOX)]], [[]], ["cat"])
    assert "\n" not in str(caught.value)


def test_cocos_tools_read_the_masks_of_a_record():
    from pycocotools import mask as tools

    generator = np.random.default_rng(0)
    masks = [generator.random((13, 29)) < 0.4, np.zeros((13, 29), bool), np.ones((13, 29), bool)]
    found = [Prediction("cat", BOX, 0.25, mask) for mask in masks] + [Prediction("dog", FAR, 1.0)]
    record = detections_record(found, (29, 13))
    assert record["image"] == {"width": 29, "height": 13}
    for row, mask in zip(record["annotations"], masks, strict=False):
        assert (tools.decode(row["segmentation"]).astype(bool) == mask).all()
        assert row["area"] == mask.sum() == tools.area(row["segmentation"])
    assert record["annotations"][3] == {"label": "dog", "score": 1.0, "bbox": [60.0, 60.0, 30.0, 30.0]}
