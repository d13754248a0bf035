"""Masks as files, compared with a plain loop and the letters of COCO; prompts compared with the ground truth."""

import json

import numpy as np
import pytest
import torch

from dinoclip_viz.tasks.open_vocabulary.masks import (
    MOST_COLOURS,
    bounding_box,
    compress,
    decompress,
    label_image,
    mask_of,
    mask_record,
    run_lengths,
)
from dinoclip_viz.tasks.open_vocabulary.named_classes import (
    NONE_OF_THESE,
    classes_named,
    ground_truth_of_named,
    named_confusion,
)
from dinoclip_viz.tasks.open_vocabulary.scores import Vocabulary, areas


def counted_one_by_one(mask):
    """Run lengths, pixel by pixel down each column."""
    counts, value = [0], 0
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            if int(mask[row, column]) != value:
                counts.append(0)
                value = 1 - value
            counts[-1] += 1
    return counts


@pytest.fixture(scope="module")
def masks():
    chance = np.random.default_rng(5)
    shapes = [(1, 1), (1, 9), (9, 1), (7, 5), (40, 30), (64, 90)]
    some = [chance.random(shape) < share for shape in shapes for share in (0.0, 0.03, 0.5, 0.9, 1.0)]
    box = np.zeros((300, 200), bool)
    box[10:290, 5:190] = True  # runs of hundreds and of ten thousands: several letters each
    return [*some, box]


def test_run_lengths_are_those_of_a_plain_loop_and_lead_back_to_the_mask(masks):
    for mask in masks:
        counts = run_lengths(mask)
        assert counts == counted_one_by_one(mask)
        assert np.array_equal(mask_of(counts, *mask.shape), mask)


def test_letters_lead_back_to_the_run_lengths(masks):
    for mask in masks:
        counts = run_lengths(mask)
        assert decompress(compress(counts)) == counts


def test_letters_are_those_that_cocos_tools_write():
    """As pycocotools 2.0.11 encodes these two masks."""
    small = np.zeros((4, 5), bool)
    small[1:3, 1:4] = small[0, 4] = True
    assert run_lengths(small) == [5, 2, 2, 2, 2, 2, 1, 1, 3]
    assert compress(run_lengths(small)) == "522000OO2"
    large = np.zeros((40, 30), bool)
    large[3:38, 4:9] = large[20, 25:] = large[39, 29] = True
    assert compress(run_lengths(large)) == "S5S150000000ad0nNa\\O0000000[O0"


@pytest.mark.parametrize(
    ("counts", "letters"),
    [
        ([0], "0"),
        ([15], "?"),  # the most that one letter holds
        ([16], "`0"),  # its fifth bit would be a sign
        ([31], "o0"),
        ([32], "P1"),
        ([1, 2, 3, 1], "123O"),  # 1 - 2 = -1, all five bits set
        ([1, 40, 3, 7], "1X13oN"),  # 7 - 40 = -33 is two letters
    ],
)
def test_letters_by_hand(counts, letters):
    assert compress(counts) == letters
    assert decompress(letters) == counts


def test_invalid_run_lengths_are_refused():
    with pytest.raises(ValueError, match="expected COCO"):
        decompress("12é")
    with pytest.raises(ValueError, match="end within a number"):
        decompress("S")
    with pytest.raises(ValueError, match="run lengths sum to 5 pixels"):
        mask_of([2, 3], 2, 3)
    with pytest.raises(ValueError, match="none negative"):
        mask_of([-1, 7], 2, 3)
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        run_lengths([0, 1, 0])


def test_a_record_holds_what_covers_anything_and_survives_json():
    vocabulary = Vocabulary.of(["cat; kitten", "dog", "bird"], background=["grass"])
    labels = torch.tensor([[0, 0, -1], [2, -1, -1]])
    record = json.loads(json.dumps(mask_record(labels, vocabulary, "maskclip", 0.1)))
    assert record["image"] == {"width": 3, "height": 2}
    assert (record["prompts"], record["background"]) == (["cat", "dog", "bird"], ["grass"])
    assert (record["method"], record["threshold"]) == ("maskclip", 0.1)
    cat, bird = record["annotations"]
    assert (cat["class"], cat["prompts"], cat["area"], cat["bbox"]) == ("cat", ["cat", "kitten"], 2, [0, 0, 2, 1])
    assert [one["share"] for one in (cat, bird)] == [areas(labels, 4)[number] for number in (0, 2)]
    assert bird["segmentation"] == {"size": [2, 3], "counts": compress([1, 1, 4])}
    assert bird["bbox"] == [0, 1, 1, 1]


def test_labels_beyond_the_classes_are_refused():
    with pytest.raises(ValueError, match="found the label 1; expected less than 1"):
        mask_record([[1]], Vocabulary.of(["cat"]), "maskclip")
    with pytest.raises(ValueError, match="at most 255"):
        label_image([[0]], [(1, 2, 3)] * (MOST_COLOURS + 1))


def test_an_image_of_labels_is_read_back_as_it_was(tmp_path):
    labels = np.random.default_rng(0).integers(-1, MOST_COLOURS, (20, 30))
    colours = [(number, 255 - number, 7) for number in range(MOST_COLOURS)]
    label_image(labels, colours).save(tmp_path / "labels.png")
    from PIL import Image

    again = Image.open(tmp_path / "labels.png")
    assert np.array_equal(np.asarray(again).astype(int) - 1, labels)
    y, x = np.argwhere(labels >= 0)[0]
    assert again.convert("RGB").getpixel((int(x), int(y))) == colours[labels[y, x]]


def test_a_mask_without_pixels_has_an_empty_box():
    assert bounding_box(np.zeros((3, 4))) == (0, 0, 0, 0)


def test_prompts_name_classes_by_any_synonym_and_background_words_name_none():
    vocabulary = Vocabulary.of(["A cat", "automobile; the car", "something"], background=["dog"])
    assert classes_named(vocabulary, ["car", "cat", "dog"]) == [1, 0, None, None]


def test_agreement_is_over_what_the_prompts_name():
    target = np.array([[0, 0, 1, 1], [2, -1, -1, -1]])  # a third class and background, which no prompt names
    labels = np.array([[0, 1, 1, 2], [0, 0, 0, 0]])  # the third prompt names nothing
    named = [0, 1, None]
    table = named_confusion(labels, target, named, ["a", "b", "c"], none=False)
    assert (table.names, table.pixels) == (("a", "b"), 4)
    assert table.iou.tolist() == pytest.approx([1 / 2, 1 / 3])


def test_where_places_may_be_none_of_these_the_others_count_as_one_more_class():
    target = np.array([[0, 0, 1, -1, -1, 2]])
    labels = np.array([[0, -1, 1, 2, 0, -1]])
    table = named_confusion(labels, target, [0, 1, None], ["a", "b", "c"], none=True)
    assert table.names == ("a", "b", NONE_OF_THESE)
    assert table.iou.tolist() == pytest.approx([1 / 3, 1.0, 2 / 4])


def test_two_prompts_with_one_class_are_one_and_none_named_is_no_figure():
    target = np.array([[4, 4, -1]])
    assert named_confusion([[0, 1, 0]], target, [4, 4], ["cat", "kitten"], none=False).miou == 1.0
    assert ground_truth_of_named(target, [4, 4]).tolist() == [[0, 0, -1]]
    assert named_confusion([[0, 0, 0]], target, [None], ["sky"], none=True) is None
