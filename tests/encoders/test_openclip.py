"""open_clip's models through the real loading code, against the library's own forward pass."""

import json

import pytest
import torch
from PIL import Image

from dinoclip_viz.encoders import EncoderError, load_encoder, load_pair, openclip
from dinoclip_viz.encoders.openclip import weights

KINDS = ("openclip", "openclip_timm", "openclip_map", "openclip_convolutional")


def library_model(folder):
    import open_clip

    return open_clip.create_model_from_pretrained(f"local-dir:{folder}")


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_the_library(kind, tiny_folder, draw_images):
    folder, images = tiny_folder(kind), draw_images((90, 70), (64, 121))
    encoder = load_encoder(folder, device="cpu")
    model, preprocess = library_model(folder)
    pixels = torch.stack([preprocess(image) for image in images])
    plans = [encoder.preprocessing.plan(image.size, encoder.patch, None, "crop") for image in images]
    assert torch.equal(encoder.preprocessing.pixels(images, plans), pixels)
    features = encoder.encode(images)
    with torch.no_grad():
        model = model.eval()
        torch.testing.assert_close(features.pooled, model.encode_image(pixels), rtol=0, atol=1e-5)
        if kind != "openclip_convolutional":
            maps = model.visual.forward_intermediates(pixels, normalize_intermediates=True)["image_intermediates"][-1]
        else:
            maps = model.visual.trunk.forward_features(pixels)
    torch.testing.assert_close(features.patches, maps.permute(0, 2, 3, 1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("kind", "grid"), [("openclip", (3, 6)), ("openclip_timm", (3, 6)), ("openclip_map", (3, 6))])
def test_any_grid_equals_a_model_made_for_that_size(kind, grid, tiny_folder, draw_images):
    """open_clip resizes position embeddings when it loads a model for another size: the same, but for one size."""
    import open_clip

    folder = tiny_folder(kind)
    encoder = load_encoder(folder, device="cpu")
    height, width = (side * encoder.patch for side in grid)
    image = draw_images((width, height))[0]
    features = encoder.encode([image], size=width, fit="whole")
    assert features.grid == grid
    model = open_clip.create_model(f"local-dir:{folder}", force_image_size=(height, width)).eval()
    plan = encoder.preprocessing.plan(image.size, encoder.patch, width, "whole")
    pixels = encoder.preprocessing.pixels([image], [plan])
    with torch.no_grad():
        expected = model.encode_image(pixels)
    torch.testing.assert_close(features.pooled, expected, rtol=0, atol=1e-4)


def test_another_size_changes_nothing_for_the_next_call(tiny_folder, draw_images):
    encoder, images = load_encoder(tiny_folder("openclip"), device="cpu"), draw_images((50, 40))
    before = encoder.encode(images)
    encoder.encode(images, size=96)
    assert torch.equal(before.patches, encoder.encode(images).patches)


def test_text_vectors_are_those_of_the_library(tiny_folder):
    import open_clip

    folder, texts = tiny_folder("openclip"), ["a photo of a cat", "two dogs"]
    images, encoder = load_pair(folder, device="cpu")
    model, _ = library_model(folder)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}", context_length=16)
    with torch.no_grad():
        expected = model.eval().encode_text(tokenizer(texts))
    torch.testing.assert_close(encoder.encode(texts).pooled, expected, rtol=0, atol=1e-5)
    assert encoder.space == images.space
    assert len(encoder.templates) == 80
    assert encoder.logit_scale == pytest.approx(model.logit_scale.exp().item())


def test_a_convolutional_tower_has_a_grid_of_its_stride(tiny_folder, draw_images):
    encoder = load_encoder(tiny_folder("openclip_convolutional"), device="cpu")
    assert encoder.patch == 32
    assert encoder.encode(draw_images((300, 200)), size=288, fit="whole").grid == (6, 9)


def test_quickgelu_must_agree_with_the_weights():
    with pytest.raises(
        EncoderError, match=r"ViT-B-32 and weights 'openai' differ in QuickGELU.*use ViT-B-32-quickgelu"
    ):
        openclip.repository("ViT-B-32", "openai")
    with pytest.raises(EncoderError, match=r"differ in QuickGELU.*use ViT-H-14-378-quickgelu instead"):
        openclip.repository("ViT-H-14-378", "dfn5b")
    assert openclip.repository("ViT-B-32-quickgelu", "openai") == "timm/vit_base_patch32_clip_224.openai"


def test_unknown_weights_are_answered_with_the_known_ones():
    with pytest.raises(EncoderError, match=r"no weights 'laion3b' for ViT-B-32; it has: openai, "):
        openclip.repository("ViT-B-32", "laion3b")
    with pytest.raises(EncoderError, match="open_clip has no model 'ViT-Z'"):
        openclip.repository("ViT-Z", "openai")


def test_published_weights_load_by_name_from_a_folder(tmp_path, monkeypatch):
    """As from the hub, but with tiny weights of a tiny model that open_clip is told about."""
    import open_clip
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    text = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    vision = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16}
    model = {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text, "quick_gelu": True}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny-quickgelu", model)
    published = {"hf_hub": "org/tiny/", "quick_gelu": True, "mean": (0.5, 0.5, 0.5), "std": (0.2, 0.2, 0.2)}
    published.update(interpolation="bilinear", resize_mode="squash")
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-quickgelu", {"tag": published})
    torch.manual_seed(0)
    save_file(CLIP(**model).state_dict(), tmp_path / "open_clip_model.safetensors")
    monkeypatch.setattr(
        "dinoclip_viz.encoders.loading.fetch", lambda name, repository, library, revision=None: (tmp_path, "abc")
    )
    encoder = load_encoder("open_clip/tiny-quickgelu/tag", device="cpu")
    assert encoder.space == "open_clip/tiny-quickgelu/tag"
    assert encoder.revision == "abc"
    assert encoder.preprocessing.short_side is None
    assert encoder.preprocessing.resample == Image.Resampling.BILINEAR


def test_a_pickle_is_never_loaded(tiny_folder, tmp_path):
    config = json.loads((tmp_path.__class__(tiny_folder("openclip")) / "open_clip_config.json").read_text())
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(EncoderError, match=r"has no open_clip_model.safetensors"):
        load_encoder(str(tmp_path), device="cpu")
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(EncoderError, match=r"holds open_clip_pytorch_model.bin, a pickle that could run code"):
        load_encoder(str(tmp_path), device="cpu")


def test_broken_files_give_one_line(tiny_folder, tmp_path):
    (tmp_path / "open_clip_config.json").write_text("{")
    with pytest.raises(EncoderError, match="is not valid JSON"):
        load_encoder(str(tmp_path), device="cpu")
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(EncoderError, match="has no 'model_cfg'"):
        load_encoder(str(tmp_path), device="cpu")
    source = tmp_path.__class__(tiny_folder("openclip"))
    (tmp_path / "open_clip_config.json").write_text((source / "open_clip_config.json").read_text())
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(EncoderError, match="open_clip cannot read the model") as caught:
        load_encoder(str(tmp_path), device="cpu")
    assert "\n" not in str(caught.value)


def test_mobileclips_branches_are_merged_with_equal_outputs(tiny_folder, draw_images):
    """Every norm and scale is random, so that a branch merged wrongly changes the outputs."""
    folder = tiny_folder("openclip_convolutional")
    model, preprocess = library_model(folder)
    trunk, generator = model.visual.trunk.eval(), torch.Generator().manual_seed(0)
    for name, values in (*trunk.named_parameters(), *trunk.named_buffers()):
        if values.dtype == torch.float32 and values.ndim <= 1 and values.numel() > 1:
            low = 0.5 if name.endswith(("running_var", "weight")) else -0.2
            values.data.uniform_(low, low + 0.5, generator=generator)
    pixels = torch.stack([preprocess(image) for image in draw_images((256, 256))])
    with torch.no_grad():
        before, layers = model.encode_image(pixels), len(list(trunk.modules()))
        weights.reparameterise(model)
        after = model.encode_image(pixels)
    assert len(list(trunk.modules())) < layers
    assert before.std() > 1e-3
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4 * before.abs().max().item())
    encoder = load_encoder(folder, device="cpu")
    assert "convolutional" in folder
    assert encoder.dimension == 24


def test_a_tower_without_branches_is_unchanged(tiny_folder):
    model, _ = library_model(tiny_folder("openclip"))
    names = list(model.state_dict())
    weights.reparameterise(model)
    assert list(model.state_dict()) == names
