"""The workbench for open-vocabulary segmentation: chips, methods side by side, masks, figures, files."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz import heatmap as raw_heatmap
from dinoclip_viz import playground
from dinoclip_viz.app.images import read
from dinoclip_viz.app.open_vocabulary import regions
from dinoclip_viz.app.open_vocabulary import tab as heatmap
from dinoclip_viz.tasks.open_vocabulary.masks import decompress, mask_of
from dinoclip_viz.tasks.probes.confusion import Confusion

PROMPTS = "a mushroom; a toadstool\na car\na flower"


@pytest.fixture(scope="module")
def scene(bench, tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.png"
    bench.scenes.draw(1002).save(path)
    return str(path)


def masks_of(bench, path, prompts, methods, **more):
    return heatmap.answer(bench, bench.first_key, path, prompts, methods, view=heatmap.MASKS, **more)


def test_chips_have_the_colours_of_masks_and_what_was_typed_is_escaped():
    wanted = regions.request_of("a cat\n<b>bold</b>", "grass")
    line = regions.chips("a cat\n<b>bold</b>", "grass")
    for name, colour in regions.colour_map_of(wanted).items():
        assert f"background:{colour};" in line and regions.html.escape(name) in line
    assert "<b>" not in line and "grass" in line
    assert "grass" not in regions.colour_map_of(wanted)
    assert len(set(regions.colour_map_of(wanted).values())) == 2


def test_methods_stand_side_by_side_with_their_maps_and_times(bench, scene):
    methods = ["maskclip", "projector"]
    maps, _, table, parts, _ = heatmap.answer(bench, bench.first_key, scene, "a mushroom\na car", methods)
    assert [caption for _, caption in maps] == [
        f"{name}, {method}" for name in ("a mushroom", "a car") for method in ("projector", "maskclip")
    ]
    assert parts == []
    rows = re.findall(r"<tr>(.*?)</tr>", table)[1:]
    assert [re.match(r"<td>([a-z-]+)</td><td>\d+</td><td>[\d.]+</td><td>\d+%</td>", row)[1] for row in rows] == [
        "projector",
        "maskclip",
    ]


def test_maps_are_the_raw_cosines_of_each_method_and_synonyms_the_higher_of_both(bench, scene):
    image, model = read(scene), bench.model(bench.first_key)
    wanted, methods = regions.request_of(PROMPTS), ["maskclip", "projector"]
    sharp = regions.find(bench, bench.first_key, image, wanted, methods)
    for one in sharp:
        edges = raw_heatmap(model, image.image, ["a car"], one.method, sharp="guided").numpy()
        assert np.allclose(one.maps[1], edges[0], atol=1e-5)
    for one in regions.find(bench, bench.first_key, image, wanted, methods, as_patches=True):
        each = raw_heatmap(model, image.image, ["a mushroom", "a toadstool", "a car"], one.method).numpy()
        assert (one.maps[0].numpy() >= each[:2].max(0) - 1e-5).all()  # the higher one a patch, then interpolated
        assert not np.allclose(one.maps[0], each[0], atol=1e-3)
        assert np.allclose(one.maps[1], each[2], atol=1e-5)
        assert one.encoding > 0 and one.prompting > 0


def test_a_second_prompt_encodes_no_image(bench, scene):
    masks_of(bench, scene, "a cat", ["maskclip", "sclip"])
    misses = bench.features_kept.misses
    found = regions.find(bench, bench.first_key, read(scene), regions.request_of("a new prompt"), ["maskclip", "sclip"])
    assert bench.features_kept.misses == misses
    assert all(one.encoding > 0 for one in found)


def test_masks_come_with_the_truth_and_their_agreement_with_it(bench, scene):
    _, note, table, parts, colours = masks_of(bench, scene, PROMPTS, ["maskclip"])
    known = playground.draw(1002, 1, 192)[0].mask.astype(int) - 1
    classes = [playground.CLASSES.index(name) for name in ("mushroom", "car", "flower")]
    truth = np.full_like(known, 255)
    for number, name in enumerate(classes):
        truth[known == name] = number
    labels = regions.find(bench, bench.first_key, read(scene), regions.request_of(PROMPTS), ["maskclip"])[0].labels
    miou = Confusion(3).add(labels, truth).miou
    assert [caption for _, caption in parts] == [f"maskclip, mIoU {miou:.0%}", heatmap.GROUND_TRUTH]
    assert f"<td>{miou:.0%}</td>" in table and note == ""
    (base, masks), _ = parts[1]
    assert {name for _, name in masks} == set(colours) == {"a mushroom", "a car", "a flower"}
    assert all(mask.shape == (base.height, base.width) and mask.max() == 0.6 for mask, _ in masks)


def test_none_of_these_takes_places_from_the_masks(bench, scene):
    def covered(**more):
        (_, masks), _ = masks_of(bench, scene, "a mushroom\na car", ["maskclip"], **more)[3][0]
        return sum((mask > 0).mean() for mask, _ in masks)

    assert covered() == 1.0
    assert covered(cut=True, threshold=0.2) < 0.6
    assert covered(background="the sea\nin the sky\na flower") < 1.0
    assert covered(cut=True, threshold=0.9) == 0.0


def test_a_photograph_has_masks_but_no_agreement(bench, photograph):
    _, note, table, parts, _ = masks_of(bench, photograph, "a cat\n😀", ["maskclip"])
    assert [caption for _, caption in parts] == ["maskclip"]
    assert "mIoU" not in table and note


def test_prompts_of_any_kind_are_answered_or_told_in_a_line(bench, scene):
    for prompts, names in (
        ("😀\n" + "x" * 10_000, ["😀", "x" * 39 + "…"]),
        ("a cat\na cat\n a cat ", ["a cat"]),
        ("a cat; a cat;; ;a kitten", ["a cat"]),
        ("word " * 2_000, [("word " * 8)[:39] + "…"]),
    ):
        maps = heatmap.answer(bench, bench.first_key, scene, prompts)[0]
        assert [caption for _, caption in maps] == names
    for prompts, words in (
        ("", "no prompt"),
        (" ; ;\n", "no prompt"),
        ("\n".join(f"prompt {number}" for number in range(200)), "200 prompts"),
    ):
        with pytest.raises(ValueError, match=words) as told:
            masks_of(bench, scene, prompts, ["maskclip"])
        assert "\n" not in str(told.value)
        assert words in regions.chips(prompts)


def test_names_that_are_alike_when_cut_stay_apart(bench, scene):
    prompts = "\n".join("x" * 50 + letter for letter in "abc")
    assert len(regions.colour_map_of(regions.request_of(prompts))) == 3
    assert len(heatmap.answer(bench, bench.first_key, scene, prompts)[0]) == 3


def test_too_many_maps_and_strange_methods_are_told(bench, scene):
    many = "\n".join(f"prompt {number}" for number in range(20))
    methods = ["maskclip", "projector", "sclip"]
    with pytest.raises(ValueError, match="60 heat maps"):
        heatmap.answer(bench, bench.first_key, scene, many, methods)
    assert len(masks_of(bench, scene, many, methods)[3]) == 3
    with pytest.raises(ValueError, match="no method is chosen"):
        heatmap.answer(bench, bench.first_key, scene, "a cat", [])
    with pytest.raises(ValueError, match="nonsense"):
        heatmap.answer(bench, bench.first_key, scene, "a cat", ["maskclip", "nonsense"])


def test_every_method_of_the_model_has_a_place_on_the_page(bench, scene):
    served = bench.model(bench.first_key).methods
    assert set(served) <= heatmap.METHODS.keys()
    filled = heatmap.filled(masks_of(bench, scene, "a car", list(served)))
    assert len(filled) == 3 + len(heatmap.HEATMAP_METHODS) + 1
    assert [slot["visible"] for slot in filled[3:]].count(True) == len(served) + 1


def test_more_patches_make_finer_maps(bench, scene):
    found = [
        regions.find(bench, bench.first_key, read(scene), regions.request_of("a car"), ["projector"], patches, True)[0]
        for patches in (12, 24)
    ]
    rough, fine = ((one.maps[0].diff(dim=0).abs()).mean().item() for one in found)
    assert found[0].maps.shape == found[1].maps.shape and fine > rough


def test_masks_are_saved_for_each_method(bench, scene, tmp_path):
    paths = heatmap.files(bench, tmp_path, bench.first_key, scene, PROMPTS, ["maskclip", "projector"])
    assert [Path(path).name for path in paths] == [
        *("masks-projector.json", "labels-projector.png", "masks-maskclip.json", "labels-maskclip.png")
    ]
    record, labels = json.loads(Path(paths[2]).read_text()), np.asarray(Image.open(paths[3]))
    for one in record["annotations"]:
        mask = mask_of(decompress(one["segmentation"]["counts"]), *one["segmentation"]["size"])
        assert np.array_equal(mask, labels == record["prompts"].index(one["class"]) + 1)
    assert record["annotations"][0]["prompts"] == ["a mushroom", "a toadstool"]
    assert sum(one["share"] for one in record["annotations"]) == pytest.approx(1)
