"""ProxyCLIP's attention against loops in float64, on grids of one size and of different sizes."""

import math

import numpy as np
import pytest
import torch

from dinoclip_viz.dense.proxy import proxy_attention
from tests.dense.plain import cosine, resized


def mixed(values, guide):
    rows, columns, _ = guide.shape
    if values.shape[:2] != (rows, columns):
        values = resized(values, rows, columns)
    places = [(row, column) for row in range(rows) for column in range(columns)]
    alike = {(p, q): cosine(guide[p], guide[q]) for p in places for q in places}
    mean = sum(alike.values()) / len(alike)
    made = np.zeros_like(values)
    for p in places:
        logits = {q: (alike[p, q] - 1.2 * mean) * 3 for q in places}
        powers = {q: math.exp(logit) for q, logit in logits.items() if logit >= 0 or q == p}
        made[p] = sum(power * values[q] for q, power in powers.items()) / sum(powers.values())
    return made


@pytest.mark.parametrize("grid", [(4, 5), (8, 10), (3, 3), (7, 2)])
def test_it_is_the_formula_on_the_guide_s_grid(grid):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 4, 5, 6, generator=generator)
    guide = torch.randn(2, *grid, 3, generator=generator) + 0.5
    found = proxy_attention(values, guide)
    assert found.shape == (2, *grid, 6)
    for index in range(2):
        slow = mixed(values[index].double().numpy(), guide[index].double().numpy())
        torch.testing.assert_close(found[index].double(), torch.from_numpy(slow), rtol=0, atol=1e-4)


def test_each_image_has_a_mean_of_its_own():
    generator = torch.Generator().manual_seed(1)
    values, guide = torch.randn(2, 3, 3, 4, generator=generator), torch.randn(2, 3, 3, 5, generator=generator)
    guide[1] += 2  # all alike
    together = proxy_attention(values, guide)
    for index in range(2):
        alone = proxy_attention(values[index : index + 1], guide[index : index + 1])
        torch.testing.assert_close(together[index : index + 1], alone, rtol=0, atol=1e-5)


def test_where_everything_is_alike_each_patch_keeps_its_own_value():
    values = torch.randn(1, 2, 3, 4, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(proxy_attention(values, torch.ones(1, 2, 3, 5)), values)
