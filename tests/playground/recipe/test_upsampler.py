"""The recipe of the upsampler at tiny settings: an interrupted run resumes exactly, the folder is loaded."""

import json

import pytest
import torch

import dinoclip_viz as dv
from dinoclip_viz.playground.recipe.loop import Loop
from dinoclip_viz.playground.recipe.upsampler import Pairs, UpsamplerRecipe, jittered, train_upsampler, turned
from dinoclip_viz.tasks.upsampling.learned import UpsamplerSettings

TINY = UpsamplerRecipe(
    scenes=3, photographs=0, patches=6, window=4, factors=(4, 2), steps=4, channels=4,
    network=UpsamplerSettings(channels=(8, 8), dimension=4),
)  # fmt: skip


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path, monkeypatch):
    whole = train_upsampler(tmp_path / "whole", TINY)
    update = Loop.update

    def killed(self):
        if self.step == 2:
            self.save()
            raise KeyboardInterrupt
        update(self)

    monkeypatch.setattr(Loop, "update", killed)
    with pytest.raises(KeyboardInterrupt):
        train_upsampler(tmp_path / "parts", TINY)
    monkeypatch.setattr(Loop, "update", update)
    parts = train_upsampler(tmp_path / "parts", TINY)
    assert (whole / "model.safetensors").read_bytes() == (parts / "model.safetensors").read_bytes()
    assert json.loads((parts / "training.json").read_text())["recipe"]["seed"] == TINY.seed
    image = dv.playground.draw(1500, 1, 96)[0].image
    values = torch.rand(12, 12, 3)
    sharp = dv.upsample(values, image, method="trained", weights=parts)
    assert sharp.shape == (96, 96, 3) and not torch.equal(sharp, dv.upsample(values, image))
    with pytest.raises(ValueError, match="holds a run with seed 15, not 16"):
        train_upsampler(tmp_path / "parts", UpsamplerRecipe(seed=16))


def test_a_pair_shows_the_same_features_at_both_resolutions():
    image, low, high = Pairs(dv.load_encoder("playground-dino"), TINY)[0]
    assert image.size == (96, 96) and low.shape == (6, 6, 128) and high.shape == (12, 12, 128)
    pooled = torch.nn.functional.avg_pool2d(high.float().permute(2, 0, 1), 2).permute(1, 2, 0)
    assert torch.nn.functional.cosine_similarity(pooled, low.float(), dim=-1).mean() > 0.5


def test_photographs_are_crops_of_those_that_scikit_image_includes():
    pytest.importorskip("skimage")
    pairs = Pairs(dv.load_encoder("playground-dino"), UpsamplerRecipe(scenes=1, photographs=7))
    crops = [pairs.image(index, 32) for index in range(1, 8)]
    assert {crop.size for crop in crops} == {(32, 32)} and len({crop.tobytes() for crop in crops}) == 7
    assert pairs.image(3, 32).tobytes() == crops[2].tobytes()


def test_turns_are_the_eight_of_a_square_and_jitter_keeps_the_range():
    grid = torch.arange(9.0).view(3, 3, 1)
    assert len({tuple(turned(grid, which).flatten().tolist()) for which in range(8)}) == 8
    assert torch.equal(turned(grid, 0), grid)
    guide = torch.rand(1, 3, 8, 8)
    other = jittered(guide, torch.Generator().manual_seed(0))
    assert other.shape == guide.shape and other.min() >= 0 and other.max() <= 1 and not torch.equal(other, guide)


def test_factors_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"factors are \(3,\); expected multiples of 2"):
        UpsamplerRecipe(factors=(3,))
