"""Learnt vectors at the beginning of texts."""

import pytest
import torch

from dinoclip_viz import load_text_encoder
from dinoclip_viz.encoders import EncoderError
from dinoclip_viz.encoders.towers.context import context_width, encode_with_context

NAMES = ("playground-clip", "playground-text", "playground-siglip")


def filler_vector(encoder, text="x"):
    """The vector of the token that stands for a learnt one."""
    seen = []
    handle = encoder.embedding.register_forward_hook(lambda _, given, output: seen.append((given[0], output)))
    encoder.encode([" ".join([text] * 5)])
    handle.remove()
    tokens, vectors = seen[0]
    starts = next(place for place in range(tokens.shape[1] - 4) if len(set(tokens[0, place : place + 5].tolist())) == 1)
    return vectors[0, starts].detach()


@pytest.mark.parametrize("name", NAMES)
def test_a_context_of_the_filler_is_the_text_with_fillers(name):
    encoder = load_text_encoder(name)
    context = filler_vector(encoder).repeat(3, 1)
    found = encode_with_context(encoder, ["a knife", "sit on"], context)
    expected = encoder.encode(["x x x a knife", "x x x sit on"]).pooled
    assert context.shape[1] == context_width(encoder) > 0
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_the_context_alone(name):
    encoder = load_text_encoder(name)
    context = torch.zeros(4, context_width(encoder), requires_grad=True)
    encode_with_context(encoder, ["cut"], context).sum().backward()
    assert context.grad is not None and bool((context.grad.abs().sum(1) > 0).all())
    assert encoder.embedding.weight.grad is None
    assert not encoder.embedding._forward_hooks


def test_the_tiny_model_of_open_clip_is_reached(tiny_folder):
    encoder = load_text_encoder(tiny_folder("openclip"), "cpu", "float32")
    width = context_width(encoder)
    one, other = (encode_with_context(encoder, ["cat"], torch.full((2, width), value)) for value in (0.0, 1.0))
    assert width > 0 and not torch.allclose(one, other)


def test_another_width_and_a_context_that_does_not_fit_are_refused():
    encoder = load_text_encoder("playground-clip")
    with pytest.raises(EncoderError, match=r"\(2, 7\); expected \(N, 128\)"):
        encode_with_context(encoder, ["cut"], torch.zeros(2, 7))
    with pytest.raises(EncoderError, match="200 fillers"):
        encode_with_context(encoder, ["cut"], torch.zeros(200, 128))
