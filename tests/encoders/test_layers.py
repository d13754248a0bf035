"""Features of the last layers of vision transformers."""

import pytest
import torch

from dinoclip_viz import load_encoder
from dinoclip_viz.encoders import EncoderError
from dinoclip_viz.encoders.layers import encode_layers

VITS = ("dinov2", "dinov2_with_registers", "dinov3", "dino", "ijepa", "pixio", "clip", "siglip", "tips", "openclip")


@pytest.mark.parametrize("kind", VITS)
def test_the_last_layer_is_that_of_encode(kind, tiny_folder, draw_images):
    encoder = load_encoder(tiny_folder(kind), "cpu", "float32")
    images = draw_images((70, 50), (70, 50))
    found, usual = encode_layers(encoder, images, 2), encoder.encode(images, fit="whole")
    assert found.patches.shape[1] == 2 and found.grid == usual.grid
    assert torch.allclose(found.patches[:, -1], usual.patches, atol=1e-5)
    assert torch.equal(found.boxes, usual.boxes) and torch.equal(found.sizes, usual.sizes)
    assert found.space == encoder.patch_space


def test_earlier_layers_are_those_of_transformers_after_the_final_norm(tiny_folder, draw_images):
    from transformers import Dinov2WithRegistersModel

    folder = tiny_folder("dinov2_with_registers")
    encoder, images = load_encoder(folder, "cpu", "float32"), draw_images((60, 60))
    layers = len(Dinov2WithRegistersModel.from_pretrained(folder).encoder.layer)
    found = encode_layers(encoder, images, layers)
    model = Dinov2WithRegistersModel.from_pretrained(folder).eval()
    with torch.no_grad():
        hidden = model(encoder.inputs(images, None, "whole")[1], output_hidden_states=True).hidden_states[1:]
        expected = torch.stack([model.layernorm(each)[0] for each in hidden])  # (N, T, D)
    assert torch.allclose(found.patches[0].flatten(1, 2), expected[:, 5:], atol=1e-5)  # CLS and four registers
    assert torch.allclose(found.cls[0], expected[-1, 0], atol=1e-5)


def test_a_model_without_cls_has_the_mean_of_its_patches(tiny_folder, draw_images):
    found = encode_layers(load_encoder(tiny_folder("ijepa"), "cpu", "float32"), draw_images((60, 60)), 1)
    assert torch.allclose(found.cls, found.patches[:, -1].mean((1, 2)), atol=1e-6)


def test_batches_change_nothing_and_the_model_keeps_no_hooks(tiny_folder, draw_images):
    encoder, images = load_encoder(tiny_folder("dinov2"), "cpu", "float32"), draw_images(*[(60, 60)] * 3)
    one, all_at_once = encode_layers(encoder, images, 2, batch_size=1), encode_layers(encoder, images, 2)
    assert torch.allclose(one.patches, all_at_once.patches, atol=1e-6)
    assert not any(module._forward_hooks for module in encoder.blocks.model.modules())


def test_what_has_no_layers_and_what_has_fewer_is_refused(tiny_folder, draw_images):
    with pytest.raises(EncoderError, match="not a vision transformer"):
        encode_layers("pixels", draw_images((60, 60)))
    with pytest.raises(ValueError, match=r"layers=99; expected 1 to \d"):
        encode_layers(load_encoder(tiny_folder("dinov2"), "cpu", "float32"), draw_images((60, 60)), 99)
