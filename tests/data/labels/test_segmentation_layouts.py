"""The benchmarks' own file layouts, as tiny trees: Pascal Context, COCO-Stuff and -Object, Cityscapes, VOC."""

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.data import SourceError
from dinoclip_viz.data.labels.cityscapes import cityscapes
from dinoclip_viz.data.labels.coco_labels import coco_object, coco_stuff
from dinoclip_viz.data.labels.context import context_source
from dinoclip_viz.data.labels.label_files import UNKNOWN
from dinoclip_viz.data.labels.segmentation_sets import SEGMENTATION_SETS, open_segmentation, segmentation_set
from dinoclip_viz.data.labels.sources import TruthSource, pairs


def save(path, *numbers):
    """A 6 x 8 mask, a column of pixels a number, the last one to the end."""
    values = np.full((6, 8), numbers[-1], np.uint8)
    for column, number in enumerate(numbers):
        values[:, column] = number
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def listed(file, *keys):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{key}\n" for key in keys))


@pytest.fixture
def context(tmp_path, image):
    root = tmp_path / "VOCdevkit" / "VOC2010"
    listed(root / "ImageSets" / "SegmentationContext" / "train.txt", "2008_000002")
    listed(root / "ImageSets" / "SegmentationContext" / "val.txt", "2008_000008", "2008_000021")
    for key in ("2008_000002", "2008_000008", "2008_000021"):
        image(root / "JPEGImages" / f"{key}.jpg")
        save(root / "SegmentationClassContext" / f"{key}.png", 0, 1, 59, 255)
    return root


@pytest.fixture
def coco(tmp_path, image):
    root = tmp_path / "coco"
    for split, key in (("val2017", "000000000139"), ("train2017", "000000000009")):
        image(root / "images" / split / f"{key}.jpg")
        save(root / "annotations" / split / f"{key}_labelTrainIds.png", 0, 80, 170, 255)
        save(root / "annotations" / split / f"{key}_instanceTrainIds.png", 0, 1, 80)
    return root


@pytest.fixture
def streets(tmp_path, image):
    root = tmp_path / "cityscapes"
    for city, stem in (("munster", "munster_000000_000019"), ("frankfurt", "frankfurt_000001_000000")):
        image(root / "leftImg8bit" / "val" / city / f"{stem}_leftImg8bit.png")
        save(root / "gtFine" / "val" / city / f"{stem}_gtFine_labelIds.png", 0, 7, 26, 33, 29, 255)
    save(root / "gtFine" / "val" / "munster" / "munster_000000_000019_gtFine_labelTrainIds.png", 255, 0, 13, 18)
    return root


@pytest.mark.parametrize("above", [0, 1, 2])
def test_context_has_sixty_labels_and_its_own_lists(context, check_source, above):
    place = [context, context.parent, context.parent.parent][above]
    for name in ("context59", "context60"):
        source = open_segmentation(name, place)
        assert isinstance(source, TruthSource) and source.kinds == ("class",)
        assert [sample.key for sample in check_source(source)] == ["2008_000008", "2008_000021"]
        assert open_segmentation(name, place, "train").count == 1
        labels = source.truth("2008_000008", "class")
        assert labels.dtype == np.uint8 and labels[0, :4].tolist() == [0, 1, 59, UNKNOWN]
        assert source.names("class")[1:] == segmentation_set(name).classes and source.names("class")[59] == "wood"


def test_cocos_two_truths_lie_beside_each_other(coco, check_source):
    stuff, things = open_segmentation("coco-stuff", coco), open_segmentation("coco-object", coco)
    for source in (stuff, things):
        assert [sample.key for sample in check_source(source)] == ["000000000139"]
    assert stuff.truth("000000000139", "class")[0, :4].tolist() == [0, 80, 170, UNKNOWN]
    assert [stuff.names("class")[number] for number in (0, 79, 80, 170)] == ["person", "toothbrush", "banner", "wood"]
    assert things.truth("000000000139", "class")[0, :3].tolist() == [0, 1, 80]
    assert [things.names("class")[number] for number in (0, 1, 80)] == ["background", "person", "toothbrush"]
    assert [sample.key for sample in open_segmentation("coco-stuff", coco, "train2017").samples()] == ["000000000009"]


def test_cityscapes_train_ids_are_read_and_ids_become_them_where_they_are_alone(streets, check_source):
    source = open_segmentation("cityscapes", streets)
    keys = [sample.key for sample in check_source(source)]
    assert keys == ["frankfurt/frankfurt_000001_000000", "munster/munster_000000_000019"]
    assert source.truth(keys[0], "class")[0, :6].tolist() == [UNKNOWN, 0, 13, 18, UNKNOWN, UNKNOWN]
    assert source.truth(keys[1], "class")[0, :4].tolist() == [UNKNOWN, 0, 13, 18]
    assert source.names("class")[13] == "car" and len(source.names("class")) == 19


def test_voc_is_one_source_for_both_of_its_benchmarks(tmp_path, image):
    root = tmp_path / "VOC2012"
    listed(root / "ImageSets" / "Segmentation" / "val.txt", "2007_000033")
    image(root / "JPEGImages" / "2007_000033.jpg")
    save(root / "SegmentationClass" / "2007_000033.png", 0, 255, 1, 20)
    assert open_segmentation("voc20", tmp_path) == open_segmentation("voc21", root)
    assert open_segmentation("voc20", tmp_path).truth("2007_000033", "class")[0, :4].tolist() == [0, 255, 1, 20]


def test_labels_that_are_missing_or_no_class_are_told_image_by_image(coco, streets, context):
    save(coco / "annotations" / "val2017" / "000000000139_labelTrainIds.png", 171)
    (coco / "annotations" / "val2017" / "000000000139_instanceTrainIds.png").unlink()
    save(streets / "gtFine" / "val" / "frankfurt" / "frankfurt_000001_000000_gtFine_labelIds.png", 34)
    save(context / "SegmentationClassContext" / "2008_000008.png", 60)
    for source, words in (
        (coco_stuff(coco), "holds the number 171"),
        (coco_object(coco), "no such file"),
        (cityscapes(streets), "holds the number 34"),
        (context_source(context), "holds the number 60"),
    ):
        told = next(pairs(source, "class"))[1]
        assert isinstance(told, str) and words in told and "\n" not in told


def test_folders_of_another_layout_are_refused_in_one_line(tmp_path, coco, streets, context):
    (tmp_path / "empty").mkdir()
    (coco / "images" / "test2017").mkdir()
    refused = [
        *((name, tmp_path / "empty", None, "expected") for name in SEGMENTATION_SETS),
        ("voc21", tmp_path / "nowhere", None, "no such folder; expected voc21: JPEGImages"),
        ("voc21", context, None, "no voc21 was found"),
        ("context60", coco, None, "no context60 was found; expected JPEGImages, SegmentationClassContext"),
        ("context60", context, "test", "no split test; its splits: train, val"),
        ("coco-stuff", coco, "../val2017", "no split ../val2017; its splits: test2017, train2017, val2017"),
        ("coco-object", coco, "test2017", "no images; expected names that end in .jpg"),
        ("coco-stuff", streets, None, "no folder images/; expected COCO-Stuff 164k: images in images/val2017"),
        ("cityscapes", streets, "test", "no split test; its splits: val"),
        ("ade20k", coco, None, "no ade20k was found"),
        ("folder", tmp_path / "empty", None, "no ground truth was found"),
        ("cityscapes", "", None, "no such folder"),
    ]
    for name, place, split, words in refused:
        with pytest.raises(SourceError, match=words.replace("(", r"\(")) as told:
            open_segmentation(name, place, split)
        assert "\n" not in str(told.value)
    with pytest.raises(SourceError, match=r"no (ground )?ground truth of kind 'depth'"):
        cityscapes(streets).names("depth")
