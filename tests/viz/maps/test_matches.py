"""Points and lines of matches: their positions and colours."""

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.viz import mark_points, match_image, place_colours


def image(width, height, colour=(128, 128, 128)):
    return Image.new("RGB", (width, height), colour)


def test_near_places_have_near_colours_and_far_ones_differ():
    colours = place_colours([[x, y] for y in range(0, 100, 10) for x in range(0, 100, 10)]).astype(int)
    grid = colours.reshape(10, 10, 3)
    steps = [np.abs(np.diff(grid, axis=axis)).sum(-1).max() for axis in (0, 1)]
    corners = [grid[row, column] for row in (0, -1) for column in (0, -1)]
    apart = [np.abs(one - other).sum() for i, one in enumerate(corners) for other in corners[:i]]
    assert max(steps) < 170 and min(apart) > 120
    assert len({tuple(colour) for colour in colours.tolist()}) == 100


def test_one_point_and_none_have_colours_too():
    assert place_colours([[3, 4]]).shape == (1, 3)
    assert place_colours(np.zeros((0, 2))).shape == (0, 3)


def test_marks_are_discs_of_their_colour_ringed_in_white_and_black():
    marked = np.asarray(mark_points(image(60, 40), [[30, 20]], [(10, 200, 30)], radius=8))
    assert marked[20, 30].tolist() == [10, 200, 30]
    assert marked[20, 30 + 9].min() > 200  # white
    assert marked[20, 30 + 11].max() < 60  # black
    assert marked[20, 30 + 16].tolist() == [128, 128, 128]
    at_the_edge = np.asarray(mark_points(image(60, 40), [[0, 0]], [(10, 200, 30)], radius=8))
    assert at_the_edge[0, 0].tolist() == [10, 200, 30]


def test_both_images_stand_at_one_height_and_each_pair_has_one_colour():
    a, b = [[25, 25], [5, 5]], [[100, 50], [8, 90]]
    shown = np.asarray(match_image(image(50, 50), image(200, 100), a, b, height=100))
    gap = 16
    assert shown.shape[:2] == (100 + 2 * gap, 100 + 200 + 3 * gap)
    first, second = shown[gap + 50, gap + 50], shown[gap + 50, 2 * gap + 100 + 100]
    assert first.tolist() == second.tolist() == place_colours(a)[0].tolist()
    corner = shown[gap + 10, gap + 10]
    assert corner.tolist() == shown[gap + 90, 2 * gap + 100 + 8].tolist()
    between = shown[gap + 45 : gap + 55, gap + 100 + 4 : gap + 100 + 12].reshape(-1, 3)
    assert (between.max(0) < 250).any() or (between.min(0) < 250).any()  # a line crosses the gap
    without = np.asarray(match_image(image(50, 50), image(200, 100), [], [], height=100))
    assert without.shape == shown.shape and (without[:, gap + 102 : gap + 112] == 255).all()


def test_captions_and_a_note_make_room_for_themselves():
    plain = match_image(image(40, 40), image(40, 40), [], [], height=200)
    noted = match_image(image(40, 40), image(40, 40), [], [], ("one", "other"), 200, "what the colours mean")
    assert noted.width == plain.width and noted.height > plain.height + 20
    assert (np.asarray(noted)[-20:] < 200).any()


def test_a_very_wide_image_is_made_smaller():
    shown = match_image(image(1000, 10), image(40, 40), [[500, 5]], [[20, 20]], height=100)
    assert shown.width == 300 + 100 + 3 * 16


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: match_image(image(9, 9), image(9, 9), [[1, 1]], []), "1 points in the first image and 0"),
        (lambda: match_image(image(9, 9), image(9, 9), [], [], ["one"]), "expected two texts"),
        (lambda: match_image(image(9, 9), image(9, 9), [], [], height=4), "at least 16"),
        (lambda: mark_points(image(9, 9), [[1, 1]], []), "1 points and 0 colours|colours of shape"),
        (lambda: mark_points(image(9, 9), [[1, 1]], [(1, 2, 3)], radius=0), "radius=0"),
        (lambda: place_colours([1, 2]), "expected \\(N, 2\\)"),
        (lambda: place_colours([[1, float("nan")]]), "finite"),
    ],
)
def test_what_cannot_be_drawn_is_told(call, reason):
    with pytest.raises(ValueError, match=reason):
        call()
