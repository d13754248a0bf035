"""COCO's instance annotations: boxes, classes, order, images, and files of other layouts."""

import json

import pytest
from PIL import Image

from dinoclip_viz.data import SourceError
from dinoclip_viz.data.labels.coco_boxes import BoxSource, LabelledBox
from dinoclip_viz.images import ImageError

KNOWN = {
    "images": [{"id": 9, "file_name": "9.jpg", "width": 40, "height": 30}, {"id": 4, "file_name": "4.jpg"}, {"id": 5}],
    "annotations": [
        {"image_id": 4, "category_id": 18, "bbox": [1, 2.5, 10, 20], "iscrowd": 0, "id": 1},
        {"image_id": 9, "category_id": 3, "bbox": [0, 0, 5, 5], "iscrowd": 1, "id": 2},
        {"image_id": 9, "category_id": 18, "bbox": [3, 4, 0, 6], "id": 3},
    ],
    "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}, {"id": 1, "name": "person"}],
}


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize("place", ["annotations", "images", "val2017"])
def test_boxes_are_corners_in_the_order_of_the_images(tmp_path, place):
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    for name in ("4", "9"):
        Image.new("RGB", (40, 30)).save(tmp_path / place / f"{name}.jpg")
    classes, samples = BoxSource(write(tmp_path / "annotations" / "instances_val2017.json", KNOWN)).read()
    assert classes == ("dog", "car", "person")
    nine, four, nameless = samples
    assert nine.boxes == (LabelledBox("car", (0, 0, 5, 5), crowd=True), LabelledBox("dog", (3, 4, 3, 10)))
    assert four.boxes == (LabelledBox("dog", (1, 2.5, 11, 22.5)),)
    assert nine.sample.key == "9" and nine.sample.load().size == (40, 30)
    assert nameless.boxes == ()
    with pytest.raises(ImageError, match="image 3: no file_name"):
        nameless.sample.load()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"annotations": [{"image_id": 1, "category_id": 3, "bbox": [0, 0, 1, 1]}]}, "annotation 1: image_id 1"),
        ({"annotations": [{"image_id": 9, "category_id": 2, "bbox": [0, 0, 1, 1]}]}, "category_id 2 is not listed"),
        ({"annotations": [{"image_id": 9, "category_id": 3, "bbox": [0, 0, 1]}]}, "annotation 1: bbox"),
        ({"annotations": [{"image_id": 9, "category_id": 3, "bbox": [0, 0, -1, 1]}]}, "annotation 1: bbox"),
        ({"annotations": [{"image_id": 9, "category_id": 3, "caption": "a dog"}]}, "annotation 1: bbox None"),
        ({"annotations": []}, "no list `annotations`"),
        ({"categories": {}}, "no list `categories`"),
        ({"categories": [{"id": 18}]}, "without an id or a name"),
        ({"images": None}, "no list `images`"),
    ],
)
def test_other_layouts_are_refused_in_one_line(tmp_path, change, line):
    with pytest.raises(SourceError, match=line) as caught:
        BoxSource(write(tmp_path / "x.json", {**KNOWN, **change})).read()
    assert "\n" not in str(caught.value) and "x.json" in str(caught.value)


def test_what_is_no_json_is_refused(tmp_path):
    (tmp_path / "x.json").write_text("[1, 2")
    with pytest.raises(SourceError, match="not JSON"):
        BoxSource(tmp_path / "x.json").read()
