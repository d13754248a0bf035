"""Maps of classes and of depth as images."""

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz import viz
from dinoclip_viz.viz.inputs import UNKNOWN

COLOURS = [(10, 20, 30), (200, 100, 50)]


def test_the_background_is_grey_and_the_rest_keeps_the_palette():
    with_background = viz.label_colours(["background", "cat", "dog"])
    assert with_background[1:].tolist() == viz.class_palette(2).tolist()
    assert viz.label_colours(["cat", "dog"]).tolist() == viz.class_palette(2).tolist()


def test_every_pixel_has_the_colour_of_its_class_or_grey():
    shown = np.asarray(viz.label_image(np.array([[0, 1], [-1, 255]]), COLOURS))
    assert shown.tolist() == [[list(COLOURS[0]), list(COLOURS[1])], [list(UNKNOWN), list(UNKNOWN)]]


def test_a_map_over_an_image_lets_it_through():
    white = Image.new("RGB", (2, 1), "white")
    shown = np.asarray(viz.label_image(np.array([[0, 1]]), COLOURS, white, opacity=0.5)).astype(int)
    assert np.abs(shown[0] - (np.array(COLOURS) + 255) / 2).max() <= 1
    with pytest.raises(ValueError, match="labels of 2 x 1 for an image of 3 x 1"):
        viz.label_image(np.array([[0, 1]]), COLOURS, Image.new("RGB", (3, 1)))


def test_the_colours_of_the_image_do_not_mix_with_those_of_the_classes():
    red = Image.new("RGB", (1, 1), (200, 0, 0))
    assert len(set(viz.label_image(np.array([[0]]), COLOURS, red, opacity=0).getpixel((0, 0)))) == 1


def test_the_legend_names_the_classes_that_occur():
    one = viz.labels_legend([np.array([[0, -1]])], ["cat", "dog"], COLOURS, 300)
    two = viz.labels_legend([np.array([[0]]), np.array([[1]])], ["cat", "dog"], COLOURS, 300)
    found = [{tuple(colour) for colour in np.asarray(legend).reshape(-1, 3).tolist()} for legend in (one, two)]
    assert COLOURS[0] in found[0] and COLOURS[1] not in found[0]
    assert set(COLOURS) <= found[1]
    with pytest.raises(ValueError, match="1 names and 2 colours"):
        viz.labels_legend([np.array([[0]])], ["cat"], COLOURS)


def test_depth_has_one_scale_for_all_maps_and_a_bar_in_metres():
    near = np.asarray(viz.depth_image(np.full((4, 4), 2.0), 0, 40, 8))
    far = np.asarray(viz.depth_image(np.full((4, 4), 39.0), 0, 40, 8))
    assert near.mean() < 60 < 150 < far.mean()
    assert np.asarray(viz.depth_image(np.full((1, 1), np.nan), 0, 40, 1))[0, 0].tolist() == list(UNKNOWN)
    whole = viz.depth_with_bar(np.ones((4, 4)), 0, 40, 200)
    assert whole.width == 200 and whole.height > 200
