import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.viz import contact_sheet, grey_tile

RED = (255, 0, 0)


def red(width=20, height=20):
    return Image.new("RGB", (width, height), RED)


def test_images_stand_row_by_row_at_one_size():
    sheet = contact_sheet([red(), red(300, 300), red()], ["", "", ""], columns=2, side=50)
    assert sheet.size == (12 + 2 * 62, 12 + 2 * 62)
    assert [sheet.getpixel(point) for point in ((12, 12), (123, 61), (12, 74))] == [RED] * 3
    assert sheet.getpixel((80, 80)) == (255, 255, 255)


def test_proportions_are_kept_and_the_image_is_whole():
    sheet = contact_sheet([red(100, 50)], [""], side=100)
    rows = np.asarray(sheet)[:, 62]
    assert (rows == RED).all(1).sum() == 50
    assert sheet.getpixel((12, 12)) == (255, 255, 255)


def test_titles_stand_below_and_a_row_is_as_high_as_its_longest():
    short = contact_sheet([red()] * 2, ["1", "2"], side=100)
    long = contact_sheet(
        [red()] * 2, ["1", "a caption that takes all of three lines, or even more than that"], side=100
    )
    assert short.height < long.height < short.height + 60
    assert (np.asarray(short)[:113] == np.asarray(long)[:113]).all()


def test_an_image_out_of_reach_is_a_grey_tile_with_its_words():
    sheet = contact_sheet(["2000-000017"], ["1"], side=100)
    assert sheet.getpixel((15, 15)) == (200, 200, 200)
    assert np.asarray(grey_tile("2000-000017")).min() < 100
    assert np.asarray(grey_tile("")).min() == 200
    assert grey_tile("a very long name " * 50, 40).size == (40, 40)


@pytest.mark.parametrize(
    ("images", "titles", "columns", "side", "reason"),
    [
        ([], [], 5, 160, "0 titles"),
        ([red()], [], 5, 160, "0 titles for 1"),
        ([red()], "a", 5, 160, "titles"),
        ([red()], ["a"], 0, 160, "columns=0"),
        ([red()], ["a"], 5, 8, "side=8"),
        ([np.zeros((2, 2, 2))], ["a"], 5, 160, "shape"),
    ],
)
def test_invalid_sheets_raise(images, titles, columns, side, reason):
    with pytest.raises(ValueError, match=reason):
        contact_sheet(images, titles, columns, side)
