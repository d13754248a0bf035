"""The confusion table against a plain loop over pixels."""

import math

import numpy as np
import pytest
import torch

from dinoclip_viz.tasks.probes.confusion import NOTHING, Confusion


def by_hand(predicted, target, classes, ignore=255):
    """IoU by class, mIoU, pixel accuracy and mean class accuracy, pixel by pixel."""
    both, given, there = ([0] * classes for _ in range(3))
    for one, other in zip(predicted.ravel().tolist(), target.ravel().tolist(), strict=True):
        if other == ignore:
            continue
        there[other] += 1
        if one >= 0:
            given[one] += 1
        both[other] += one == other
    present = [index for index in range(classes) if there[index]]
    iou = {index: both[index] / (given[index] + there[index] - both[index]) for index in present}
    accuracy = [both[index] / there[index] for index in present]
    return iou, np.mean(list(iou.values())), sum(both) / sum(there), np.mean(accuracy)


@pytest.fixture(scope="module")
def images():
    """Five images of four classes, the third absent from the ground truth, and unknown pixels."""
    chance = np.random.default_rng(0)
    target = chance.choice([0, 1, 3, 255], size=(5, 9, 7), p=[0.5, 0.2, 0.2, 0.1])
    predicted = np.where(chance.random((5, 9, 7)) < 0.6, np.where(target == 255, 0, target), chance.integers(0, 4))
    predicted[:, 0, 0] = NOTHING
    predicted[:, 1, 1] = 2
    return predicted, target.astype(np.uint8)


def test_figures_are_those_of_a_loop_over_pixels(images):
    predicted, target = images
    table = Confusion(["a", "b", "c", "d"])
    for one, known in zip(predicted, target, strict=True):
        table.add(one, known)
    iou, miou, accuracy, class_accuracy = by_hand(predicted, target, 4)
    assert table.pixels == int((target != 255).sum())
    assert table.per_class() == pytest.approx({"abcd"[index]: value for index, value in iou.items()})
    assert "c" not in table.per_class() and math.isnan(table.iou[2])
    expected = {"miou": miou, "accuracy": accuracy, "class_accuracy": class_accuracy}
    assert table.figures() == pytest.approx(expected)


def test_a_class_that_only_the_prediction_has_does_not_enter_the_mean():
    table = Confusion(3).add(torch.tensor([0, 2]), torch.tensor([0, 0]))
    assert table.miou == 0.5


def test_images_one_by_one_all_at_once_or_merged_give_one_table(images, tmp_path):
    predicted, target = images
    whole = Confusion(4).add(predicted, target)
    halves = [Confusion(4).add(torch.from_numpy(predicted[part]), target[part]) for part in (slice(2), slice(2, 5))]
    halves[0].save(tmp_path / "first.json")
    merged = Confusion.load(tmp_path / "first.json").merge(halves[1])
    assert torch.equal(merged.table, whole.table)
    assert merged.figures() == whole.figures()


def test_without_ignore_every_pixel_counts():
    labels = np.full((2, 2), 255)
    assert Confusion(256).add(labels, labels, ignore=None).accuracy == 1.0
    with pytest.raises(ValueError, match="found no counted pixels"):
        Confusion(256).add(labels, labels).figures()


def test_saying_nothing_is_wrong_but_no_class_pays_for_it():
    table = Confusion(2).add(np.array([NOTHING, 0, 1]), np.array([0, 0, 1]))
    assert table.per_class() == {"0": 0.5, "1": 1.0}
    assert table.accuracy == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("predicted", "target", "words"),
    [
        ([0, 4], [0, 1], "predicted contains the label 4; expected -1 to 3"),
        ([0, -2], [0, 1], "predicted contains the label -2"),
        ([0, 1], [0, 77], "target contains the label 77; expected 0 to 3"),
        ([0, 1], [0, -1], "target contains the label -1"),
        ([0, 1], [0], "equal shapes"),
    ],
)
def test_labels_that_are_no_class_are_refused_in_one_line(predicted, target, words):
    table = Confusion(4)
    with pytest.raises(ValueError, match=words) as error:
        table.add(np.array(predicted), np.array(target))
    assert "\n" not in str(error.value)
    assert table.pixels == 0


def test_tables_of_other_classes_do_not_merge_and_other_files_do_not_load(tmp_path):
    with pytest.raises(ValueError, match="the same classes"):
        Confusion(["a", "b"]).merge(Confusion(["a", "c"]))
    with pytest.raises(ValueError, match="expected their names"):
        Confusion([])
    for content in ("[]", "no json", '{"table": [[1, 2]], "names": ["a", "b"]}', '{"table": [[-1]], "names": ["a"]}'):
        (tmp_path / "table.json").write_text(content)
        with pytest.raises(ValueError, match=r"expected a file written by Confusion\.save"):
            Confusion.load(tmp_path / "table.json")
    with pytest.raises(ValueError, match="cannot be read as a table"):
        Confusion.load(tmp_path / "missing.json")


def test_counts_made_elsewhere_become_a_table():
    made = Confusion.of(torch.tensor([[3, 1], [0, 4]]), ["a", "b"])
    assert made.per_class() == {"a": 0.75, "b": 0.8}
    for wrong in (torch.zeros(2, 5, dtype=torch.long), torch.zeros(3, dtype=torch.long)):
        with pytest.raises(ValueError, match="expected counts"):
            Confusion.of(wrong)
