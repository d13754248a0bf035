"""COCO's annotations and Karpathy's splits."""

import json

import pytest

from dinoclip_viz.data import CocoSource, KarpathySource, SourceError
from dinoclip_viz.images import ImageError

COCO = {
    "info": {},
    "images": [{"id": 9, "file_name": "9.jpg"}, {"id": 4, "file_name": "4.jpg"}, {"id": 5}],
    "annotations": [
        {"image_id": 4, "id": 1, "caption": "four"},
        {"image_id": 9, "id": 2, "caption": "nine\n"},
        {"image_id": 4, "id": 3, "caption": "vier"},
        {"image_id": 77, "id": 4, "caption": "lost"},
    ],
}


def karpathy(**places):
    rows = [("1.jpg", "test"), ("2.jpg", "restval"), ("3.jpg", "train"), ("4.jpg", "val"), ("5.jpg", "train")]
    return {
        "dataset": "x",
        "images": [
            {**places, "filename": name, "split": split, "imgid": number, "sentences": [{"raw": f"a {name}"}]}
            for number, (name, split) in enumerate(rows)
        ],
    }


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize("place", ["annotations", "annotations/images", "images", "val2017", "train2017"])
def test_coco_keeps_its_order_and_finds_its_images(tmp_path, image, check_source, place):
    image(tmp_path / place / "4.jpg"), image(tmp_path / place / "9.jpg")
    source = CocoSource(write(tmp_path / "annotations" / "captions_val2017.json", COCO))
    nine, four, nameless, lost = check_source(source, loads=False)
    assert (nine.key, nine.captions) == ("9", ("nine",)) and (four.key, four.captions) == ("4", ("four", "vier"))
    assert nine.load().size == four.load().size == (8, 6)
    assert lost.captions == ("lost",)
    for sample, words in ((nameless, "no file_name"), (lost, "`images` does not list")):
        with pytest.raises(ImageError, match=words):
            sample.load()


def test_images_of_coco_may_be_without_captions(tmp_path, image, check_source):
    image(tmp_path / "pics" / "9.jpg")
    file = write(tmp_path / "image_info.json", {"images": [{"id": 9, "file_name": "9.jpg"}]})
    (sample,) = check_source(CocoSource(file, images=tmp_path / "pics"))
    assert sample.captions == ()


@pytest.mark.parametrize(
    "value, message",
    [
        ({"images": [{"id": 1}], "annotations": [{"image_id": 1, "bbox": []}]}, "image_id, bbox without captions"),
        ({"images": []}, "empty list"),
        ({"categories": []}, "no list `images`"),
        ([], "no list `images`"),
    ],
)
def test_what_holds_no_captions_is_refused(tmp_path, value, message):
    with pytest.raises(SourceError, match=message):
        list(CocoSource(write(tmp_path / "x.json", value)).samples())


def test_karpathys_splits_come_in_their_order(tmp_path, image, check_source):
    for number in range(1, 6):
        image(tmp_path / "Flicker8k_Dataset" / f"{number}.jpg")
    file = write(tmp_path / "dataset_flickr8k.json", karpathy())
    assert [sample.key for sample in check_source(KarpathySource(file))] == ["2", "4", "1", "3", "0"]
    assert [sample.captions for sample in check_source(KarpathySource(file, split="test"))] == [("a 1.jpg",)]
    assert [sample.key for sample in KarpathySource(file, split="train+restval").samples()] == ["2", "4", "1"]
    with pytest.raises(SourceError, match="no split dev; its splits: train, restval, val, test"):
        list(KarpathySource(file, split="dev").samples())


@pytest.mark.parametrize("place", ["val2014", "images/val2014", "images", "."])
def test_karpathys_coco_finds_images_with_or_without_their_folder(tmp_path, image, check_source, place):
    for number in range(1, 6):
        image(tmp_path / place / f"{number}.jpg")
    file = write(tmp_path / "dataset_coco.json", karpathy(filepath="val2014", cocoid=12))
    samples = check_source(KarpathySource(file))
    assert {sample.key for sample in samples} == {"12"} and len(samples) == 5
    check_source(KarpathySource(file, images=tmp_path / place))


def test_a_row_without_a_name_is_unreadable(tmp_path, check_source):
    value = {"images": [{"split": "train", "sentences": [{"raw": "alone"}]}, 3]}
    alone, _ = check_source(KarpathySource(write(tmp_path / "d.json", value)), loads=False)
    assert alone.captions == ("alone",)
    with pytest.raises(ImageError, match="no filename"):
        alone.load()
