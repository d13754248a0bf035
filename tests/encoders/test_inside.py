"""Norms and attention inside every architecture, against the libraries' own eager forward pass and plain loops."""

import threading

import numpy as np
import pytest
import torch

from dinoclip_viz.encoders import EncoderError, load_encoder
from dinoclip_viz.encoders.huggingface import ARCHITECTURES
from dinoclip_viz.encoders.inside import look_inside
from dinoclip_viz.encoders.towers import blocks

KINDS = ("dinov2", "dinov2_with_registers", "dinov3", "dino", "ijepa", "pixio", "clip", "metaclip2", "siglip", "tips")
REGISTERS = {"dinov2_with_registers": 4, "dinov3": 4, "pixio": 7, "tips": 1}
OPEN_CLIP = ("openclip", "openclip_timm", "openclip_map")


def library_pass(folder, pixels):
    """Tokens after each block, L of (B, T, D), and its attention, L of (B, heads, T, T), by the eager library model."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    known = ARCHITECTURES[config.model_type]
    extra = {"add_pooling_layer": False} if config.model_type == "vit" else {}
    model = getattr(transformers, known.model).from_pretrained(folder, attn_implementation="eager", **extra).eval()
    vision = model.vision_model if known.joint else model
    tokens = []
    for block in vision.get_submodule(blocks.TRANSFORMERS[config.model_type][0]):
        block.register_forward_hook(lambda _, __, output: tokens.append(output))
    asks = {"interpolate_pos_encoding": True} if known.asks_for_positions else {}
    with torch.no_grad():
        output = vision(pixels, output_attentions=True, output_hidden_states=True, **asks)
    for given, hooked in zip(output.hidden_states[1:-1], tokens[:-1], strict=True):
        assert torch.equal(given, hooked)
    return tokens, output.attentions


def rolled_out(attentions):
    """Abnar and Zuidema's rollout by plain loops in float64; (B, T, T)."""
    every = []
    for image in range(len(attentions[0])):
        total = np.eye(attentions[0].shape[-1])
        for weights in attentions:
            mixed = np.mean([head.double().numpy() for head in weights[image]], axis=0) + np.eye(len(total))
            for row in range(len(mixed)):
                mixed[row] /= mixed[row].sum()
            total = mixed @ total
        every.append(total)
    return torch.from_numpy(np.stack(every))


@pytest.mark.parametrize("kind", KINDS)
def test_norms_attention_and_rollout_are_those_of_the_eager_model(kind, tiny_folder, draw_images):
    folder, images = tiny_folder(kind), draw_images((90, 60), (120, 80))
    encoder = load_encoder(folder, device="cpu")
    seen = look_inside(encoder, images, size=6 * encoder.patch)
    tokens, attentions = library_pass(folder, encoder.inputs(images, 6 * encoder.patch, "whole")[1])
    cls, registers, (rows, columns) = int(kind not in ("siglip", "ijepa")), REGISTERS.get(kind, 0), (4, 6)
    prefix, layers, heads = cls + registers, 2, 2
    assert (seen.layers, seen.registers, seen.grid) == (layers, registers, (rows, columns))
    norms = torch.stack([each.norm(dim=-1) for each in tokens], dim=1)  # (B, L, T)
    torch.testing.assert_close(seen.norms.flatten(2), norms[..., prefix:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(seen.register_norms, norms[..., cls:prefix], rtol=1e-5, atol=1e-5)
    last, asked = attentions[-1], prefix
    assert seen.attention.shape == (2, heads, asked, rows, columns)
    torch.testing.assert_close(seen.attention.flatten(3), last[:, :, :asked, prefix:], rtol=0, atol=1e-6)
    torch.testing.assert_close(seen.prefix_attention, last[:, :, :asked, :asked], rtol=0, atol=1e-6)
    total = seen.attention.sum(dim=(3, 4)) + seen.prefix_attention.sum(dim=3)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-5)
    assert (seen.attention.sum(dim=(3, 4)) <= 1 + 1e-6).all()
    rollout = rolled_out(attentions)
    reached = rollout[:, 0] if cls else rollout.mean(dim=1)
    torch.testing.assert_close(seen.rollout.flatten(1).double(), reached[:, prefix:], rtol=0, atol=1e-6)
    if cls:
        torch.testing.assert_close(seen.cls_norms, norms[..., 0], rtol=1e-5, atol=1e-5)
        assert seen.queries[0] == "CLS" and len(seen.queries) == 1 + registers
    else:
        assert seen.cls_norms is None and seen.queries == ()
    assert seen.space == encoder.patch_space
    assert seen.boxes.tolist() == [[0, 0, 90, 60], [0, 0, 120, 80]]
    assert seen.sizes.tolist() == [[90, 60], [120, 80]]


def test_every_architecture_is_looked_into():
    with_blocks = {kind for kind, known in ARCHITECTURES.items() if not known.convolutional}
    assert blocks.TRANSFORMERS.keys() == with_blocks


@pytest.mark.parametrize("kind", OPEN_CLIP)
def test_open_clips_towers_show_what_their_own_attention_computes(kind, tiny_folder, draw_images):
    encoder, images = load_encoder(tiny_folder(kind), device="cpu"), draw_images((80, 60))
    size = 4 * encoder.patch
    seen = look_inside(encoder, images, size=size)
    model, pixels = encoder.blocks.model, encoder.inputs(images, size, "whole")[1]
    normed, tokens = [], []
    layers = encoder.blocks.of(model)
    norm = "ln_1" if kind == "openclip" else "norm1"
    handles = [
        handle
        for layer in layers
        for handle in (
            layer.get_submodule(norm).register_forward_hook(lambda _, __, output: normed.append(output)),
            layer.register_forward_hook(lambda _, __, output: tokens.append(output)),
        )
    ]
    with torch.no_grad():
        encoder.blocks.run(model, pixels)
    for handle in handles:
        handle.remove()
    norms = torch.stack([each.norm(dim=-1) for each in tokens], dim=1)  # (B, L, T)
    torch.testing.assert_close(seen.norms.flatten(2), norms[..., 1:], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(seen.cls_norms, norms[..., 0], rtol=1e-4, atol=1e-4)
    if kind == "openclip_map":  # rotary positions: the queries and keys are not the projections alone
        total = seen.attention.sum(dim=(3, 4)) + seen.prefix_attention.sum(dim=3)
        torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-5)
        return
    attentions = []
    with torch.no_grad():
        for layer, given in zip(layers, normed, strict=True):
            if kind == "openclip":
                own = layer.attn(given, given, given, need_weights=True, average_attn_weights=False)[1]
            else:
                query, key, _ = layer.attn.qkv(given).unflatten(-1, (3, layer.attn.num_heads, -1)).unbind(2)
                own = torch.einsum("bqhd,bkhd->bhqk", query, key).mul(layer.attn.scale).softmax(-1)
            attentions.append(own)
    torch.testing.assert_close(seen.attention.flatten(3), attentions[-1][:, :, :1, 1:], rtol=0, atol=1e-5)
    rollout = rolled_out(attentions)[:, 0, 1:]
    torch.testing.assert_close(seen.rollout.flatten(1).double(), rollout, rtol=0, atol=1e-5)


def test_norms_alone_need_no_eager_attention(tiny_folder, draw_images, monkeypatch):
    from transformers import PreTrainedModel

    encoder = load_encoder(tiny_folder("dinov2_with_registers"), device="cpu")
    both = look_inside(encoder, draw_images((60, 60)))
    asked = []
    monkeypatch.setattr(PreTrainedModel, "set_attn_implementation", lambda _, how: asked.append(how))
    alone = look_inside(encoder, draw_images((60, 60)), attention=False)
    assert asked == []
    assert alone.attention is None and alone.prefix_attention is None and alone.rollout is None
    torch.testing.assert_close(alone.norms, both.norms, rtol=1e-5, atol=1e-5)


def test_many_images_are_those_one_by_one(tiny_folder, draw_images):
    encoder, images = load_encoder(tiny_folder("dinov2"), device="cpu"), draw_images(*[(70, 70)] * 11)
    alone = [look_inside(encoder, [image], attention=False).norms for image in images]
    torch.testing.assert_close(look_inside(encoder, images, attention=False).norms, torch.cat(alone))
    together = look_inside(encoder, images)
    assert len(together) == 11
    torch.testing.assert_close(together.attention[3:4], look_inside(encoder, images[3:4]).attention)


def test_features_stay_the_same_to_the_bit_while_others_look_inside(tiny_folder, draw_images):
    encoder, images = load_encoder(tiny_folder("dinov2"), device="cpu"), draw_images((90, 90))
    before, expected = encoder.encode(images), look_inside(encoder, images)
    failed, stop = [], threading.Event()

    def look():
        while not stop.is_set():
            seen = look_inside(encoder, images)
            if not (torch.equal(seen.norms, expected.norms) and torch.equal(seen.attention, expected.attention)):
                failed.append("inside")

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(60):
        if not torch.equal(encoder.encode(images).patches, before.patches):
            failed.append("encode")
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []


def test_looking_inside_leaves_the_model_as_it_was_even_after_an_error(tiny_folder, draw_images):
    encoder, images = load_encoder(tiny_folder("clip"), device="cpu"), draw_images((40, 40))
    model = encoder.blocks.model
    look_inside(encoder, images)
    last = encoder.blocks.of(model)[-1]

    def fail(*_):
        raise RuntimeError("broken on purpose")

    handle = last.register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="broken on purpose"):
        look_inside(encoder, images)
    handle.remove()
    assert model.config._attn_implementation == "sdpa"
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in model.modules())


def test_half_precision_comes_back_as_float32(tiny_folder, draw_images):
    images = draw_images((70, 50))
    exact = look_inside(load_encoder(tiny_folder("dinov2"), device="cpu"), images)
    rough = look_inside(load_encoder(tiny_folder("dinov2"), device="cpu", dtype=torch.bfloat16), images)
    for name in ("norms", "attention", "rollout", "cls_norms"):
        assert getattr(rough, name).dtype == torch.float32
        torch.testing.assert_close(getattr(rough, name), getattr(exact, name), rtol=0.05, atol=0.01)


def test_what_cannot_be_looked_into_is_refused_in_one_line(tiny_folder, draw_images):
    for name in (tiny_folder("openclip_convolutional"), "pixels"):
        with pytest.raises(EncoderError, match="is not a vision transformer and has no tokens") as caught:
            look_inside(load_encoder(name), draw_images((64, 64)))
        assert "\n" not in str(caught.value)
    encoder = load_encoder(tiny_folder("dinov2"), device="cpu")
    with pytest.raises(ValueError, match=r"2 different patch grids .*one image at a time"):
        look_inside(encoder, draw_images((60, 60), (60, 90)))
    with pytest.raises(ValueError, match="at least one image"):
        look_inside(encoder, [])
    with pytest.raises(ValueError, match="size=3"):
        look_inside(encoder, draw_images((60, 60)), size=3)
