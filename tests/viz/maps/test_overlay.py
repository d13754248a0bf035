"""Enlarging, heat maps, masks and PCA images: exact pixels worked by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from dinoclip_viz.viz import (
    colour_map,
    enlarge,
    enlarge_values,
    heat_overlay,
    mask_outline,
    mask_overlay,
    pca_image,
)

RED = (200, 0, 0)
BLUE = (0, 0, 200)


def image(width, height, colour=(100, 100, 100)):
    return Image.new("RGB", (width, height), colour)


def test_enlarging_makes_every_patch_the_same_square():
    shown = np.asarray(enlarge(np.array([[0, 255, 0]], dtype=np.uint8), size=10))
    assert shown.shape == (4, 12, 3)
    assert (shown[:, :4] == 0).all() and (shown[:, 4:8] == 255).all() and (shown[:, 8:] == 0).all()


def test_an_image_that_is_large_enough_stays_as_it_is():
    assert enlarge(image(30, 20), size=10).size == (30, 20)


def test_an_exact_size_is_met_exactly_smooth_or_not():
    for smooth in (False, True):
        assert enlarge(image(3, 2), size=(17, 11), smooth=smooth).size == (17, 11)


def test_transparent_images_lie_on_white():
    assert enlarge(Image.new("RGBA", (1, 1), (0, 0, 0, 0)), size=1).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((2, 2, 5)), np.full((1, 1), 300), np.full((1, 1, 3), 1.5)])
def test_what_is_no_image_is_refused_in_one_line(array):
    with pytest.raises(ValueError) as caught:
        enlarge(array, size=4)
    assert "\n" not in str(caught.value)


def test_arrays_and_tensors_of_every_layout_are_the_same_image():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    tensor = torch.from_numpy(pixels)
    alpha = np.dstack([pixels, np.full((5, 7), 255, np.uint8)])
    floats = (tensor.permute(2, 0, 1) / 255).requires_grad_()
    for kind in (pixels, pixels.tolist(), pixels.transpose(2, 0, 1), tensor, tensor.permute(2, 0, 1), floats, alpha):
        assert np.array_equal(enlarge(kind, 1), pixels)
    grey = pixels[..., :1]
    for kind in (
        grey,
        grey[..., 0],
        torch.from_numpy(grey).permute(2, 0, 1),
        Image.fromarray(grey[..., 0]).convert("I"),
    ):
        assert np.array_equal(enlarge(kind, 1), grey.repeat(3, axis=2))
    assert np.array_equal(enlarge(grey[..., 0] > 99, 1), (grey.repeat(3, axis=2) > 99) * 255)
    halves = torch.full((3, 2, 2), 0.5, dtype=torch.bfloat16)
    assert enlarge(halves, 1).getpixel((0, 0)) == (128, 128, 128)


def test_maps_and_masks_may_be_tensors_with_a_gradient():
    values, mask = torch.tensor([[0.0, 1.0]], requires_grad=True), torch.tensor([[0, 1]])
    base = np.zeros((2, 4))
    assert heat_overlay(base, values, 0, 1) == heat_overlay(base, [[0.0, 1.0]], 0, 1)
    assert mask_overlay(base, mask, torch.tensor([[9, 8, 7]])) == mask_overlay(base, [[0, 1]], [(9, 8, 7)])
    assert pca_image(torch.full((2, 2, 3), 0.5, requires_grad=True), 4, foreground=torch.ones(2, 2) > 0).size == (4, 4)


def test_values_are_interpolated_linearly_between_cell_centres():
    expected = [[0.0, 0.25, 0.75, 1.0]]
    assert np.allclose(enlarge_values([[0.0, 1.0]], width=4, height=1), expected)
    assert np.allclose(enlarge_values([[0.0], [1.0]], width=1, height=4), np.transpose(expected))


def test_unknown_cells_stay_unknown_and_do_not_pull_their_neighbours():
    enlarged = enlarge_values([[1.0, np.nan]], width=8, height=2)
    assert np.allclose(enlarged[:, :4], 1.0) and np.isnan(enlarged[:, 4:]).all()
    assert np.isnan(enlarge_values([[np.nan]], width=3, height=3)).all()


def test_a_heat_map_blends_image_and_colour_by_the_opacity():
    shown = heat_overlay(image(2, 1), [[0.0, 1.0]], 0, 1, opacity=0.5, colours="viridis")
    assert shown.getpixel((0, 0)) == (84, 50, 92)  # halves of 100, 100, 100 and 68, 1, 84; 50.5 rounds to even
    assert shown.getpixel((1, 0)) == (176, 166, 68)


def test_opacity_zero_is_the_image_and_one_is_the_colours():
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    values = np.random.default_rng(1).random((6, 8))
    assert np.array_equal(heat_overlay(noise, values, 0, 1, opacity=0), noise)
    assert np.array_equal(heat_overlay(noise, values, 0, 1, opacity=1), colour_map(values, 0, 1, "magma"))


def test_below_the_threshold_the_image_is_grey_and_half_as_bright():
    values = np.zeros((20, 20))
    values[5:15, 5:15] = 1.0
    shown = heat_overlay(image(20, 20, (200, 0, 0)), values, 0, 1, opacity=0, threshold=0.5)
    assert shown.getpixel((0, 0)) == (30, 30, 30)  # half of 0.299 * 200
    assert shown.getpixel((10, 10)) == (200, 0, 0)
    assert shown.getpixel((5, 10)) == (255, 255, 255) and shown.getpixel((4, 10)) == (0, 0, 0)


def test_unknown_places_show_the_image_through_grey_stripes():
    values = np.full((40, 40), np.nan)
    shown = np.asarray(heat_overlay(image(40, 40), values, 0, 1))
    colours, counts = np.unique(shown.reshape(-1, 3), axis=0, return_counts=True)
    assert colours.tolist() == [[100] * 3, [180] * 3]  # the image, and 0.2 * 100 + 0.8 * 200
    assert counts[0] > counts[1]


def test_an_overlay_has_the_images_size_from_any_grid():
    for grid in ((1, 1), (3, 5), (48, 64)):
        assert heat_overlay(image(64, 48), np.zeros(grid), 0, 1).size == (64, 48)


def test_rows_and_columns_exchanged_are_refused():
    with pytest.raises(ValueError, match="64 rows and 48 columns on an image of 48 rows"):
        heat_overlay(image(64, 48), np.zeros((64, 48)), 0, 1)
    with pytest.raises(ValueError, match="rows first"):
        mask_overlay(image(64, 48), np.zeros((64, 48), dtype=int), [RED])


@pytest.mark.parametrize("bad", [{"opacity": 1.5}, {"colours": "jet"}, {"threshold": float("nan")}, {"high": 0}])
def test_bad_settings_of_a_heat_map_are_refused_in_one_line(bad):
    settings = {"low": 0, "high": 1} | bad
    with pytest.raises(ValueError) as caught:
        heat_overlay(image(4, 4), np.zeros((4, 4)), **settings)
    assert "\n" not in str(caught.value)


def test_a_mask_tints_classes_and_leaves_the_background():
    shown = mask_overlay(image(3, 1), [[0, 1, 2]], [RED, BLUE], opacity=0.5)
    assert [shown.getpixel((x, 0)) for x in range(3)] == [(100, 100, 100), (150, 50, 50), (50, 50, 150)]


def test_a_mask_of_patches_is_enlarged_by_squares():
    shown = mask_overlay(image(4, 2), [[1, 2]], [RED, BLUE], opacity=1)
    assert np.asarray(shown)[:, :, 0].tolist() == [[200, 200, 0, 0]] * 2


def test_an_outline_lies_inside_its_region_with_a_line_of_contrast_within():
    mask = np.zeros((12, 12), dtype=np.uint8)
    mask[2:10, 2:10] = 1
    shown = np.asarray(mask_outline(image(12, 12), mask, [(255, 255, 0)], thickness=1))
    expected = (
        [[100] * 3] * 2 + [[255, 255, 0], [0, 0, 0]] + [[100] * 3] * 4 + [[0, 0, 0], [255, 255, 0]] + [[100] * 3] * 2
    )
    assert shown[6].tolist() == expected


def test_touching_regions_each_keep_their_line():
    shown = np.asarray(mask_outline(image(8, 1), [[1] * 4 + [2] * 4], [RED, BLUE], thickness=1))
    assert shown[0, 3].tolist() == list(RED) and shown[0, 4].tolist() == list(BLUE)


@pytest.mark.parametrize(
    ("mask", "words"), [([[2]], "label 2 and 1 colours"), ([[-1]], "holds -1"), ([[0.5]], "whole"), ([1], "shape")]
)
def test_masks_without_colours_or_sense_are_refused(mask, words):
    with pytest.raises(ValueError, match=words):
        mask_overlay(image(1, 1), mask, [RED])


def test_a_pca_image_shows_each_patch_and_a_flat_background():
    colours = np.array([[[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [np.nan, 0, 0]]])
    front = np.array([[True, False], [True, True]])
    shown = np.asarray(pca_image(colours, 8, foreground=front))
    assert shown.shape == (8, 8, 3)
    assert (shown[:4, :4] == [255, 0, 0]).all() and (shown[4:, :4] == [0, 0, 255]).all()
    assert (shown[:4, 4:] == 232).all() and (shown[4:, 4:] == 200).all()


def test_a_smooth_foreground_takes_no_colour_from_the_background():
    colours = np.zeros((4, 4, 3))
    colours[:, :2] = [1, 0, 0]
    colours[:, 2:] = [0, 1, 0]
    front = np.zeros((4, 4), dtype=bool)
    front[:, :2] = True
    shown = np.asarray(pca_image(colours, 64, smooth=True, foreground=front)).astype(int)
    assert (shown[:, 8] == [255, 0, 0]).all() and (shown[:, -8] == 232).all()
    assert (shown[..., 1] <= shown[..., 0]).all()  # never greener than grey
    assert shown[..., 1].max() == 232


def test_a_pca_image_refuses_a_batch_other_ranges_and_another_grid():
    with pytest.raises(ValueError, match="one image's patches at a time"):
        pca_image(np.zeros((1, 2, 2, 3)), 8)
    with pytest.raises(ValueError, match="expected values from 0 to 1"):
        pca_image(np.full((2, 2, 3), 2.0), 8)
    with pytest.raises(ValueError, match=r"expected bool \(2, 3\)"):
        pca_image(np.zeros((2, 3, 3)), 8, foreground=np.ones((3, 2), dtype=bool))


def test_inputs_are_left_as_they_were():
    base, values, mask = image(8, 8), np.full((2, 2), np.nan), np.ones((8, 8), dtype=np.uint8)
    before = base.tobytes(), values.copy(), mask.copy()
    heat_overlay(base, values, 0, 1, threshold=0.5)
    mask_outline(base, mask, [RED])
    assert base.tobytes() == before[0]
    assert np.array_equal(values, before[1], equal_nan=True) and np.array_equal(mask, before[2])
