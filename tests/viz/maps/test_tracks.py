"""The way of points over a frame."""

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.viz import track_image

RED, BLUE = (220, 0, 0), (0, 0, 220)


def test_a_line_joins_the_last_positions_and_a_disc_marks_the_newest():
    tracks = np.array([[[20, 20], [80, 20], [80, 80]], [[10, 90], [10, 90], [10, 90]]])
    drawn = track_image(Image.new("RGB", (120, 120), "white"), tracks, [RED, BLUE])
    assert drawn.size == (120, 120)
    assert drawn.getpixel((80, 80)) == RED and drawn.getpixel((10, 90)) == BLUE
    for line in ((50, 20), (80, 50)):
        red, green, _ = drawn.getpixel(line)
        assert red > 200 and green < 130
    assert drawn.getpixel((50, 50)) == (255, 255, 255)
    shorter = track_image(Image.new("RGB", (120, 120), "white"), tracks, [RED, BLUE], last=2)
    assert shorter.getpixel((40, 20)) == (255, 255, 255) and shorter.getpixel((80, 50)) != (255, 255, 255)


@pytest.mark.parametrize("tracks", [[[1, 2]], np.zeros((1, 0, 2)), [[[1, np.nan]]], np.zeros((1, 2, 3))])
def test_tracks_of_another_shape_are_refused(tracks):
    with pytest.raises(ValueError, match=r"expected \(N, T, 2\) finite numbers"):
        track_image(Image.new("RGB", (20, 20)), tracks, [RED])


def test_each_track_has_a_colour():
    with pytest.raises(ValueError, match="1 tracks and 2 colours"):
        track_image(Image.new("RGB", (20, 20)), [[[1, 2]]], [RED, BLUE])
