"""Catalogue rows of timm: a small model of the row's own architecture, through the row, against timm's forward pass."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from dinoclip_viz.encoders import CATALOG, EncoderError, find, load_encoder
from dinoclip_viz.encoders.checks import check_image_encoder

NARROW = {"depth": 1, "embed_dim": 96, "num_heads": 2}
SMALL = {
    "mae-vitb16": NARROW,
    "deit3-small": NARROW,
    "eva02-tiny": {"depth": 1},
    "aimv2-large-224": NARROW,
    "pe-spatial-t-16-512": {"depth": 1},
    "pe-spatial-l-14-448": NARROW,
    "pe-spatial-bigg-14-448": NARROW,
    "pe-lang-l-14-448": NARROW,
    "pe-lang-bigg-14-448": NARROW,
    "c-radiov3-b": NARROW,
    "c-radiov4-h": NARROW,
    "c-radiov4-so400m": NARROW,
    "eupe-vitt16": {"depth": 1},
    "eupe-convnext-tiny": {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)},
}
"""Row -> arguments that make its architecture small."""


def noise(*sizes):
    chance = np.random.default_rng(0)
    return [Image.fromarray(chance.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in sizes]


def small(name):
    """A small model of a row's architecture, with the row's published settings."""
    torch.manual_seed(0)
    model = timm.create_model(find(name).source.removeprefix("timm:"), **SMALL[name]).eval()
    with torch.no_grad():
        for weights in model.parameters():  # else layer scales of 1e-5 and positions of 0 would hide mistakes
            weights.add_(torch.randn_like(weights), alpha=0.05)
    return model


@pytest.fixture
def row(tmp_path, monkeypatch):
    """Row -> its small model, with which the hub answers, and the encoder that is loaded by the row's name."""

    def load(name):
        model, folder = small(name), tmp_path / name
        timm.models.save_for_hf(model, folder, safe_serialization=True)
        asked = []

        def fetch(*given):
            asked.append(given)
            return folder, "abc"

        monkeypatch.setattr("dinoclip_viz.encoders.loading.fetch", fetch)
        encoder = load_encoder(name, "cpu", "float32")
        assert asked == [(name, CATALOG[name].weights, "timm", None, False)]
        return model, encoder

    return load


@pytest.mark.parametrize("name", SMALL)
def test_a_row_gives_timms_own_features(name, row):
    model, encoder = row(name)
    entry = CATALOG[name]
    assert (encoder.space, encoder.revision) == (entry.source, "abc")
    assert (encoder.size, encoder.patch) == (entry.size, entry.patch)
    images = noise((90, 60), (300, 200))
    size = 4 * encoder.patch
    features, pixels = encoder.encode(images, size, "whole"), encoder.inputs(images, size, "whole")[1]
    assert features.grid == (3, 4)
    if hasattr(model, "patch_embed"):
        model.set_input_size(img_size=(3 * encoder.patch, 4 * encoder.patch))
    with torch.no_grad():
        found = model.forward_features(pixels)
        pooled = model.forward_head(found, pre_logits=True)
    tokens = found if found.ndim == 3 else found.flatten(2).mT  # (B, T, D')
    torch.testing.assert_close(features.pooled, pooled, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features.mean, tokens.mean(1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features.patches.flatten(1, 2), tokens[:, -12:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["mae-vitb16", "eupe-convnext-tiny"])
def test_a_row_keeps_the_contract(name, row):
    check_image_encoder(row(name)[1])


@pytest.mark.parametrize("name", SMALL)
def test_a_row_prepares_images_as_timm_does(name, row):
    model, encoder = row(name)
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    images = noise((640, 480), (100, 100))
    assert torch.equal(encoder.inputs(images)[1], torch.stack([transform(image) for image in images]))


def test_every_family_of_timm_is_tried():
    families = {entry.family for entry in CATALOG.values() if entry.library == "timm"}
    assert {CATALOG[name].family for name in SMALL} == families


def test_random_weights_of_a_row_need_no_hub(monkeypatch):
    def fetch(*given):
        raise AssertionError(given)

    monkeypatch.setattr("dinoclip_viz.encoders.loading.fetch", fetch)
    row, name = (
        load_encoder(f"random:{name}", "cpu", "float32")
        for name in ("eva02-tiny", "timm:eva02_tiny_patch14_224.mim_in22k")
    )
    assert row.space == name.space == "random:timm:eva02_tiny_patch14_224.mim_in22k"
    image = noise((60, 60))
    assert torch.equal(row.encode(image).pooled, name.encode(image).pooled)


def test_random_weights_of_a_folder_have_its_shape(tmp_path):
    model = small("mae-vitb16")
    timm.models.save_for_hf(model, tmp_path / "mine", safe_serialization=True)
    encoder = load_encoder(f"random:{tmp_path / 'mine'}", "cpu", "float32")
    assert encoder.dimension == 96
    assert encoder.space.startswith("random:mine-")
    real = load_encoder(str(tmp_path / "mine"), "cpu", "float32")
    image = noise((60, 60))
    assert not torch.allclose(encoder.encode(image).pooled, real.encode(image).pooled)


@pytest.mark.parametrize("missing", ["norm.weight", "blocks.0.mlp.fc1.weight", "pos_embed"])
def test_weights_that_lack_a_tensor_are_refused(tmp_path, missing):
    """timm itself fills them with random values if the model is made without its classifier."""
    timm.models.save_for_hf(timm.create_model("vit_tiny_patch16_224", **NARROW), tmp_path, safe_serialization=True)
    weights = load_file(tmp_path / "model.safetensors")
    del weights[missing]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(EncoderError, match=rf"Missing key.*{missing}") as caught:
        load_encoder(str(tmp_path), "cpu", "float32")
    assert "\n" not in str(caught.value)
