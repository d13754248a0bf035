"""Attention from pixels to windows of patches against a plain loop."""

import pytest
import torch

from dinoclip_viz.tasks.upsampling import windows
from dinoclip_viz.tasks.upsampling.windows import cells, joined, offsets, weighted_patches


def made(rows=3, columns=4, factor=2, width=5):
    chance = torch.Generator().manual_seed(0)
    queries = torch.randn(2, rows * factor, columns * factor, width, generator=chance)
    keys = torch.randn(2, rows, columns, width, generator=chance)
    values = torch.randn(2, rows, columns, 3, generator=chance)
    return queries, keys, values, torch.randn(factor * factor, 9, generator=chance)


def plain(queries, keys, values, bias):
    count, height, width, _ = queries.shape
    rows, columns = keys.shape[1:3]
    factor = height // rows
    found = torch.zeros(count, height, width, values.shape[-1])
    for image in range(count):
        for y in range(height):
            for x in range(width):
                logits, near = [], []
                for number, (down, across) in enumerate((d, a) for d in (-1, 0, 1) for a in (-1, 0, 1)):
                    row = min(max(y // factor + down, 0), rows - 1)
                    column = min(max(x // factor + across, 0), columns - 1)
                    own = bias[(y % factor) * factor + x % factor, number]
                    logits.append(own + queries[image, y, x] @ keys[image, row, column])
                    near.append(values[image, row, column])
                found[image, y, x] = torch.stack(logits).softmax(0) @ torch.stack(near)
    return found


@pytest.mark.parametrize("at_once", [1, 1 << 21])
@torch.no_grad()
def test_the_mean_equals_a_plain_loop_in_strips_or_at_once(at_once, monkeypatch):
    monkeypatch.setattr(windows, "AT_ONCE", at_once)
    given = made()
    assert torch.allclose(weighted_patches(*given, radius=1), plain(*given), atol=1e-5)


def test_gradients_reach_queries_keys_values_and_bias():
    given = [each.requires_grad_() for each in made()]
    weighted_patches(*given, radius=1).square().sum().backward()
    assert all(each.grad.abs().sum() > 0 for each in given)


def test_cells_are_joined_again():
    pixels = torch.rand(2, 6, 8, 3)
    parted = cells(pixels, 2)
    assert torch.equal(parted[1, 2, 3], pixels[1, 4:6, 6:8].flatten(0, 1))
    assert torch.equal(joined(parted, 2), pixels)


def test_offsets_are_distances_to_the_centres_of_patches():
    away = offsets(4, 1)
    assert away.shape == (16, 9, 2)
    assert away[0, 4].tolist() == [-0.375, -0.375]  # the first pixel from its own patch's centre
    assert away[7, 5].tolist() == [-0.125, -0.625]  # row 1, column 3, from the patch to the right
