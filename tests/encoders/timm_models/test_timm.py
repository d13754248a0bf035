"""Models of timm with random weights, against timm's own forward pass and transforms."""

import json
import re

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

import dinoclip_viz as dv
from dinoclip_viz.encoders import EncoderError, load_encoder, load_text_encoder
from dinoclip_viz.encoders.checks import check_image_encoder
from dinoclip_viz.encoders.timm_models import repository

ANY_SIZE = {
    "vit_tiny_patch16_224": 1,
    "vit_small_patch14_dinov2.lvd142m": 1,
    "vit_small_patch14_reg4_dinov2.lvd142m": 5,
    "deit_tiny_distilled_patch16_224": 2,
    "eva02_tiny_patch14_224": 1,
    "vit_base_patch16_siglip_224": 0,
    "vit_small_patch16_dinov3.lvd1689m": 5,
    "vit_pe_core_tiny_patch16_384": 1,
}
"""Architecture -> number of tokens before the patches."""
ONE_SIZE = {"cait_xxs24_224": 1, "swin_tiny_patch4_window7_224": 0, "beit_base_patch16_224": 1}
CONVOLUTIONAL = ("convnext_atto", "resnet18")


def noise(*sizes):
    chance = np.random.default_rng(0)
    return [Image.fromarray(chance.integers(0, 256, (height, width, 3), dtype=np.uint8)) for width, height in sizes]


def theirs(encoder, **extra):
    """The same model by timm alone."""
    name = encoder.name.rsplit(":", 1)[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return timm.create_model(name, num_classes=0, **extra).eval()


@torch.no_grad()
def compare(encoder, model, pixels, features, prefix):
    tokens = model.forward_features(pixels)
    pooled = model.forward_head(tokens, pre_logits=True)
    if tokens.ndim == 4:
        maps = tokens if getattr(model, "output_fmt", "NCHW") == "NHWC" else tokens.permute(0, 2, 3, 1)
        tokens = maps.flatten(1, 2)
    torch.testing.assert_close(features.pooled, pooled, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features.patches.flatten(1, 2), tokens[:, prefix:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(features.mean, tokens.mean(1), atol=1e-5, rtol=1e-5)
    assert encoder.dimension == pooled.shape[1]
    assert encoder.patch_dimension == tokens.shape[2]


@pytest.mark.parametrize("name", ANY_SIZE)
def test_a_vit_on_any_grid_gives_timms_own_features(name):
    encoder = load_encoder(f"random:timm:{name}", "cpu", "float32")
    model = theirs(encoder, dynamic_img_size=True)
    size = 4 * encoder.patch
    images = noise((90, 60), (300, 200))
    _, pixels = encoder.inputs(images, size, "whole")
    assert pixels.shape[2:] != (size, size)
    compare(encoder, model, pixels, encoder.encode(images, size, "whole"), ANY_SIZE[name])


@pytest.mark.parametrize("name", [*ONE_SIZE, *CONVOLUTIONAL])
def test_other_networks_give_timms_own_features_at_their_size(name):
    encoder = load_encoder(f"random:timm:{name}", "cpu", "float32")
    images = noise((300, 240))
    _, pixels = encoder.inputs(images)
    compare(encoder, theirs(encoder), pixels, encoder.encode(images), ONE_SIZE.get(name, 0))


@pytest.mark.parametrize("name", ONE_SIZE)
def test_a_network_of_one_size_says_so(name):
    encoder = load_encoder(f"random:timm:{name}", "cpu", "float32")
    with pytest.raises(ValueError, match="accepts inputs of 224 x 224 pixels; found"):
        encoder.encode(noise((300, 200)), 2 * encoder.patch, "whole")


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "convnext_atto"])
def test_the_interface_of_encoders_holds(name):
    check_image_encoder(load_encoder(f"random:timm:{name}", "cpu", "float32"))


@pytest.mark.parametrize("name", [*ANY_SIZE, *ONE_SIZE, *CONVOLUTIONAL])
def test_inputs_are_those_of_timms_transform(name):
    encoder = load_encoder(f"random:timm:{name}", "cpu", "float32")
    settings = timm.data.resolve_model_data_config(theirs(encoder))
    transform = timm.data.create_transform(**settings, is_training=False)
    images = noise((640, 480), (333, 500), (100, 100))
    _, pixels = encoder.inputs(images)
    patch = encoder.patch
    expected = torch.stack([transform(image) for image in images])
    height, width = (side // patch * patch for side in expected.shape[2:])
    torch.testing.assert_close(pixels, expected[..., :height, :width], atol=1e-6, rtol=0)


def saved(folder, name="vit_tiny_patch16_224", weights="model.safetensors"):
    """A folder in timm's hub format."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(3)
    model = timm.create_model(name)
    settings = {"architecture": name, "num_classes": 1000, "pretrained_cfg": {**model.pretrained_cfg, "crop_pct": 1.0}}
    (folder / "config.json").write_text(json.dumps(settings, default=str))
    save_file(model.state_dict(), folder / weights)
    return model.eval()


@pytest.mark.parametrize("prefix", ["", "timm:"])
def test_a_folder_in_timms_format_is_loaded_with_its_settings(tmp_path, prefix):
    model = saved(tmp_path / "mine")
    encoder = load_encoder(f"{prefix}{tmp_path / 'mine'}", "cpu", "float32")
    assert encoder.space.startswith("mine-")
    assert encoder.preprocessing.short_side == 224
    images = noise((224, 224))
    with torch.no_grad():
        expected = model.forward_features(encoder.inputs(images)[1])
    torch.testing.assert_close(encoder.encode(images).pooled, expected[:, 0], atol=1e-5, rtol=1e-5)


def test_a_vit_of_timm_shows_its_tokens_and_guides(tmp_path):
    saved(tmp_path / "mine")
    encoder = load_encoder(str(tmp_path / "mine"), "cpu", "float32")
    seen = dv.look_inside(encoder, noise((96, 64)), 96)
    assert seen.layers == 12
    assert seen.attention.shape == (1, 3, 1, 4, 6)
    torch.testing.assert_close(
        seen.attention.sum((-1, -2)) + seen.prefix_attention.sum(-1), torch.ones(1, 3, 1), atol=1e-5, rtol=0
    )
    assert encoder.reader is not None


def test_it_embeds_and_its_dtype_is_chosen(tmp_path):
    encoder = load_encoder("random:timm:vit_tiny_patch16_224", "cpu", "bfloat16")
    dv.embed("playground:2800:3", encoder, tmp_path / "store", patches=2)
    store = dv.FeatureStore.open(tmp_path / "store")
    assert store.settings.dtype == "bfloat16"
    assert store.patches.shape == (3, 2, 2, 192)


def test_errors_are_one_line_each(tmp_path):
    folder = tmp_path / "pickled"
    saved(folder, weights="other.safetensors")
    lines = {
        "timm:vit_smol_patch14": "timm has no model 'vit_smol_patch14'",
        "timm:vit_tiny_patch16_224.nothing": "timm has no weights 'vit_tiny_patch16_224.nothing'",
        "random:timm:nothing": "timm has no model 'nothing'",
        f"timm:{folder}": "has no model.safetensors, and a pickle is never loaded",
        f"timm:{tmp_path}/none": f"there is no folder {tmp_path}/none",
    }
    for name, expected in lines.items():
        with pytest.raises(EncoderError, match=r".") as found:
            load_encoder(name)
        assert expected in str(found.value)
        assert "\n" not in str(found.value)
    with pytest.raises(EncoderError, match="is an image encoder of timm without texts"):
        load_text_encoder("random:timm:vit_tiny_patch16_224")


def test_published_names_are_found_on_the_hub(monkeypatch):
    assert repository("vit_small_patch14_dinov2.lvd142m") == "timm/vit_small_patch14_dinov2.lvd142m"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EncoderError, match=r"timm/vit_small_patch14_dinov2.lvd142m (is not on this disk|could not be)"):
        load_encoder("timm:vit_small_patch14_dinov2.lvd142m")


def test_networks_without_a_patch_grid_of_their_own_are_refused_in_one_line():
    lines = {
        "levit_128s": "found an input of 224 pixels and a stride of 64; expected whole strides",
        "pit_ti_224": "found features (1, 1, 256); expected a grid of 7 x 7, or its tokens",
    }
    for name, expected in lines.items():
        with pytest.raises(EncoderError, match=re.escape(expected)) as found:
            load_encoder(f"random:timm:{name}", "cpu", "float32")
        assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("name", "readable"),
    [
        ("vit_tiny_patch16_224", True),
        ("deit_tiny_distilled_patch16_224", True),
        ("eva02_tiny_patch14_224", True),
        ("beit_base_patch16_224", True),
        ("xcit_nano_12_p16_224", False),  # attention between channels
        ("cait_xxs24_224", False),  # CLS joins after the blocks
        ("mvitv2_tiny", False),
        ("mixer_s32_224", False),
    ],
)
def test_only_attention_between_tokens_is_shown(name, readable):
    encoder = load_encoder(f"random:timm:{name}", "cpu", "float32")
    image = noise((224, 224))
    if not readable:
        with pytest.raises(EncoderError, match="is not a vision transformer"):
            dv.look_inside(encoder, image, fit="crop")
        return
    seen = dv.look_inside(encoder, image, fit="crop")
    assert seen.grid == encoder.encode(image).grid
    total = seen.attention.sum((-1, -2)) + seen.prefix_attention.sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)
