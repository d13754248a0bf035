"""Views as parameters: the same for the same arguments, within their ranges, and replayed as torchvision replays."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageChops
from torchvision.transforms import InterpolationMode, autoaugment
from torchvision.transforms import functional as F

from dinoclip_viz.reinforce.augment import (
    OPERATIONS,
    Augmentation,
    View,
    draw_view,
    packed,
    pixel_hash,
    replay,
    unpacked,
)

PLAIN = Augmentation(size=24)


def noise(width=40, height=30, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def drawn(count=200, augmentation=PLAIN, size=(40, 30), key="k"):
    return [draw_view(size, augmentation, 0, key, number) for number in range(count)]


def same(one, other):
    return ImageChops.difference(one, other).getbbox() is None


def test_operations_have_the_published_order():
    space = autoaugment.RandAugment()._augmentation_space(31, (24, 24))
    assert list(OPERATIONS) == list(space)


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_an_operation_equals_torchvisions(name):
    image, index = noise(24, 24), list(OPERATIONS).index(name)
    magnitudes = {view.operations[0][1] for view in drawn(600) if view.operations[0][0] == index}
    assert magnitudes
    for magnitude in magnitudes:
        ours = replay(image, View((0, 0, 24, 24), False, ((index, magnitude),)), 24)
        theirs = autoaugment._apply_op(image, name, magnitude, interpolation=InterpolationMode.NEAREST, fill=None)
        assert same(ours, theirs)
        if name not in ("Identity", "AutoContrast", "Equalize"):
            assert not same(ours, image), "an operation that changes nothing"


def test_magnitudes_are_those_of_torchvision():
    space = autoaugment.RandAugment()._augmentation_space(31, (24, 24))
    for view in drawn():
        for index, magnitude in view.operations:
            magnitudes, signed = space[list(OPERATIONS)[index]]
            expected = float(magnitudes[9]) if magnitudes.ndim else 0.0
            assert magnitude == pytest.approx(expected, rel=1e-6) or (signed and magnitude == pytest.approx(-expected))
    signs = {np.sign(magnitude) for view in drawn() for index, magnitude in view.operations if index == 1}
    assert signs == {-1.0, 1.0}


def test_a_view_is_crop_resize_flip_and_operations_in_this_order():
    image, view = noise(), View((3, 5, 20, 16), True, ((4, 3.0), (11, 100.0)))
    expected = image.crop((5, 3, 21, 23)).resize((24, 24), Image.Resampling.BICUBIC)
    expected = expected.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    expected = F.affine(expected, 0.0, [0, 3], 1.0, [0.0, 0.0])
    expected = F.solarize(expected, 100.0)
    assert same(replay(image, view, 24), expected)


def test_parameters_depend_on_seed_key_and_number_alone():
    first = draw_view((40, 30), PLAIN, 3, "a", 1)
    assert first == draw_view((40, 30), PLAIN, 3, "a", 1)
    others = [draw_view((40, 30), PLAIN, *how) for how in ((4, "a", 1), (3, "b", 1), (3, "a", 2))]
    assert all(first != other for other in others)


def test_crops_are_inside_the_image_and_within_their_ranges():
    some = Augmentation(size=24, scale=(0.25, 0.5), ratio=(0.5, 2.0))
    for view in drawn(200, some, (400, 300)):
        top, left, height, width = view.box
        assert 0 <= top <= 300 - height
        assert 0 <= left <= 400 - width
        assert 0.24 < height * width / (400 * 300) < 0.51
        assert 0.49 < width / height < 2.02
    assert len({view.box for view in drawn(200, some, (400, 300))}) > 150


def test_a_narrow_image_is_cropped_at_the_centre():
    tall = draw_view((4, 400), replace(PLAIN, scale=(1.0, 1.0)), 0, "k", 0)
    top, left, height, width = tall.box
    assert (left, width) == (0, 4)
    assert width / height == pytest.approx(3 / 4, abs=0.1)
    assert abs(top - (400 - height - top)) <= 1


def test_flips_and_operations_can_be_switched_off():
    assert not any(view.flip for view in drawn())
    flips = [view.flip for view in drawn(400, replace(PLAIN, flip=0.25))]
    assert 0.17 < np.mean(flips) < 0.33
    assert all(view.operations == () for view in drawn(10, replace(PLAIN, operations=0)))


@pytest.mark.parametrize("flip", [0.0, 0.5])
def test_the_published_form_is_read_back_exactly(flip):
    for view in drawn(50, replace(PLAIN, flip=flip)):
        assert unpacked(json.loads(json.dumps(packed(view, flip > 0)))) == view


def test_published_parameters_without_operations_are_read():
    assert unpacked([[1, 2, 3, 4], None]) == View((1, 2, 3, 4))


@pytest.mark.parametrize(
    "values", [5, [[1, 2, 3], []], [[1, 2, 3, 4], [[14, 0.0]]], [[1, 2, 3, 4], 1, []], [[1, 2, 3, 4], [[1, "nan"]]]]
)
def test_other_parameters_are_refused_in_one_line(values):
    with pytest.raises(ValueError, match=r"are no parameters of a view .*expected \[box, operations\]"):
        unpacked(values)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("size", 0), ("scale", (0.0, 1.0)), ("scale", (0.5, 0.4)), ("flip", 1.5), ("magnitude", 31), ("operations", -1)],
)
def test_settings_out_of_range_are_refused(setting, value):
    with pytest.raises(ValueError, match=f"{setting} of the views is"):
        Augmentation(**{setting: value})


def test_a_crop_outside_the_image_is_refused():
    with pytest.raises(ValueError, match=r"is not inside an image of 40 x 30 pixels"):
        replay(noise(), View((20, 0, 20, 10)), 24)


def test_the_hash_sees_one_pixel():
    image, other = noise(), noise()
    other.putpixel((3, 3), (0, 0, 0))
    assert pixel_hash([image]) != pixel_hash([other])
    assert pixel_hash([image, other]) != pixel_hash([other, image])
