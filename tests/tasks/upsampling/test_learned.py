"""The trained upsampler: it starts as the guided one, sees the image alone, and is saved and loaded."""

import pytest
import torch

from dinoclip_viz import playground
from dinoclip_viz.tasks.upsampling.guided import guided
from dinoclip_viz.tasks.upsampling.guides import guide_of
from dinoclip_viz.tasks.upsampling.learned import EMBEDDED, WEIGHTS, Upsampler, UpsamplerSettings, load_upsampler

SMALL = UpsamplerSettings(channels=(8, 8), dimension=4, temperature=1.0)


def test_before_training_it_is_the_guided_one():
    torch.manual_seed(0)
    guide, values = guide_of(playground.draw(1505, 1, 60)[0].image, None, (60, 60)), torch.randn(1, 12, 12, 3)
    with torch.no_grad():
        assert torch.allclose(Upsampler(SMALL)(values, guide), guided(values, guide), atol=1e-5)


def test_a_folder_holds_weights_in_half_precision(tmp_path):
    torch.manual_seed(0)
    model = Upsampler(SMALL).eval()
    torch.nn.init.normal_(model.query.weight)
    model.save(tmp_path)
    again = load_upsampler(tmp_path)
    guide, values = torch.rand(1, 3, 21, 28), torch.randn(1, 3, 4, 2)
    with torch.no_grad():
        assert torch.allclose(model(values, guide), again(values, guide), atol=0.02)
    assert again.settings == SMALL and not any(each.requires_grad for each in again.parameters())


def test_the_embedded_weights_are_small():
    assert (EMBEDDED / WEIGHTS).stat().st_size <= 1_000_000
    assert load_upsampler().settings.radius >= 1


def test_invalid_settings_are_refused():
    with pytest.raises(ValueError, match="expected 1 or more"):
        UpsamplerSettings(channels=())


def test_a_temperature_flattens_the_weights_outside_training():
    torch.manual_seed(0)
    guide, values = torch.rand(1, 3, 16, 16), torch.randn(1, 4, 4, 2)
    warm = Upsampler(UpsamplerSettings(channels=(8, 8), dimension=4, temperature=1e9))
    with torch.no_grad():
        sharp, flat = warm(values, guide), warm.eval()(values, guide)
    assert flat.std() < sharp.std() and torch.allclose(flat[:, 0, 0], flat[:, 3, 3], atol=1e-4)
