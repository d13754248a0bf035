"""Vectors of verbs: prompts, the learnt context, and the centre."""

import pytest
import torch

from dinoclip_viz import load_text_encoder
from dinoclip_viz.affordance.words import VerbTexts, spoken
from dinoclip_viz.encoders.towers.context import encode_with_context


@pytest.fixture(scope="module")
def encoder():
    return load_text_encoder("playground-clip")


def test_a_vector_is_the_mean_of_the_prompts_and_the_context_around_the_centre(encoder):
    words = VerbTexts(encoder, ("a part to {} with", "{}"), 4)
    words.centre.normal_()
    plain = encoder.encode(["a part to sit on with", "sit on"]).pooled.mean(0)
    learnt = encode_with_context(encoder, ["sit on."], words.context)[0]
    assert torch.allclose(words(["sit_on"])[0], (plain + learnt) / 2 - words.centre, atol=1e-5)


def test_without_a_context_only_the_prompts_count(encoder):
    words = VerbTexts(encoder, ("{}",), 0)
    assert words.context is None and list(words.state_dict()) == ["centre"]
    assert torch.allclose(words(["cut", "hold"]), encoder.encode(["cut", "hold"]).pooled)


def test_no_vector_of_a_verb_is_part_of_the_state(encoder):
    words = VerbTexts(encoder)
    before = words(["cut"])
    assert {name: tuple(value.shape) for name, value in words.state_dict().items()} == {
        "context": (8, 128), "centre": (128,),
    }  # fmt: skip
    assert not torch.allclose(words(["hold"]), before, atol=1e-3)
    assert torch.equal(words(["cut"]), before)


def test_the_text_model_stays_frozen(encoder):
    words = VerbTexts(encoder, context=2)
    words(["cut", "hold"]).sum().backward()
    assert [name for name, weights in words.named_parameters() if weights.grad is not None] == ["context"]
    assert encoder.embedding.weight.grad is None


def test_verbs_are_spoken_with_single_spaces():
    assert [spoken(verb) for verb in ("sit_on", " drink  with ", "cut")] == ["sit on", "drink with", "cut"]
