"""Finer grids: bilinear against a plain loop, AnyUp's interface against a stand-in for its package."""

import math
import sys
import types

import pytest
import torch
from PIL import Image

from dinoclip_viz import ImageFeatures, load_encoder, playground
from dinoclip_viz.tasks.upsample import upsample, upsample_anyup


@pytest.fixture
def features():
    patches = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[0.0, 0.0, 40.0, 30.0]] * 2)
    return ImageFeatures(
        torch.ones(2, 5), torch.ones(2, 5), patches, boxes, torch.tensor([[40, 30]] * 2), "some", dense={"m": patches}
    )


def test_bilinear_equals_a_plain_loop(features):
    finer = upsample(features, (7, 9)).patches
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
    finer = upsample(features, (6, 8))
    assert finer.grid == (6, 8) and torch.equal(finer.dense["m"], finer.patches)
    assert torch.equal(finer.boxes, features.boxes) and finer.space == features.space


def test_an_empty_grid_is_refused(features):
    with pytest.raises(ValueError, match="expected at least one row"):
        upsample(features, (0, 4))


def test_without_anyup_its_name_says_where_it_is(features, monkeypatch):
    monkeypatch.setitem(sys.modules, "anyup", None)
    with pytest.raises(ValueError, match="AnyUp is not installed"):
        upsample_anyup(features[0], Image.new("RGB", (40, 30)), (6, 8), "weights.pth")


def test_anyup_gets_pixels_and_patches_as_it_wants_them(tmp_path, monkeypatch):
    class StandIn(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.zeros(1))

        def forward(self, pixels, patches):
            assert pixels.shape[:2] == (1, 3) and abs(pixels.mean()) < 3
            return self.scale * torch.nn.functional.interpolate(patches, size=pixels.shape[2:], mode="nearest")

    module = types.ModuleType("anyup.model")
    module.AnyUp = StandIn
    monkeypatch.setitem(sys.modules, "anyup", types.ModuleType("anyup"))
    monkeypatch.setitem(sys.modules, "anyup.model", module)
    torch.save({"scale": torch.tensor([2.0])}, tmp_path / "weights.pth")
    image = playground.draw(1500, 1)[0].image
    features = load_encoder("playground-dino").encode([image], fit="whole")
    finer = upsample_anyup(features, image, (24, 24), tmp_path / "weights.pth")
    assert torch.allclose(finer.patches[:, ::2, ::2], 2 * features.patches)
    (tmp_path / "broken.pth").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"broken\.pth is not a checkpoint of AnyUp"):
        upsample_anyup(features, image, (24, 24), tmp_path / "broken.pth")
    with pytest.raises(ValueError, match="expected at least the features'"):
        upsample_anyup(features, image, (6, 6), tmp_path / "weights.pth")
