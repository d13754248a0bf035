"""What is read out of the last blocks, against hooks on the library's own modules."""

import importlib.util
from pathlib import Path

import pytest
import torch

from dinoclip_viz.dense.reader import BLOCK_METHODS, EXTRAS
from dinoclip_viz.encoders import load_encoder

_SPEC = importlib.util.spec_from_file_location("tiny_models", Path(__file__).parent.parent / "tiny_models.py")
tiny = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tiny)

VISION = ("dinov2", "dinov2_with_registers", "dinov3", "dino", "ijepa", "pixio")
JOINT = ("clip", "metaclip2", "tips", "openclip", "openclip_timm")


@pytest.mark.parametrize("kind", VISION)
def test_keys_and_values_of_a_vision_model_are_its_own_layers(kind, tmp_path):
    encoder = load_encoder(str(getattr(tiny, f"tiny_{kind}")(tmp_path / kind)), device="cpu")
    seen = {}
    modules = [(name, module) for name, module in encoder.blocks.model.named_modules()]
    for extra, layer in (("keys", "k_proj"), ("values", "v_proj")):
        module = [module for name, module in modules if name.endswith(layer)][-1]
        module.register_forward_hook(lambda _, __, output, extra=extra: seen.setdefault(extra, output))
    features = encoder.encode(tiny.images((80, 60), (60, 80)), methods=["keys", "values"])
    rows, columns = features.grid
    for extra in ("keys", "values"):
        own = seen[extra][:, -rows * columns :].unflatten(1, (rows, columns))
        torch.testing.assert_close(features.dense[extra], own, rtol=0, atol=1e-6)
    assert encoder.methods == ()


@pytest.mark.parametrize("kind", JOINT)
def test_every_method_and_extra_comes_from_one_pass_and_alone_as_together(kind, tmp_path):
    encoder = load_encoder(str(getattr(tiny, f"tiny_{kind}")(tmp_path / kind)), device="cpu")
    assert encoder.methods == BLOCK_METHODS
    image = tiny.images((80, 60))
    plain = encoder.encode(image, fit="whole")
    together = encoder.encode(image, fit="whole", methods=[*BLOCK_METHODS, *EXTRAS])
    assert torch.equal(plain.patches, together.patches) and torch.equal(plain.pooled, together.pooled)
    for method in (*BLOCK_METHODS, *EXTRAS):
        alone = encoder.encode(image, fit="whole", methods=[method]).dense[method]
        torch.testing.assert_close(alone, together.dense[method], rtol=0, atol=1e-6)
        assert together.dense[method].shape[:3] == plain.patches.shape[:3]
        if method in BLOCK_METHODS:
            assert alone.shape[-1] == encoder.dimension


def test_finishing_values_is_the_end_of_the_library_s_block(tmp_path):
    from transformers import CLIPModel

    folder = tiny.tiny_clip(tmp_path / "clip")
    encoder, model = load_encoder(str(folder), device="cpu"), CLIPModel.from_pretrained(folder).eval()
    values = encoder.encode(tiny.images((60, 60)), methods=["values"]).dense["values"]
    vision = model.vision_model
    with torch.no_grad():
        last = vision.post_layernorm(vision.encoder.layers[-1].self_attn.out_proj(values))
        expected = model.visual_projection(last)
    torch.testing.assert_close(encoder.reader.finish(values), expected, rtol=0, atol=1e-5)


def test_extras_of_a_tower_without_blocks_are_refused(tmp_path):
    encoder = load_encoder("pixels")
    with pytest.raises(ValueError, match="does not serve the heat-map method 'values'"):
        encoder.encode(tiny.images((60, 60)), methods=["values"])
