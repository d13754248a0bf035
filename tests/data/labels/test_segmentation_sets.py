"""Class lists of the benchmarks: how many, in which order, under which words, and against texts encoded elsewhere."""

from pathlib import Path

import numpy as np
import pytest

from dinoclip_viz.data.labels.coco_labels import COCO_OBJECTS, COCO_STUFF
from dinoclip_viz.data.labels.context import CONTEXT_NAMES
from dinoclip_viz.data.labels.segmentation_sets import (
    PUBLISHED_AS,
    SEGMENTATION_SETS,
    open_segmentation,
    segmentation_set,
)
from dinoclip_viz.data.labels.voc import VOC_NAMES
from dinoclip_viz.models import HEATMAP_METHODS
from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary
from dinoclip_viz.tasks.zero_shot.class_lists import class_list

REFERENCE = Path(__file__).resolve().parents[4] / "shared" / "reference"
B16, B32 = REFERENCE / "clip_vitb16_texts", REFERENCE / "clip_vitb32_texts"

COUNTS = {
    "voc20": 20, "voc21": 20, "context59": 59, "context60": 59, "coco-object": 80, "coco-stuff": 171, "cityscapes": 19,
    "ade20k": 150, "playground": 20,
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_every_benchmark_has_its_classes_each_once_and_words_for_each(name):
    one = segmentation_set(name)
    assert len(one.classes) == len(set(one.classes)) == len(one.prompts) == COUNTS[name]
    words = [word for prompts in one.prompts for word in prompts]
    assert len(set(words)) == len(words), "two classes share a word"
    assert all(word == word.strip() and word for word in words)
    assert not set(one.background) & set(words)
    vocabulary = Vocabulary((*one.classes, *one.background), (*one.prompts, *((word,) for word in one.background)))
    assert len(vocabulary.names) == COUNTS[name] + len(one.background)


def test_the_label_of_the_first_class_follows_the_background():
    with_zero = {name for name, one in SEGMENTATION_SETS.items() if one.first == 1}
    assert with_zero == {"voc20", "voc21", "context59", "context60", "coco-object", "playground"}
    counted = {name for name, one in SEGMENTATION_SETS.items() if one.with_background}
    assert counted == {"voc21", "context60", "coco-object", "playground"}
    assert {name for name, one in SEGMENTATION_SETS.items() if one.background} == {"voc21", "coco-object"}


def test_names_stand_in_the_benchmarks_own_order():
    assert SEGMENTATION_SETS["voc21"].classes == VOC_NAMES[1:]
    assert VOC_NAMES[1:].index("person") == 14 and SEGMENTATION_SETS["voc20"].prompts[-1][0] == "television monitor"
    assert list(CONTEXT_NAMES[1:]) == sorted(CONTEXT_NAMES[1:]) and CONTEXT_NAMES[0] == "background"
    assert set(CONTEXT_NAMES) >= set(VOC_NAMES) - {"diningtable"}
    assert list(COCO_STUFF) == sorted(COCO_STUFF) and len(COCO_STUFF) == 91
    assert class_list("coco").names == COCO_OBJECTS
    cityscapes = SEGMENTATION_SETS["cityscapes"].classes
    assert [cityscapes[number] for number in (0, 10, 11, 18)] == ["road", "sky", "person", "bicycle"]
    ade = SEGMENTATION_SETS["ade20k"].classes
    assert [ade[number] for number in (0, 12, 20, 149)] == ["wall", "person", "car", "flag"]


def test_published_figures_are_shares_of_methods_that_exist():
    assert set(PUBLISHED_AS) <= set(HEATMAP_METHODS)
    for name, one in SEGMENTATION_SETS.items():
        assert bool(one.published) == (name != "playground")
        assert all(0.1 < figure < 0.9 for figure in one.published.values())
        assert one.published.get("Trident", 1) == max([*one.published.values(), 0.0 if one.published else 1])
    assert SEGMENTATION_SETS["ade20k"].published["LPOSS"] == 0.218
    assert SEGMENTATION_SETS["voc20"].published["MaskCLIP"] == 0.618
    assert "MaskCLIP" not in SEGMENTATION_SETS["voc21"].published


def test_names_that_are_no_benchmark_are_refused_in_one_line():
    with pytest.raises(ValueError, match="no segmentation data set 'voc22'; expected one of voc20, voc21") as told:
        segmentation_set("voc22")
    assert "\n" not in str(told.value)


def test_a_folders_classes_are_its_own_and_a_background_is_label_zero():
    drawn = segmentation_set("folder", open_segmentation("playground", "playground:2000:1"))
    assert (drawn.first, drawn.with_background, len(drawn.classes)) == (1, True, 20)
    assert drawn.prompts[0] == ("cat",) and drawn.templates == "none" and not drawn.published


@pytest.mark.skipif(not B16.is_dir() or not B32.is_dir(), reason="../shared/reference/clip_vitb*_texts are not here")
def test_texts_encoded_elsewhere_agree_with_the_order_of_coco_and_voc():
    stuff = np.load(B16 / "coco_single.npy").astype(np.float64)
    voc = np.load(B16 / "voc12_single.npy").astype(np.float64)
    things = np.load(B32 / "coco_clip_a+cname.npy").astype(np.float64)
    stuff, voc, things = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (stuff, voc, things))
    names = SEGMENTATION_SETS["coco-stuff"].classes
    assert len(stuff) == len(names) == 171 and len(voc) == 20
    same = {"aeroplane": "airplane", "motorbike": "motorcycle", "sofa": "couch", "tvmonitor": "tv",
            "diningtable": "dining table", "pottedplant": "potted plant"}  # fmt: skip
    nearest = [names[number] for number in (voc @ stuff[:80].T).argmax(1)]
    expected = [same.get(name, name) for name in VOC_NAMES[1:]]
    assert sum(one == other for one, other in zip(nearest, expected, strict=True)) >= 18
    apart = np.triu_indices(80, 1)  # the things' likenesses, by two models, agree in this order and in no other
    agreed = np.corrcoef((stuff[:80] @ stuff[:80].T)[apart], (things @ things.T)[apart])[0, 1]
    mixed = np.random.default_rng(0).permutation(80)
    assert agreed > 0.5 > 3 * abs(np.corrcoef((stuff[mixed] @ stuff[mixed].T)[apart], (things @ things.T)[apart])[0, 1])
    walls = [number for number, name in enumerate(names) if name.startswith(("wall-", "floor-", "window-"))]
    likeness = stuff @ stuff.T - 2 * np.eye(171)
    kin = [names[number].split("-")[0] == names[likeness[number].argmax()].split("-")[0] for number in walls]
    assert np.mean(kin) > 0.7
