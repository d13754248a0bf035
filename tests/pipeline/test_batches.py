"""Batches: groups end where they should, inputs are stacked in order, and errors come where they are read."""

import threading

import numpy as np
import pytest
import torch

from dinoclip_viz.data import Sample
from dinoclip_viz.pipeline.batches import ahead, batches
from dinoclip_viz.pipeline.decoding import Prepared


def outcomes(count, broken=()):
    for number in range(count):
        array = np.full((4, 4, 3), number, np.uint8)
        yield Sample(str(number), ""), "broken" if number in broken else Prepared((8, 8), (array,))


@pytest.mark.parametrize("count", range(1, 14))
@pytest.mark.parametrize("group", [1, 3, 4, 5, 8, None])
def test_every_group_ends_once_and_holds_its_samples(count, group):
    broken = {2, 7}
    found: list[list[int]] = [[]]
    sizes = []
    for batch in batches(outcomes(count, broken), 2, group):
        assert len(batch.samples) <= 2
        sizes.append(len(batch.samples))
        found[-1] += sorted([*batch.numbers, *(number for number, _, _ in batch.failed)])
        if batch.last:
            found.append([])
    assert found.pop() == []
    whole = list(range(count))
    expected = [whole] if group is None else [whole[start : start + group] for start in range(0, count, group)]
    assert found == expected
    assert sum(sizes) == len(set(whole) - broken)


def test_inputs_are_stacked_in_order():
    first, second = list(batches(outcomes(3), 2))[:2]
    assert first.inputs[0].dtype == torch.uint8
    assert [image[0, 0, 0].item() for image in first.inputs[0]] == [0, 1]
    assert second.numbers == [2]
    assert second.last


def test_inputs_of_different_sizes_are_refused():
    ready = [(Sample(str(side), ""), Prepared((1, 1), (np.zeros((side, 4, 3), np.uint8),))) for side in (4, 8)]
    with pytest.raises(ValueError, match=r"found 2 different input sizes \(4 x 4, 4 x 8 pixels\) in a batch"):
        list(batches(ready, 2))


def test_an_error_of_the_items_is_raised_where_they_are_read():
    def items():
        yield 1
        raise OSError("gone")

    with ahead(items()) as read:
        assert next(read) == 1
        with pytest.raises(OSError, match="gone"):
            next(read)


def test_a_reader_that_leaves_ends_the_thread():
    before = threading.active_count()
    with ahead(iter(range(10**9))) as read:
        assert [next(read) for _ in range(3)] == [0, 1, 2]
    assert threading.active_count() == before


def test_no_more_is_taken_than_asked_for():
    taken = []
    with ahead((taken.append(number) or number for number in range(100)), 2) as read:
        next(read)
        threading.Event().wait(0.3)
        assert len(taken) <= 4
