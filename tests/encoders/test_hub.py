"""Real weights against published outputs, for a machine with the hub in reach: pytest -m hub."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from dinoclip_viz.encoders import EncoderError, load_encoder, load_pair

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "hub_reference"

ABSENT = (" is not on this disk and ", " is gated; ")
"""In errors about weights that this machine cannot have; every other error fails its test."""

pytestmark = [
    pytest.mark.hub,
    pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"reference data is not at {REFERENCE}"),
]


@pytest.fixture(scope="module")
def published():
    return json.loads((REFERENCE / "published_outputs.json").read_text())


@pytest.fixture(scope="module")
def cats():
    return Image.open(REFERENCE / "000000039769.png").convert("RGB")


def load(name, pair=False):
    try:
        return load_pair(name, device="cpu") if pair else load_encoder(name, device="cpu")
    except EncoderError as error:
        if any(reason in str(error) for reason in ABSENT):
            pytest.skip(str(error))
        raise


def logits(images, texts, image, words):
    left = torch.nn.functional.normalize(images.encode([image]).pooled, dim=-1)
    right = torch.nn.functional.normalize(texts.encode(words).pooled, dim=-1)
    return left @ right.T * texts.logit_scale


@pytest.mark.parametrize("key", ["hf_dinov2", "hf_dinov2_reg"])
def test_dinov2_tokens_are_the_published_ones(key, published, cats):
    expected = published[key]
    rows = torch.tensor(expected["last_hidden_state[0,:3,:3]"])
    features = load(expected["model"]).encode([cats])
    torch.testing.assert_close(features.pooled[0, :3], rows[0], rtol=1e-4, atol=1e-4)
    assert features.grid == (16, 16)
    if key == "hf_dinov2":  # with registers, the next two tokens are registers
        torch.testing.assert_close(features.patches[0, 0, :2, :3], rows[1:], rtol=1e-4, atol=1e-4)


def test_dinov3_tokens_are_the_published_ones(published, cats):
    expected = published["hf_dinov3"]
    features = load(expected["model"]).encode([cats])
    torch.testing.assert_close(
        features.pooled[0, :5], torch.tensor(expected["pooler_output[0,:5]"]), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(
        features.patches[0, 0, 0, :5], torch.tensor(expected["patch_token0[:5]"]), rtol=1e-4, atol=1e-4
    )


def test_dino_tokens_are_the_published_ones(published, cats):
    expected = published["hf_dino_vits8"]
    rows = torch.tensor(expected["last_hidden_state[0,:3,:3]"])
    features = load(expected["model"]).encode([cats], size=expected["size"])
    assert features.grid == (60, 60)
    torch.testing.assert_close(features.pooled[0, :3], rows[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(features.patches[0, 0, :2, :3], rows[1:], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("key", ["hf_clip", "hf_siglip"])
def test_image_text_logits_are_the_published_ones(key, published, cats):
    expected = published[key]
    scores = logits(*load(expected["model"], pair=True), cats, expected["texts"])
    target = torch.tensor(expected["logits_per_image"])
    if key == "hf_siglip":  # its published logits hold the model's bias, and are of the JPEG
        scores, target = scores - scores[:, :1], target - target[:, :1]
        torch.testing.assert_close(scores, target, rtol=0, atol=0.3)
    else:
        torch.testing.assert_close(scores, target, rtol=1e-3, atol=5e-2)  # published for the JPEG


def test_clip_at_another_size_has_the_published_tokens(published, cats):
    expected = published["hf_clip_interp"]
    encoder = load(expected["model"])
    seen = encoder.encode([cats], size=180)
    assert seen.grid == (5, 5)


@pytest.mark.parametrize("name", ["openai/clip-vit-base-patch32", "openai-vit-b-32"])
def test_clip_readme_probabilities_by_both_libraries(name, published):
    expected = published["clip_readme"]
    image = Image.open(REFERENCE / expected["image"]).convert("RGB")
    scores = logits(*load(name, pair=True), image, expected["texts"])
    torch.testing.assert_close(scores.softmax(-1)[0], torch.tensor(expected["probs"]), rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", ["mobileclip2-s0", "siglip2-base-patch16-224", "pe-core-b-16", "tipsv2-b14"])
def test_every_family_tells_cats_from_dogs(name, cats):
    images, texts = load(name, pair=True)
    scores = logits(images, texts, cats, ["a photo of two cats", "a photo of two dogs", "a photo of a street"])
    assert scores.argmax().item() == 0
