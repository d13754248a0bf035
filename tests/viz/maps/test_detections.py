"""Boxes, masks and labels: exact pixels, and hostile labels and boxes."""

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.viz import class_palette, detection_image

GREY = Image.new("RGB", (40, 20), (100, 100, 100))
ORANGE, BLUE = (tuple(colour) for colour in class_palette(2).tolist())


def pixels(image):
    return np.asarray(image)


def test_the_outline_lies_inside_the_box_and_the_rest_is_unchanged():
    shown = pixels(detection_image(GREY, [""], [[10, 5, 20, 15]], size=400))  # ten times larger
    assert tuple(shown[60, 100]) == tuple(shown[60, 199]) == tuple(shown[50, 150]) == tuple(shown[149, 150]) == ORANGE
    for x, y in ((99, 60), (200, 60), (150, 49), (150, 150), (150, 100)):
        assert tuple(shown[y, x]) == (100, 100, 100)


def test_masks_are_tinted_by_the_opacity_and_the_first_one_is_on_top():
    first, second = np.zeros((20, 40), bool), np.zeros((20, 40), bool)
    first[8:12, 8:12] = True
    second[8:12, 10:16] = True
    shown = pixels(detection_image(GREY, ["", " "], [[0, 0, 1, 1]] * 2, masks=[first, second], size=40, opacity=0.5))
    assert tuple(shown[9, 9]) == tuple(np.round((100 + np.array(ORANGE)) / 2))
    assert tuple(shown[9, 11]) == tuple(np.round((0.5 * 100 + 0.5 * np.array(BLUE)) * 0.5 + 0.5 * np.array(ORANGE)))
    assert tuple(shown[15, 9]) == (100, 100, 100)


def test_equal_labels_share_a_colour_and_others_differ():
    boxes = [[0, 0, 10, 10], [12, 0, 22, 10], [26, 0, 36, 10]]
    shown = pixels(detection_image(GREY, ["cat", "dog", "cat"], boxes, size=400))
    assert [tuple(shown[99, x]) for x in (50, 170, 310)] == [ORANGE, BLUE, ORANGE]


def test_a_label_is_drawn_on_its_colour_and_scores_change_it():
    plain = pixels(detection_image(GREY, ["cat"], [[10, 10, 30, 20]], size=400))
    assert (plain[70:98, 100:120] == ORANGE).all(axis=-1).any()
    assert (pixels(detection_image(GREY, ["cat"], [[10, 10, 30, 20]], [0.5], size=400)) != plain).any()


@pytest.mark.parametrize("label", ["x" * 5000, "<b>bold</b>\n\n", "猫 ; é", "\t", "a" * 300 + "\n" * 50])
def test_any_label_is_drawn_within_the_image(label):
    shown = detection_image(GREY, [label], [[5, 5, 30, 15]], [0.123], size=400)
    assert shown.size == (400, 200)


@pytest.mark.parametrize("box", [[-1e6, -5, 1e6, 500], [30, 15, 10, 5], [5, 5, 5, 5], [100, 100, 200, 200]])
def test_boxes_beyond_the_image_reversed_or_empty_do_not_break_it(box):
    assert detection_image(GREY, ["cat"], [box], size=100).size == (120, 60)


def test_two_hundred_objects_and_one_pixel():
    image = Image.new("RGB", (1, 1))
    labels = [f"name {number}" for number in range(200)]
    shown = detection_image(image, labels, [[0, 0, 1, 1]] * 200, [0.5] * 200, [np.ones((1, 1), bool)] * 200)
    assert shown.size == (768, 768)


def test_an_image_without_objects_is_only_enlarged():
    assert (pixels(detection_image(GREY, [], [], size=40)) == 100).all()


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"boxes": [[1, 2, 3]]}, r"\(1, 4\)"),
        ({"boxes": [[0, 0, np.nan, 1]]}, r"\(1, 4\)"),
        ({"boxes": [[0, 0, 1, 1]] * 2}, r"\(2, 4\) for 1 labels"),
        ({"scores": []}, "0 scores for 1 labels"),
        ({"masks": [np.zeros((40, 20), bool)]}, r"\(40, 20\); expected \(20, 40\)"),
        ({"opacity": 2}, "opacity"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(given, line):
    with pytest.raises(ValueError, match=line) as caught:
        detection_image(GREY, ["cat"], **{"boxes": [[0, 0, 5, 5]], **given})
    assert "\n" not in str(caught.value)
