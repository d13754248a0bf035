"""FOUND's background against loops in float64."""

import numpy as np
import pytest
import torch

from dinoclip_viz.dense.background import found_background
from tests.dense.plain import cosine


@pytest.mark.parametrize("threshold", [0.3, 0.0, -0.5])
def test_it_is_what_is_similar_to_the_patch_that_gets_the_least_attention(threshold):
    generator = torch.Generator().manual_seed(0)
    patches, attention = torch.randn(3, 4, 5, 6, generator=generator), torch.rand(3, 2, 4, 5, generator=generator)
    found = found_background(patches, attention, threshold)
    for index in range(3):
        seen = attention[index].double().numpy()
        places = [(row, column) for row in range(4) for column in range(5)]
        seed = min(places, key=lambda place: sum(head[place] for head in seen))
        own = patches[index].double().numpy()
        for place in places:
            assert found[index][place].item() == (cosine(own[place], own[seed]) >= threshold)


def test_without_attention_the_seed_is_the_patch_most_similar_to_all_others():
    patches = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(1)) + 0.4
    found = found_background(patches)
    for index in range(3):
        flat = patches[index].flatten(0, 1).double().numpy()
        total = [sum(cosine(one, other) for other in flat) for one in flat]
        slow = [cosine(one, flat[int(np.argmax(total))]) >= 0.3 for one in flat]
        assert found[index].flatten().tolist() == slow


def test_a_case_worked_by_hand():
    patches = torch.tensor([[[[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]]]])
    attention = torch.tensor([[[[0.1, 0.2, 0.7]]]])
    assert found_background(patches, attention).tolist() == [[[True, True, False]]]
