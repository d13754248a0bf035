"""Bilinear upsampling against a plain loop."""

import math

import pytest
import torch

from dinoclip_viz import ImageFeatures
from dinoclip_viz.tasks.upsampling import upsample_bilinear


@pytest.fixture
def features():
    patches = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[0.0, 0.0, 40.0, 30.0]] * 2)
    return ImageFeatures(
        torch.ones(2, 5), torch.ones(2, 5), patches, boxes, torch.tensor([[40, 30]] * 2), "some", dense={"m": patches}
    )


def test_bilinear_equals_a_plain_loop(features):
    finer = upsample_bilinear(features, (7, 9)).patches
    for row, column in ((0, 0), (3, 4), (6, 8), (2, 7)):
        y = min(max((row + 0.5) * 3 / 7 - 0.5, 0), 2)
        x = min(max((column + 0.5) * 4 / 9 - 0.5, 0), 3)
        top, left = math.floor(y), math.floor(x)
        expected = torch.zeros(2, 5)
        for r, down in ((top, 1 - (y - top)), (min(top + 1, 2), y - top)):
            for c, across in ((left, 1 - (x - left)), (min(left + 1, 3), x - left)):
                expected += down * across * features.patches[:, r, c]
        assert torch.allclose(finer[:, row, column], expected, atol=1e-5)


def test_everything_else_stays_and_dense_patches_follow(features):
    finer = upsample_bilinear(features, (6, 8))
    assert finer.grid == (6, 8) and torch.equal(finer.dense["m"], finer.patches)
    assert torch.equal(finer.boxes, features.boxes) and finer.space == features.space


def test_an_empty_grid_is_refused(features):
    with pytest.raises(ValueError, match="expected at least one row"):
        upsample_bilinear(features, (0, 4))
