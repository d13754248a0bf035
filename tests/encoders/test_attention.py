"""Every transformer computes attention by PyTorch's scaled dot product, the fast one: once per block."""

import pytest
import torch

from dinoclip_viz.encoders import load_encoder

KINDS = [
    "dinov2", "dinov2_with_registers", "dinov3", "dino", "clip", "metaclip2", "siglip", "tips", "openclip",
    "openclip_timm", "openclip_map",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_attention_is_the_scaled_dot_product(kind, tiny_folder, draw_images):
    encoder = load_encoder(tiny_folder(kind), device="cpu")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        encoder.encode(draw_images((64, 64)))
    calls = {event.key: event.count for event in profile.key_averages()}
    native = calls.get("aten::_native_multi_head_attention", 0) + calls.get("aten::_transformer_encoder_layer_fwd", 0)
    assert calls.get("aten::scaled_dot_product_attention", 0) + native >= len(encoder.blocks.of(encoder.blocks.model))
    assert calls.get("aten::softmax", 0) <= (kind == "siglip")  # its pooling head has one query
