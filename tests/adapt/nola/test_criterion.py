"""The unlabelled criterion against plain loops."""

import math

import pytest
import torch
import torch.nn.functional as F

from dinoclip_viz.adapt.nola.criterion import EpochRecord, agreement, choose_epoch, class_entropy, neighbour_rows


def record(epoch, agreeing, entropy):
    return EpochRecord(epoch, loss=1.0, agreement=agreeing, entropy=entropy, kept=0.5)


def test_neighbours_and_agreement_equal_a_plain_loop():
    features = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
    found = neighbour_rows(features, 5)
    unit = F.normalize(features, dim=1)
    for row in range(40):
        cosines = {other: float(unit[row] @ unit[other]) for other in range(40) if other != row}
        assert found[row].tolist() == sorted(cosines, key=lambda other: -cosines[other])[:5]
    predictions = torch.randint(0, 3, (40,), generator=torch.Generator().manual_seed(1))
    pairs = [(row, other) for row in range(40) for other in found[row].tolist()]
    equal = sum(int(predictions[row] == predictions[other]) for row, other in pairs)
    assert agreement(predictions, found) == pytest.approx(equal / len(pairs))


def test_an_image_is_never_its_own_neighbour_even_among_equal_ones():
    found = neighbour_rows(torch.ones(9, 4), 3)
    assert found.shape == (9, 3)
    assert all(row not in found[row].tolist() for row in range(9))
    assert neighbour_rows(torch.eye(3), 5).shape == (3, 2)
    with pytest.raises(ValueError, match="found 1 images and k 5"):
        neighbour_rows(torch.eye(1), 5)


def test_entropy_is_that_of_the_histogram():
    predictions = torch.tensor([0, 0, 0, 2, 2, 5])
    expected = -sum(p * math.log(p) for p in (3 / 6, 2 / 6, 1 / 6))
    assert class_entropy(predictions) == pytest.approx(expected)
    assert class_entropy(torch.zeros(7, dtype=torch.long)) == 0


def test_the_epoch_is_chosen_by_agreement_among_those_that_did_not_collapse():
    history = [record(1, 0.7, 2.9), record(2, 0.8, 2.8), record(3, 0.8, 2.7), record(4, 1.0, 0.1)]
    assert choose_epoch(history, least_entropy=2.0).epoch == 3
    assert choose_epoch(history, least_entropy=2.75).epoch == 2
    assert choose_epoch(history, least_entropy=5.0).epoch == 1  # all collapsed: the most even one
