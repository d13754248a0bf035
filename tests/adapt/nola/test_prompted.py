"""A tuned tower against the untouched one and against the libraries' own blocks."""

import threading

import pytest
import torch
import torch.nn.functional as F

from dinoclip_viz import load_encoder
from dinoclip_viz.adapt.nola.prompted import PromptedTower, prompted_encoder, tower_of, tuned_encoder
from dinoclip_viz.encoders import EncoderError
from dinoclip_viz.encoders.checks import check_image_encoder

KINDS = ("clip", "metaclip2", "openclip")


@pytest.fixture(params=KINDS)
def base(request, tiny_folder):
    return load_encoder(tiny_folder(request.param), device="cpu", dtype="float32")


def pixels_of(base, images):
    return base.inputs(images)[1]


def grid_of(base):
    return (base.size // base.patch,) * 2


def plain_forward(base, tower, pixels):
    """Pooled vector and patches by the libraries' modules: prompts between CLS and patches after the first norm."""
    vision = base.blocks.model
    if hasattr(vision, "pre_layrnorm"):  # transformers
        tokens = vision.pre_layrnorm(vision.embeddings(pixels, interpolate_pos_encoding=True))
        layers = [lambda tokens, layer=layer: layer(tokens, None) for layer in vision.encoder.layers]
        norm = vision.post_layernorm
    else:
        tokens, layers, norm = vision._embeds(pixels), list(vision.transformer.resblocks), vision.ln_post
    tokens = torch.cat([tokens[:, :1], tower.prompts.expand(len(tokens), -1, -1), tokens[:, 1:]], dim=1)
    for layer in layers:
        tokens = layer(tokens)
    normed = norm(tokens)
    joint = base.reader.take_apart(tokens).finish(tokens[:, 0])
    return (
        joint,
        normed[:, 1 + len(tower.prompts) :],
        torch.cat([tokens[:, :1], tokens[:, 1 + len(tower.prompts) :]], 1),
    )


def test_without_prompts_the_outputs_are_those_of_the_untouched_tower(base, draw_images):
    images = draw_images((50, 40), (32, 61))
    encoder = prompted_encoder(base, PromptedTower(base, prompts=0))
    for how in ({}, {"size": 5 * base.patch}):
        ours, theirs = encoder.encode(images, **how), base.encode(images, **how)
        for name in ("pooled", "mean", "patches"):
            torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=0, atol=1e-5)


def test_prompts_stand_between_cls_and_patches_after_the_first_norm(base, draw_images):
    pixels, tower = pixels_of(base, draw_images((50, 40), (32, 61))), PromptedTower(base, prompts=3, seed=5)
    with torch.no_grad():
        pooled, patches, tokens = plain_forward(base, tower, pixels)
        output = tower(pixels, grid_of(base))
    torch.testing.assert_close(output.pooled, pooled, rtol=0, atol=1e-5)
    torch.testing.assert_close(output.patches, patches, rtol=0, atol=1e-5)
    torch.testing.assert_close(output.mean, tokens.mean(1), rtol=0, atol=1e-5)
    assert (output.pooled - base.tower(pixels, grid_of(base), ()).pooled).abs().max() > 1e-3


def test_prompts_are_uniform_as_in_the_published_code(base):
    width = base.patch_dimension
    prompts = PromptedTower(base, prompts=16, seed=1).prompts
    reach = (6 / (3 * 16 * 16 + width)) ** 0.5
    assert prompts.shape == (16, width)
    assert 0.95 * reach < prompts.abs().max() <= reach
    assert abs(prompts.mean()) < 0.1 * reach
    assert PromptedTower(base, prompts=400).prompts.abs().max() > 0.99 * reach  # whatever their number
    assert torch.equal(prompts, PromptedTower(base, 16, seed=1).prompts)
    assert not torch.equal(prompts, PromptedTower(base, 16, seed=2).prompts)


def test_gradients_reach_the_prompts_and_every_norm_and_nothing_else(base, draw_images):
    tower = PromptedTower(base, prompts=4)
    blocks = base.blocks.of(base.blocks.model)
    norms = [name for name, one in base.blocks.model.named_modules() if isinstance(one, torch.nn.LayerNorm)]
    assert list(tower.names) == norms
    assert len(norms) == 2 * len(blocks) + 2
    tower(pixels_of(base, draw_images((40, 40))), grid_of(base)).pooled.square().sum().backward()
    assert {name for name, _ in tower.named_parameters()} == {
        "prompts", *(f"norms.{index}.{part}" for index in range(len(norms)) for part in ("weight", "bias")),
    }  # fmt: skip
    assert all(values.grad is not None and values.grad.abs().sum() > 0 for values in tower.parameters())
    assert all(values.grad is None and not values.requires_grad for values in base.blocks.model.parameters())


def test_tuned_norms_act_and_the_base_stays_as_it_was(base, draw_images):
    images = draw_images((50, 40), (32, 61))
    before = base.encode(images)
    tower = PromptedTower(base, prompts=2)
    for norm in tower.norms:
        torch.nn.init.normal_(norm.bias, generator=torch.Generator().manual_seed(3))
    encoder = prompted_encoder(base, tower)
    tuned = encoder.encode(images)
    assert (tuned.pooled - before.pooled).abs().max() > 0.1
    after = base.encode(images)
    assert torch.equal(before.pooled, after.pooled) and torch.equal(before.patches, after.patches)
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in base.blocks.model.modules())
    assert tuned.space != before.space and tuned.patch_space != before.patch_space


def test_a_thread_that_uses_the_base_is_not_affected(base, draw_images):
    images = draw_images((50, 40))
    before, tower, seen = base.encode(images).pooled, PromptedTower(base, prompts=4), []
    with tower._applied():
        thread = threading.Thread(target=lambda: seen.append(base.encode(images).pooled))
        thread.start()
        thread.join()
        changed = base.encode(images).pooled
    assert torch.equal(seen[0], before)
    assert not torch.equal(changed, before)


def test_tensors_are_restored_by_name(base, draw_images):
    tower = PromptedTower(base, prompts=3, seed=1)
    with torch.no_grad():
        tower.norms[1].weight.mul_(1.3)
    images = draw_images((50, 40))
    one, other = prompted_encoder(base, tower), tuned_encoder(base, tower.tensors())
    assert torch.equal(one.encode(images).pooled, other.encode(images).pooled)
    assert one.space == other.space
    assert tower_of(other).tensors().keys() == {
        "prompts",
        *(f"{n}.{p}" for n in tower.names for p in ("weight", "bias")),
    }
    short = {name: values for name, values in tower.tensors().items() if name != f"{tower.names[-1]}.bias"}
    with pytest.raises(EncoderError, match=f"{tower.names[-1]}.bias has shape none; expected"):
        tuned_encoder(base, short)


def test_the_tuned_encoder_keeps_the_contract(base):
    encoder = prompted_encoder(base, PromptedTower(base, prompts=4))
    check_image_encoder(encoder)
    assert encoder.methods == () and encoder.reader is None


def test_gradients_equal_finite_differences(tiny_folder, draw_images):
    base = load_encoder(tiny_folder("clip"), device="cpu", dtype="float32")
    tower, pixels = PromptedTower(base, prompts=2), pixels_of(base, draw_images((40, 40)))

    def value():
        return F.normalize(tower(pixels, grid_of(base)).pooled, dim=1)[0, :5].sum()

    value().backward()
    step = 1e-2
    with torch.no_grad():
        tower.prompts[1, 3] += step
        high = value()
        tower.prompts[1, 3] -= 2 * step
        low = value()
    assert tower.prompts.grad[1, 3].item() == pytest.approx(((high - low) / (2 * step)).item(), rel=0.05, abs=1e-5)


@pytest.mark.parametrize("kind", ["dinov2", "siglip"])
def test_other_encoders_are_refused_in_one_line(kind, tiny_folder):
    encoder = load_encoder(tiny_folder(kind), device="cpu")
    with pytest.raises(EncoderError, match="cannot take visual prompts; expected a CLIP") as error:
        PromptedTower(encoder)
    assert "\n" not in str(error.value)
    with pytest.raises(EncoderError, match="is not tuned by NoLA"):
        tower_of(encoder)


@pytest.mark.parametrize("kind", ["clip", "openclip"])
def test_a_base_in_bfloat16_is_tuned_in_float32(kind, tiny_folder, draw_images):
    base = load_encoder(tiny_folder(kind), device="cpu", dtype="bfloat16")
    tower = PromptedTower(base, prompts=2)
    assert {values.dtype for values in tower.parameters()} == {torch.float32}
    output = tower(pixels_of(base, draw_images((40, 40))).to(base.dtype), grid_of(base))
    assert output.pooled.dtype == torch.bfloat16
    output.pooled.float().square().sum().backward()
    assert all(values.grad.isfinite().all() and values.grad.abs().sum() > 0 for values in tower.parameters())
