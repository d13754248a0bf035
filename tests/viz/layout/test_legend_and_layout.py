"""Legends, rows and grids: sizes by hand, nothing clipped, the same in every thread."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.viz import (
    class_legend,
    class_palette,
    component_histogram,
    component_legend,
    figure_to_image,
    image_grid,
    scale_bar,
    score_bars,
    side_by_side,
    with_legend,
)
from dinoclip_viz.viz.layout.legend import _number
from dinoclip_viz.viz.text import FAINT, INK, font_for, shorten, wrap

LONG = "an extraordinarily long description of a small white cat that sits on a mat " * 5
UNBROKEN = "Donaudampfschifffahrtsgesellschaftskapitän" * 4


def rim_is_white(image, pixels=3):
    array = np.asarray(image)
    rims = array[:pixels], array[-pixels:], array[:, :pixels], array[:, -pixels:]
    return all((rim == 255).all() for rim in rims)


def contrast(ink, paper=(255, 255, 255)):
    def luminance(colour):
        srgb = np.array(colour) / 255
        linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    return (luminance(paper) + 0.05) / (luminance(ink) + 0.05)


def test_all_text_has_enough_contrast_for_everyone():
    assert contrast(INK) > 7 and contrast(FAINT) > 4.5


@pytest.mark.parametrize("width", [96, 200, 400, 768, 1600])
@pytest.mark.parametrize("text", ["a cat", LONG, UNBROKEN, "кот, γάτα, café"])
def test_no_legend_clips_its_text_at_any_width(width, text):
    legends = [
        scale_bar(-0.123, 0.456, "viridis", text, width),
        component_legend([text] * 3, [[[0, 0, 0], [1, 1, 1]]] * 3, note=text, width=width),
        class_legend([text, "b", "c", "d"], class_palette(4), width),
        score_bars([text, "b"], [0.5, 0.4, 0.1], width=max(width, 240)),
    ]
    for legend in legends:
        assert legend.width in (width, 240)
        assert rim_is_white(legend)


def test_a_scale_bar_begins_and_ends_with_the_maps_own_colours():
    bar = np.asarray(scale_bar(0, 1, "viridis", "fraction"))
    for colour in ([68, 1, 84], [253, 231, 37]):
        assert (bar == colour).all(axis=-1).any()
    first = np.argwhere((bar == [68, 1, 84]).all(axis=-1))[:, 1].min()
    last = np.argwhere((bar == [253, 231, 37]).all(axis=-1))[:, 1].max()
    assert first < 30 and last > 768 - 30


@pytest.mark.parametrize(
    ("value", "step", "words"),
    [
        (0.0, 0.1, "0"),
        (-0.001, 0.1, "0"),
        (-0.1, 0.1, "-0.1"),
        (0.25, 0.25, "0.25"),
        (30, 10, "30"),
        (1e6, 1e6, "1e+06"),
    ],
)
def test_ticks_are_written_in_few_digits(value, step, words):
    assert _number(value, step) == words


def test_a_threshold_is_marked_within_the_range_alone():
    assert scale_bar(0, 1, "magma", "x", threshold=0.5).tobytes() != scale_bar(0, 1, "magma", "x").tobytes()
    with pytest.raises(ValueError, match="from low=0 to high=1"):
        scale_bar(0, 1, "magma", "x", threshold=2)


def test_legends_refuse_what_does_not_fit_together():
    with pytest.raises(ValueError, match="2 names and 1 colours"):
        class_legend(["a", "b"], [(0, 0, 0)])
    with pytest.raises(ValueError, match="strip per text"):
        component_legend(["one", "two"], [[[0, 0, 0], [1, 1, 1]]])
    with pytest.raises(ValueError, match="width=40"):
        scale_bar(0, 1, "magma", "x", width=40)
    with pytest.raises(ValueError, match="low below high"):
        scale_bar(1, 1, "magma", "x")


def test_a_class_legend_shows_every_colour():
    palette = class_palette(30)
    pixels = {
        tuple(colour) for colour in np.asarray(class_legend(list(map(str, range(30))), palette)).reshape(-1, 3).tolist()
    }
    assert {tuple(colour) for colour in palette.tolist()} <= pixels


def test_a_legend_stands_below_and_the_narrower_is_centred_on_white():
    joined = with_legend(Image.new("RGB", (10, 4), "red"), Image.new("RGB", (20, 6), "blue"))
    assert joined.size == (20, 10)
    assert joined.getpixel((4, 0)) == (255, 255, 255) and joined.getpixel((5, 0)) == (255, 0, 0)
    assert joined.getpixel((0, 4)) == (0, 0, 255)


@pytest.mark.parametrize("text", ["a cat", LONG, UNBROKEN, "one\ntwo\nthree\nfour\nfive", "", "   ", "é " * 200])
@pytest.mark.parametrize("width", [12, 60, 300])
def test_wrapped_lines_fit_and_what_is_cut_says_so(text, width):
    font = font_for(text, 20)
    lines = wrap(text, font, width, most=3)
    assert 1 <= len(lines) <= 3
    assert all(font.getlength(line) <= max(width, font.getlength("W…")) for line in lines)
    whole = "".join(text.split())
    drawn = "".join("".join(lines).split())
    assert drawn == whole or (drawn.endswith("…") and whole.startswith(drawn[:-1]))


def test_short_text_is_left_whole():
    assert shorten("cat", font_for("", 20), 500) == "cat"


def test_images_side_by_side_have_one_height_and_white_between():
    row = side_by_side([Image.new("RGB", (20, 40), "red"), Image.new("RGB", (20, 20), "blue")], gap=10, height=40)
    assert row.size == (10 + 20 + 10 + 40 + 10, 60)
    assert row.getpixel((10, 10)) == (255, 0, 0) and row.getpixel((40, 49)) == (0, 0, 255)
    assert row.getpixel((35, 30)) == (255, 255, 255)


def test_captions_stand_within_their_columns():
    black = Image.new("RGB", (10, 200), "white")
    row = np.asarray(side_by_side([black, black], [LONG, UNBROKEN], gap=16))
    assert (row[:, :16] == 255).all() and (row[:, 116:132] == 255).all() and (row[:, -16:] == 255).all()
    assert (row[:, 16:116] < 255).any() and (row[:, 132:232] < 255).any()


def test_a_very_wide_image_does_not_make_an_endless_row():
    assert side_by_side([Image.new("RGB", (5000, 10))], height=50, gap=0).size == (200, 1)


def test_a_grid_has_as_many_columns_as_it_needs():
    tiles = [Image.new("RGB", (30, 30))] * 5
    assert image_grid(tiles, columns=3, cell=30, gap=2).size == (3 * 32 + 2, 2 * 32 + 2)
    assert image_grid(tiles[:2], columns=4, cell=30, gap=2).size == (2 * 32 + 2, 32 + 2)


def test_images_in_a_grid_keep_their_proportions():
    grid = np.asarray(
        image_grid([Image.new("RGB", (20, 10), "red"), Image.new("RGB", (10, 20), "red")], cell=40, gap=0)
    )
    red = (grid == [255, 0, 0]).all(axis=-1)
    assert red[:, :40].sum() == 40 * 20 and red[:, 40:].sum() == 20 * 40


def test_layouts_refuse_nothing_at_all_and_captions_that_do_not_match():
    for lay in (side_by_side, image_grid):
        with pytest.raises(ValueError, match="no images"):
            lay([])
        with pytest.raises(ValueError, match="1 captions for 2 images"):
            lay([Image.new("RGB", (4, 4))] * 2, ["one"])
    with pytest.raises(ValueError, match="columns=0"):
        image_grid([Image.new("RGB", (4, 4))], columns=0)


def test_threads_draw_the_same_images_as_one():
    def draw(seed):
        values = np.random.default_rng(seed).normal(size=50)
        figure = figure_to_image(component_histogram(values, threshold=0.0)).tobytes()
        return figure + scale_bar(-seed - 1, seed + 1, "PuOr", f"café {seed}").tobytes()

    alone = [draw(seed) for seed in range(6)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, range(6))) == alone
