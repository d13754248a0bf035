"""LPOSS against a dense inverse and against loops in float64."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dinoclip_viz.dense.propagation import patch_graph, propagate
from tests.dense.plain import cosine, resized


def graph(guide, patch, neighbours):
    """(N, N) by loops."""
    rows, columns, _ = guide.shape
    places = [(row, column) for row in range(rows) for column in range(columns)]
    alike = np.array([[cosine(guide[p], guide[q]) for q in places] for p in places])
    count = len(places)
    weights = np.zeros((count, count))
    for p in range(count):
        others = sorted((q for q in range(count) if q != p), key=lambda q: -alike[p, q])
        for q in others[:neighbours]:
            pixels = patch * math.dist(places[p], places[q])
            weights[p, q] = max(alike[p, q], 0) ** 3 * math.exp(-0.01 * pixels)
    weights = (weights + weights.T) / 2
    degrees = [max(sum(row), 1e-12) for row in weights]
    return np.array([[weights[p, q] / math.sqrt(degrees[p] * degrees[q]) for q in range(count)] for p in range(count)])


def unit(patches):
    flat = patches.reshape(-1, patches.shape[-1])
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def conjugate_gradients(matrix, right, steps):
    """The textbook's, one column at a time, from 0."""
    columns = []
    for column in right.T:
        x, r = np.zeros_like(column), column.copy()
        p = r.copy()
        for _ in range(steps):
            forward = matrix @ p
            alpha = (r @ r) / (p @ forward)
            x = x + alpha * p
            new = r - alpha * forward
            p = new + (new @ new) / (r @ r) * p
            r = new
        columns.append(x)
    return np.stack(columns, axis=1)


@pytest.fixture(scope="module")
def made():
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(2, 4, 5, 6, generator=generator)
    return patches, torch.randn(2, 4, 5, 3, generator=generator) + 0.4


@pytest.mark.parametrize("neighbours", [5, 19, 400])
def test_the_graph_is_the_formula(made, neighbours):
    _, guide = made
    found = patch_graph(guide, 16, neighbours)
    for index in range(2):
        slow = graph(guide[index].double().numpy(), 16, neighbours)
        torch.testing.assert_close(found[index].double(), torch.from_numpy(slow), rtol=0, atol=1e-4)


@pytest.mark.parametrize("neighbours", [3, 400])
def test_the_graph_is_symmetric_without_loops_and_its_eigenvalues_are_within_one(neighbours):
    guide = torch.randn(1, 22, 21, 8, generator=torch.Generator().manual_seed(1)) + 0.3
    [found] = patch_graph(guide, 16, neighbours)
    torch.testing.assert_close(found, found.T, rtol=0, atol=1e-6)
    assert not found.diagonal().any() and (found >= 0).all()
    values = torch.linalg.eigvalsh(found.double())
    assert values.abs().max() <= 1 + 1e-5


def test_each_patch_picks_at_most_400_neighbours():
    """Every weight is picked by one of its two ends, so that N patches hold at most 400 N of them, each twice."""
    guide = torch.rand(1, 22, 21, 8, generator=torch.Generator().manual_seed(1))  # every cosine is above 0
    [found] = patch_graph(guide, 16)
    unit_guide = F.normalize(guide.flatten(1, 2)[0], dim=-1)
    alike = (unit_guide @ unit_guide.T).fill_diagonal_(-2)
    best = torch.zeros_like(alike, dtype=torch.bool).scatter_(1, alike.topk(400).indices, True)
    assert best.sum(1).tolist() == [400] * 462
    assert torch.equal(found > 0, best | best.T)


@pytest.mark.parametrize("neighbours", [5, 400])
def test_many_steps_give_the_exact_inverse(made, neighbours):
    patches, guide = made
    found = propagate(patches, guide, 16, neighbours, steps=60)
    for index in range(2):
        matrix = np.eye(20) - 0.95 * graph(guide[index].double().numpy(), 16, neighbours)
        exact = np.linalg.inv(matrix) @ unit(patches[index].double().numpy())
        torch.testing.assert_close(found[index].flatten(0, 1).double(), torch.from_numpy(exact), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("grid", [(4, 5), (7, 3), (8, 10)])
def test_ten_steps_are_the_textbook_s(grid):
    generator = torch.Generator().manual_seed(3)
    patches = torch.randn(1, 4, 5, 6, generator=generator)
    guide = torch.randn(1, *grid, 12, generator=generator) + 0.4
    on_grid = guide[0].double().numpy()
    on_grid = on_grid if grid == (4, 5) else resized(on_grid, 4, 5)
    matrix = np.eye(20) - 0.95 * graph(on_grid, 8, 400)
    slow = conjugate_gradients(matrix, unit(patches[0].double().numpy()), 10)
    found = propagate(patches, guide, 8)[0].flatten(0, 1)
    torch.testing.assert_close(found.double(), torch.from_numpy(slow), rtol=0, atol=1e-4)


def test_scores_are_linear_in_the_patches(made):
    """So propagating patches once and comparing them with a text equals propagating the text's scores."""
    patches, guide = made
    text = torch.randn(6, generator=torch.Generator().manual_seed(4))
    scores = F.normalize(patches, dim=-1) @ text
    matrix = np.eye(20) - 0.95 * graph(guide[0].double().numpy(), 16, 400)
    exact = np.linalg.solve(matrix, scores[0].flatten().double().numpy())
    found = propagate(patches, guide, steps=60)[0] @ text
    torch.testing.assert_close(found.flatten().double(), torch.from_numpy(exact), rtol=1e-4, atol=1e-4)


def test_a_patch_alone_stays_what_it_is_and_zeros_do_no_harm():
    one = torch.tensor([[[[3.0, 4.0]]]])
    torch.testing.assert_close(propagate(one, one), one / 5)
    zeros = torch.zeros(1, 2, 2, 3)
    assert torch.equal(propagate(zeros, zeros), zeros)


@pytest.mark.parametrize("wrong", [{"alpha": 1.0}, {"alpha": -0.1}, {"steps": 0}])
def test_it_refuses_what_cannot_be_solved(made, wrong):
    with pytest.raises(ValueError, match="expected alpha from 0 to below 1 and at least one step"):
        propagate(*made, **wrong)
