"""Boxes and location tokens."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoclip_viz.vlm.locations import BINS, box_of, location_tokens


def numbers_of(text):
    return tuple(int(number) for number in re.findall(r"<loc(\d{4})>", text))


def test_the_order_is_top_left_bottom_right():
    assert location_tokens((10, 20, 30, 40), (1023, 1023)) == "<loc0020><loc0010><loc0040><loc0030>"
    assert box_of((20, 10, 40, 30), (1023, 1023)) == pytest.approx((10, 20, 30, 40))


def test_width_and_height_are_not_confused():
    assert numbers_of(location_tokens((50, 50, 100, 100), (100, 400))) == (128, 512, 256, 1023)
    assert box_of((128, 512, 256, 1023), (100, 400)) == pytest.approx(
        (512 / 1023 * 100, 128 / 1023 * 400, 100, 256 / 1023 * 400)
    )


def test_edges_outside_the_image_are_clipped():
    assert numbers_of(location_tokens((-5, -0.4, 120, 1e9), (100, 100))) == (0, 0, 1023, 1023)


def test_the_divisor_of_the_demo_is_1024():
    assert box_of((0, 0, 512, 1023), (100, 200), bins=1024) == pytest.approx((0, 0, 1023 / 1024 * 100, 100))


@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    edges=st.tuples(*[st.floats(0, 1) for _ in range(4)]),
)
@settings(max_examples=500, deadline=None)
def test_boxes_there_and_back_stay_within_one_bin(size, edges):
    width, height = size
    box = (edges[0] * width, edges[1] * height, edges[2] * width, edges[3] * height)
    back = box_of(numbers_of(location_tokens(box, size)), size)
    for before, after, side in zip(box, back, (width, height, width, height), strict=True):
        assert abs(before - after) <= side / (BINS - 1)


@pytest.mark.parametrize("box", [(0, 0, 1), (0, 0, float("nan"), 1), (0, 0, float("inf"), 1)])
def test_boxes_without_four_finite_numbers_are_refused(box):
    with pytest.raises(ValueError, match="expected four finite numbers"):
        location_tokens(box, (10, 10))


@pytest.mark.parametrize("numbers", [(0, 0, 1), (0, 0, 1, 1024), (-1, 0, 1, 2)])
def test_numbers_beyond_the_tokens_are_refused(numbers):
    with pytest.raises(ValueError, match=r"expected four in 0\.\.1023"):
        box_of(numbers, (10, 10))


def test_other_divisors_and_empty_images_are_refused():
    with pytest.raises(ValueError, match="bins=1000"):
        box_of((0, 0, 1, 1), (10, 10), bins=1000)
    with pytest.raises(ValueError, match="0 x 10"):
        box_of((0, 0, 1, 1), (0, 10))
