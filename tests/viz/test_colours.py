"""Colour maps and palettes: exact ends, the unknown, and colours that stay apart."""

import subprocess
import sys

import numpy as np
import pytest

from dinoclip_viz.viz import COLOUR_MAPS, class_palette, colour_map
from dinoclip_viz.viz.palette import _distance, _seen


def test_viridis_runs_from_purple_to_yellow_and_clips_outside_the_range():
    colours = colour_map([[-5.0, 0.0, 1.0, 7.0]], low=0, high=1)
    assert colours.dtype == np.uint8
    assert colours[0].tolist() == [[68, 1, 84], [68, 1, 84], [253, 231, 37], [253, 231, 37]]


@pytest.mark.parametrize("name", COLOUR_MAPS)
def test_every_colour_map_agrees_with_matplotlib(name):
    from matplotlib import colormaps

    values = np.linspace(0, 1, 101)[None]
    expected = np.round(colormaps[name](values)[..., :3] * 255)
    assert np.array_equal(colour_map(values, 0, 1, name), expected)


def test_the_same_value_has_the_same_colour_in_two_maps_of_one_range():
    first = colour_map([[0.1, 0.2]], low=-1, high=1)
    second = colour_map([[0.2, 0.9]], low=-1, high=1)
    assert np.array_equal(first[0, 1], second[0, 0])


def test_sequential_maps_grow_lighter_all_along():
    for name in ("viridis", "magma", "cividis"):
        lightness = _seen(colour_map(np.linspace(0, 1, 64)[None], 0, 1, name)[0].astype(float))[0, :, 0]
        assert (np.diff(lightness) > 0).all(), name


def test_reversed_diverging_maps_mirror_the_plain_ones():
    values = (np.arange(256)[None] + 0.5) / 256
    assert np.array_equal(colour_map(values, 0, 1, "RdBu"), colour_map(values, 0, 1, "RdBu_r")[:, ::-1])


def test_unknown_values_are_grey_and_take_no_colour_of_the_map():
    assert colour_map([[np.nan]], 0, 1)[0, 0].tolist() == [200, 200, 200]


@pytest.mark.parametrize("name", ["jet", "rainbow", "hsv", "turbo", "", "VIRIDIS"])
def test_misleading_or_unknown_colour_maps_are_refused_by_one_line_that_names_the_others(name):
    with pytest.raises(ValueError) as caught:
        colour_map([[0.0]], 0, 1, name)
    message = str(caught.value)
    assert "\n" not in message and all(other in message for other in COLOUR_MAPS)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (float("nan"), 1), (0, float("inf"))])
def test_a_range_without_extent_is_refused(low, high):
    with pytest.raises(ValueError, match="low below high"):
        colour_map([[0.0]], low, high)


@pytest.mark.parametrize("values", [[0.0, 1.0], [[[0.0]]], np.zeros((0, 3)), [[np.inf]]])
def test_what_is_not_one_finite_map_is_refused_in_one_line(values):
    with pytest.raises(ValueError) as caught:
        colour_map(values, 0, 1)
    assert "\n" not in str(caught.value)


def test_torch_tensors_are_accepted():
    torch = pytest.importorskip("torch")
    assert colour_map(torch.tensor([[0.0, 1.0]]), 0, 1)[0, 1].tolist() == [253, 231, 37]


def test_palettes_begin_alike_whatever_their_length():
    longest = class_palette(40)
    for n in (0, 1, 8, 9, 23):
        assert class_palette(n).shape == (n, 3)
        assert np.array_equal(class_palette(n), longest[:n])


def test_palette_colours_all_differ_and_the_first_twenty_stay_apart_for_the_colour_blind():
    assert len({tuple(colour) for colour in class_palette(256).tolist()}) == 256
    seen = _seen(class_palette(20).astype(float))
    for i in range(20):
        others = np.delete(_distance(seen, seen[:, i : i + 1]), i)
        assert others.min() > 0.05, i  # OKLab: about 0.02 is just distinguishable


def test_a_palette_of_a_negative_or_endless_number_is_refused():
    for n in (-1, 257):
        with pytest.raises(ValueError, match="expected 0 to 256"):
            class_palette(n)


def test_importing_viz_loads_neither_matplotlib_nor_torch():
    code = "import sys, dinoclip_viz.viz; print([m for m in ('matplotlib', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_in_viz_touches_the_state_of_pyplot():
    code = (
        "import sys; from dinoclip_viz import viz; viz.colour_map([[0.]], 0, 1);"
        "viz.figure_to_image(viz.component_histogram([0., 1.], 0.5)); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
