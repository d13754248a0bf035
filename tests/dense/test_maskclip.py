"""MaskCLIP against the formula on the library's own parts, and against worked values."""

import importlib.util
from pathlib import Path

import pytest
import torch

from dinoclip_viz.dense import LastBlock, maskclip, recorded_input
from dinoclip_viz.encoders import load_encoder

_SPEC = importlib.util.spec_from_file_location("tiny_models", Path(__file__).parent.parent / "tiny_models.py")
tiny = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tiny)


def test_worked_by_hand():
    def double(x):
        return 2 * x

    def same(x):
        return x

    block = LastBlock(
        tokens=torch.tensor([[[9.0], [1.0], [2.0]]]),
        prefix=1,
        heads=1,
        norm1=same,
        query=same,
        key=same,
        value=lambda x: 10 * x,
        out=same,
        norm2=double,
        mlp=lambda x: x + 1,
        finish=lambda x: x / 100,
    )
    # v = 10 x; v + x = 11 x; + mlp(norm2) = 22 x + 1; 33 x + 1 in all
    torch.testing.assert_close(maskclip(block), torch.tensor([[[0.34], [0.67]]]))


def test_it_is_the_formula_on_transformers_clip(tmp_path):
    from transformers import CLIPModel

    folder = tiny.tiny_clip(tmp_path / "clip")
    encoder, images = load_encoder(str(folder), device="cpu"), tiny.images((60, 40), (40, 70))
    features = encoder.encode(images, methods=("maskclip",))
    model = CLIPModel.from_pretrained(folder).eval()
    plans = [encoder.preprocessing.plan(image.size, encoder.patch, None, "crop") for image in images]
    pixels = encoder.preprocessing.pixels(images, plans)
    vision = model.vision_model
    with torch.no_grad():
        x = vision(pixels, output_hidden_states=True).hidden_states[-2]
        layer = vision.encoder.layers[-1]
        v = layer.self_attn.out_proj(layer.self_attn.v_proj(layer.layer_norm1(x))) + x
        v = v + layer.mlp(layer.layer_norm2(v))
        expected = model.visual_projection(vision.post_layernorm(v))[:, 1:].reshape(2, 4, 4, -1)
    torch.testing.assert_close(features.dense["maskclip"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "metaclip2", "tips", "openclip", "openclip_timm"])
def test_every_clip_fills_dense_in_its_joint_space(kind, tmp_path):
    encoder = load_encoder(str(getattr(tiny, f"tiny_{kind}")(tmp_path / kind)), device="cpu")
    image = tiny.images((80, 80))
    features = encoder.encode(image, methods=("maskclip",))
    dense = features.dense["maskclip"]
    assert dense.shape == (*features.patches.shape[:3], encoder.dimension)
    assert torch.isfinite(dense).all()


@pytest.mark.parametrize("kind", ["clip", "tips", "openclip", "openclip_timm"])
def test_the_parts_make_up_the_models_own_block(kind, tmp_path):
    """Ordinary attention over the parts of LastBlock gives the model's own vector, so every part is the right one."""
    from dinoclip_viz.dense import reader
    from dinoclip_viz.encoders import huggingface, openclip

    folder = getattr(tiny, f"tiny_{kind}")(tmp_path / kind)
    images, cpu, how = tiny.images((80, 60)), torch.device("cpu"), torch.float32
    captured = []

    def attend(block):
        captured.append(block)
        return block.finish(block.tokens[:, block.prefix :])

    module = openclip if kind.startswith("openclip") else huggingface
    load = openclip.load_folder if module is openclip else huggingface.load
    encoder = module.image_encoder(load(folder, "x", "x", cpu, how))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "maskclip", attend)
        features = encoder.encode(images, methods=("maskclip",))
    [block] = captured
    with torch.no_grad():
        normed = block.norm1(block.tokens)
        query, key, value = (
            part(normed).unflatten(-1, (block.heads, -1)).transpose(1, 2)
            for part in (block.query, block.key, block.value)
        )
        mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = block.tokens + block.out(mixed)
        x = x + block.mlp(block.norm2(x))
        pooled = block.finish(x[:, :1])[:, 0]
    torch.testing.assert_close(features.pooled, pooled, rtol=0, atol=1e-5)


def test_the_trunk_runs_once(tmp_path):
    encoder = load_encoder(str(tiny.tiny_clip(tmp_path / "clip")), device="cpu")
    layer = torch.nn.Identity()
    with recorded_input(layer) as inputs:
        layer(torch.ones(1))
    layer(torch.zeros(1))
    assert len(inputs) == 1
    before = encoder.encode(tiny.images((40, 40)))
    after = encoder.encode(tiny.images((40, 40)), methods=("maskclip",))
    assert torch.equal(before.pooled, after.pooled)
    assert not before.dense


def test_another_threads_pass_is_not_recorded():
    from threading import Thread

    layer = torch.nn.Identity()
    with recorded_input(layer) as inputs:
        other = Thread(target=layer, args=(torch.zeros(1),))
        other.start()
        other.join()
        layer(torch.ones(1))
    assert [tensor.item() for tensor in inputs] == [1.0]
