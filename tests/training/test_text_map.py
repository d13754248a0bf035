"""Training of the projector from texts to a DINO's patches: its data, its loss, and resumption."""

import importlib.util
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dinoclip_viz.encoders import load_encoder, load_text_encoder
from dinoclip_viz.projector import Projector
from dinoclip_viz.training.text_map import (
    HeadEmbeddings,
    TextMapRecipe,
    collect,
    fit_text_map,
    head_embeddings,
)

_SPEC = importlib.util.spec_from_file_location("tiny_models", Path(__file__).parent.parent / "tiny_models.py")
tiny = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tiny)

DINO, CLIP = "playground-dino", "playground-clip"
TINY = TextMapRecipe(epochs=60, batch=32, rate=1e-2, holdout=40)
HEADS, DEEP, WIDE = 3, 8, 6


@pytest.mark.parametrize("kind", ["dino", "dinov2_with_registers"])
def test_head_embeddings_are_patches_weighed_by_each_head_s_attention_of_cls(kind, tmp_path):
    encoder = load_encoder(str(getattr(tiny, f"tiny_{kind}")(tmp_path / kind)), device="cpu")
    images = tiny.images((5 * encoder.patch, 3 * encoder.patch), (5 * encoder.patch, 3 * encoder.patch), seed=1)
    found = head_embeddings(encoder, images, 5 * encoder.patch)
    heads = encoder.blocks.model.config.num_attention_heads
    seen = {}
    modules = list(encoder.blocks.model.named_modules())
    handles = [
        [module for name, module in modules if name.endswith(layer)][-1].register_forward_hook(
            lambda _, __, output, layer=layer: seen.update({layer: output.double()})
        )
        for layer in ("q_proj", "k_proj")
    ]
    patches = encoder.encode(images, 5 * encoder.patch, "whole").patches.flatten(1, 2).double()  # (B, N, D)
    for handle in handles:
        handle.remove()
    assert found.shape == (2, heads, patches.shape[2])
    count, deep = patches.shape[1], seen["q_proj"].shape[-1] // heads
    for index in range(2):
        for head in range(heads):
            own = slice(head * deep, (head + 1) * deep)
            query, keys = seen["q_proj"][index, 0, own], seen["k_proj"][index, -count:, own]
            weights = [math.exp(float(query @ key) / math.sqrt(deep)) for key in keys]
            slow = sum(weight * patch for weight, patch in zip(weights, patches[index], strict=True)) / sum(weights)
            torch.testing.assert_close(found[index, head].double(), slow, rtol=0, atol=1e-4)


def test_an_encoder_without_cls_is_refused():
    with pytest.raises(ValueError, match="pixels"):
        head_embeddings(load_encoder("pixels"), tiny.images((64, 64)))


def test_captions_stay_with_their_images_in_whatever_sizes_they_come():
    encoder, texts = load_encoder("playground-dino"), load_text_encoder("playground-clip")
    sizes = [(96, 96), (96, 64), (96, 96), (64, 96)]
    images = [image for number, size in enumerate(sizes) for image in tiny.images(size, seed=number)]
    captioned = [["a cat", "a dog"], ["a tree"], [], ["a bird"]]
    mixed = [images[0], np.asarray(images[1]), *images[2:]]
    data = collect("playground-dino", "playground-clip", zip(mixed, captioned, strict=True))
    assert (len(data.heads), len(data.texts)) == (3, 4)
    for image, captions in zip(images, captioned, strict=True):
        if not captions:
            continue
        alone = head_embeddings(encoder, [image])[0]
        [row] = [row for row in range(3) if torch.allclose(data.heads[row], alone, atol=1e-4)]
        torch.testing.assert_close(data.texts[data.owners == row], texts.encode(captions).pooled, rtol=0, atol=1e-5)


def test_images_without_captions_are_refused():
    with pytest.raises(ValueError, match="no image has a caption"):
        collect(load_encoder("playground-dino"), load_text_encoder("playground-clip"), [(tiny.images((64, 64))[0], [])])


@pytest.fixture(scope="module")
def toy():
    """Images of which one head, another one in each, is a linear map of their two texts; the others are noise."""
    generator = torch.Generator().manual_seed(0)
    count = 200
    meaning = torch.randn(count, WIDE, generator=generator)
    heads = 0.5 * torch.randn(count, HEADS, DEEP, generator=generator)
    informative = torch.randint(HEADS, (count,), generator=generator)
    heads[torch.arange(count), informative] = meaning @ torch.randn(WIDE, DEEP, generator=generator)
    texts = meaning.repeat_interleave(2, 0) + 0.02 * torch.randn(2 * count, WIDE, generator=generator)
    return HeadEmbeddings(heads, texts, torch.arange(count).repeat_interleave(2))


def test_a_linear_map_from_texts_to_heads_is_learnt(toy, tmp_path):
    projector, history = fit_text_map(DINO, CLIP, toy, TINY, tmp_path)
    assert max(row["held_R@1"] for row in history) > 0.5  # chance is 1 / 40
    assert history[-1]["loss"] < history[0]["loss"] / 2
    texts, heads = projector.pooled_head(toy.texts[-80::2]), toy.heads[-40:]
    best = []  # by loops: the largest cosine over the heads
    for image in range(40):
        scores = [max(F.cosine_similarity(head, text, dim=0).item() for head in heads[image]) for text in texts]
        best.append(scores)
    found = sum(max(range(40), key=lambda row: best[row][text]) == text for text in range(40)) / 40
    assert found == pytest.approx(max(row["held_R@1"] for row in history))
    loaded = Projector.from_pretrained(str(tmp_path))
    assert (loaded.side, loaded.image_space, loaded.text_space) == ("text", "playground-dino", "playground-clip")
    torch.testing.assert_close(loaded.pooled_head(toy.texts), projector.pooled_head(toy.texts))


class StopError(Exception):
    """Raised where the run is to end."""


def test_a_run_stopped_after_two_epochs_goes_on_to_the_same_weights(toy, tmp_path):
    def stop(record):
        if record["epoch"] == 2:
            raise StopError

    recipe = replace(TINY, epochs=4)
    with pytest.raises(StopError):
        fit_text_map(DINO, CLIP, toy, recipe, tmp_path, stop)
    seen = []
    resumed, history = fit_text_map(DINO, CLIP, toy, recipe, tmp_path, seen.append)
    whole, known = fit_text_map(DINO, CLIP, toy, recipe)
    assert [row["epoch"] for row in seen] == [3, 4]
    assert history == known
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())


def test_too_few_images_are_refused(toy):
    with pytest.raises(ValueError, match="200 images; expected 190 to hold out and a batch of 32"):
        fit_text_map(DINO, CLIP, toy, replace(TINY, holdout=190))


def test_a_folder_with_a_run_of_another_recipe_is_refused(toy, tmp_path):
    fit_text_map(DINO, CLIP, toy, replace(TINY, epochs=1), tmp_path)
    with pytest.raises(ValueError, match="holds a run with epochs 1, not 2; name another folder"):
        fit_text_map(DINO, CLIP, toy, replace(TINY, epochs=2), tmp_path)
