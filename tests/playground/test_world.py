"""Synthetic scenes: seeds, ground truth, captions, depth, looks."""

import json

import numpy as np
import pytest

from dinoclip_viz.playground import AFFORDANCES, BACKGROUNDS, CLASSES, COLOURS, PARTS, draw, stream
from dinoclip_viz.playground.captions import article
from dinoclip_viz.playground.layout import FAR
from dinoclip_viz.playground.render import paint_order, piece_map, render
from dinoclip_viz.playground.shapes import BUILDERS
from dinoclip_viz.playground.world import sample, words


def test_a_scene_depends_on_seed_and_index_alone():
    few, many = draw(1234, 2, 64), draw(1234, 5, 64)
    for one, other in zip(few, many, strict=False):
        assert np.array_equal(one.image, other.image)
        assert one.captions == other.captions and one.objects == other.objects
    assert not np.array_equal(draw(1235, 1, 64)[0].image, few[0].image)


def test_stream_gives_the_scenes_of_draw():
    for one, other in zip(stream(1300, 3, 48), draw(1300, 3, 48), strict=True):
        assert np.array_equal(one.image, other.image) and np.array_equal(one.depth, other.depth)


def test_every_class_has_parts_that_are_named():
    seen: dict[str, set[str]] = {}
    for scene in draw(1400, 200, 64, objects=1):
        numbers = np.unique(scene.parts[scene.mask > 0])
        seen.setdefault(scene.objects[0]["name"], set()).update(PARTS[n - 1] for n in numbers)
    assert set(seen) == set(CLASSES) == set(BUILDERS)
    assert set().union(*seen.values()) == set(PARTS)
    for name, part in AFFORDANCES:
        assert part in seen[name], (name, part)


def test_masks_agree_with_each_other():
    for scene in draw(1500, 20, 96):
        assert scene.image.size == (96, 96) and scene.image.mode == "RGB"
        assert scene.mask.dtype == scene.parts.dtype == scene.instances.dtype == np.uint8
        assert np.array_equal(scene.mask > 0, scene.parts > 0) and np.array_equal(scene.mask > 0, scene.instances > 0)
        for number, thing in enumerate(scene.objects, start=1):
            seen = scene.instances == number
            if not seen.any():
                assert thing["box"] == [0, 0, 0, 0]
                continue
            x0, y0, x1, y1 = thing["box"]
            assert seen.sum() == seen[y0:y1, x0:x1].sum() and seen[y0].any() and seen[:, x1 - 1].any()
            assert set(np.unique(scene.mask[seen])) == {CLASSES.index(thing["name"]) + 1}


def test_the_first_caption_states_colour_class_and_background():
    for scene in draw(1600, 40, 32, objects=1):
        thing = scene.objects[0]
        assert f"{thing['colour']} {thing['name']}" in scene.captions[0]
        assert scene.captions[0].endswith(BACKGROUNDS[scene.background])
        assert thing["colour"] in COLOURS and len(scene.captions) == 4


def test_captions_put_an_before_a_vowel():
    assert article("elephant") == "an elephant"
    assert not any(f" a {vowel}" in f" {c}" for s in draw(1700, 100, 16) for c in s.captions for vowel in "aeiou")


@pytest.mark.parametrize("objects", [1, 2, 5, 8])
def test_the_number_of_objects_can_be_fixed(objects):
    assert all(len(scene.objects) == objects for scene in draw(1800, 4, 48, objects=objects))


def test_nearer_objects_hide_farther_ones_and_are_nearer():
    for index in range(30):
        layout, _ = sample(1900, index)
        bottoms = [layout.things[i].bottom for i in paint_order(layout)]
        assert bottoms == sorted(bottoms)
    for scene in draw(1900, 30, 64):
        assert scene.depth.min() > 0 and scene.depth.max() <= FAR
        for number in range(1, len(scene.objects) + 1):
            seen = scene.depth[scene.instances == number]
            assert seen.size == 0 or seen.min() == seen.max()


def test_one_layout_in_two_looks_has_the_same_pieces_and_other_pixels():
    layout, first = sample(2000, 3)
    second = sample(2000, 3, look=1)[1]
    (one, pieces), (other, same) = render(layout, first, 64), render(layout, second, 64)
    assert np.array_equal(pieces, same) and np.array_equal(pieces, piece_map(layout, 128))
    assert np.abs(np.asarray(one, int) - np.asarray(other, int)).mean() > 5
    assert words(2000, 3, layout, first) != words(2000, 3, layout, second)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ({"seed": -1}, "seed is -1"),
        ({"count": -1}, "count is -1"),
        ({"size": 4}, "size is 4"),
        ({"size": 9999}, "size is 9999"),
        ({"objects": 0}, "objects is 0"),
        ({"objects": 9}, "objects is 9"),
    ],
)
def test_arguments_out_of_range_are_refused_in_one_line(arguments, reason):
    with pytest.raises(ValueError, match=reason) as error:
        draw(**{"seed": 1000, "count": 1, "size": 32} | arguments)
    assert "\n" not in str(error.value)


def test_scenes_can_be_written_as_json():
    scene = draw(1000, 1, 32)[0]
    assert json.loads(json.dumps(scene.objects)) == scene.objects
