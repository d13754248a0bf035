"""CLIP-DINOiser's pooling against loops in float64, on grids of one size and of different sizes."""

import numpy as np
import pytest
import torch

from dinoclip_viz.dense import guided_pooling
from tests.dense.plain import cosine, resized


def pooled(patches, guide, least):
    rows, columns, _ = patches.shape
    if guide.shape[:2] != (rows, columns):
        guide = resized(guide, rows, columns)
    places = [(row, column) for row in range(rows) for column in range(columns)]
    made = np.zeros_like(patches)
    for p in places:
        total, weight = np.zeros(patches.shape[2]), 0.0
        for q in places:
            alike = cosine(guide[p], guide[q])
            if alike >= least:
                total, weight = total + alike * patches[q], weight + alike
        made[p] = total / (weight + 1e-6)
    return made


@pytest.mark.parametrize("grid", [(4, 5), (8, 10), (3, 3), (7, 2)])
@pytest.mark.parametrize("least", [0.2, 0.0])
def test_it_is_the_formula_on_grids_of_any_size(grid, least):
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(2, 4, 5, 6, generator=generator)
    guide = torch.randn(2, *grid, 3, generator=generator) + 0.5
    found = guided_pooling(patches, guide, least)
    for index in range(2):
        slow = pooled(patches[index].double().numpy(), guide[index].double().numpy(), least)
        torch.testing.assert_close(found[index].double(), torch.from_numpy(slow), rtol=0, atol=1e-4)


def test_two_regions_that_are_not_alike_do_not_mix():
    guide = torch.zeros(1, 1, 4, 2)
    guide[0, 0, :2, 0] = guide[0, 0, 2:, 1] = 1
    patches = torch.tensor([[[[1.0], [3.0], [10.0], [20.0]]]])
    torch.testing.assert_close(
        guided_pooling(patches, guide), torch.tensor([[[[2.0], [2.0], [15.0], [15.0]]]]), rtol=0, atol=1e-4
    )


def test_a_similarity_just_at_the_least_counts():
    guide = torch.tensor([[[[1.0, 0.0], [0.6, 0.8]]]])
    patches = torch.tensor([[[[1.0], [0.0]]]])
    alike = (guide[0, 0, 0] @ guide[0, 0, 1]).item()
    assert guided_pooling(patches, guide, least=alike)[0, 0, 0].item() == pytest.approx(1 / 1.6, abs=1e-4)
    assert guided_pooling(patches, guide, least=alike + 1e-3)[0, 0, 0].item() == pytest.approx(1, abs=1e-4)


def test_what_went_in_is_not_changed():
    patches, guide = torch.randn(1, 3, 3, 4), torch.randn(1, 3, 3, 2)
    before = patches.clone(), guide.clone()
    guided_pooling(patches, guide)
    assert torch.equal(patches, before[0]) and torch.equal(guide, before[1])
