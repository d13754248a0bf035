"""AnyUp's interface against a stand-in for its package."""

import sys
import types

import pytest
import torch
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz import load_encoder, playground
from dinoclip_viz.tasks.upsampling import upsample_anyup


class StandIn(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.zeros(1))

    def forward(self, pixels, patches):
        assert pixels.shape[:2] == (1, 3) and abs(pixels.mean()) < 3
        return self.scale * torch.nn.functional.interpolate(patches, size=pixels.shape[2:], mode="nearest")


@pytest.fixture
def installed(monkeypatch):
    module = types.ModuleType("anyup.model")
    module.AnyUp = StandIn
    monkeypatch.setitem(sys.modules, "anyup", types.ModuleType("anyup"))
    monkeypatch.setitem(sys.modules, "anyup.model", module)


def test_without_anyup_its_name_says_where_it_is(monkeypatch):
    monkeypatch.setitem(sys.modules, "anyup", None)
    features = load_encoder("playground-dino").encode([Image.new("RGB", (40, 30))], 32, "whole")
    with pytest.raises(ValueError, match="AnyUp is not installed"):
        upsample_anyup(features, Image.new("RGB", (40, 30)), (60, 80), "weights.pth")
    with pytest.raises(ValueError, match="AnyUp is not installed"):
        dv.upsample(torch.rand(3, 4), Image.new("RGB", (40, 30)), method="anyup")


def test_anyup_gets_pixels_and_patches_as_it_wants_them(tmp_path, installed):
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


def test_anyup_takes_the_checkpoint_that_torch_hub_keeps(tmp_path, installed, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    values, image = torch.rand(3, 4, 2), Image.new("RGB", (8, 6))
    with pytest.raises(ValueError, match=r"anyup_paper\.pth; expected AnyUp's checkpoint"):
        dv.upsample(values, image, method="anyup")
    (tmp_path / "checkpoints").mkdir()
    torch.save({"scale": torch.tensor([1.0])}, tmp_path / "checkpoints" / "anyup_paper.pth")
    assert torch.equal(dv.upsample(values, image, method="anyup")[1::2, 1::2], values)
