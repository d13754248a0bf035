"""Both heads against plain loops."""

import math

import torch
import torch.nn.functional as F

from dinoclip_viz.affordance.film import FilmHead
from dinoclip_viz.affordance.ooal import GatedAttention, OoalHead

PATCHES, CLS, TEXTS = (
    torch.randn(2, 3, 4, 5, 12, generator=torch.manual_seed(0)),
    torch.randn(2, 12, generator=torch.manual_seed(1)),
    torch.randn(6, 16, generator=torch.manual_seed(2)),
)


def made(kind, seed=3):
    torch.manual_seed(seed)
    return kind(12, 16).eval()


def test_gated_attention_is_that_of_the_paper():
    torch.manual_seed(0)
    attention = GatedAttention(8, 2, 0.1).eval()
    texts, patches, cls = torch.randn(1, 3, 8), torch.randn(1, 5, 8), torch.randn(1, 8)
    query, key, value = attention.query(texts)[0], attention.key(patches)[0], attention.value(patches)[0]
    read = torch.zeros(3, 8)
    gate = [
        torch.sigmoid(torch.stack([cls[0, h] @ key[p, h] / 2 for h in (slice(0, 4), slice(4, 8))]).mean())
        for p in range(5)
    ]
    for text in range(3):
        for head in (slice(0, 4), slice(4, 8)):
            weights = torch.stack([query[text, head] @ key[p, head] / 2 for p in range(5)]).softmax(0)
            read[text, head] = sum(gate[p] * weights[p] * value[p, head] for p in range(5))
    assert torch.allclose(attention(texts, patches, cls)[0], attention.out(read), atol=1e-6)


def test_ooal_merges_layers_reads_them_and_multiplies():
    head = made(OoalHead)
    with torch.no_grad():
        head.merge.copy_(torch.tensor([0.0, 1.0, 2.0]))
        share = [math.exp(value) / sum(math.exp(each) for each in (0, 1, 2)) for value in (0, 1, 2)]
        merged = sum(share[n] * head.layer_maps[n](PATCHES[:, n]) for n in range(3))
        dense = head.embed(merged)
        for image in range(2):
            tokens, words = dense[image].reshape(1, 20, 16), head.text_norm(TEXTS)[None]
            for layer in head.decoder:
                words = layer.norm_attention(words + layer.attention(words, tokens, head.cls_map(CLS[image])[None]))
                words = layer.norm_network(words + layer.narrow(F.relu(layer.widen(words))))
            expected = (words[0] @ tokens[0].T / 4).reshape(6, 4, 5)
            assert torch.allclose(head(PATCHES, CLS, TEXTS)[image], expected, atol=1e-5)


def test_ooal_holds_no_weights_that_no_pass_uses():
    head = made(OoalHead)
    head(PATCHES, CLS, TEXTS).square().sum().backward()
    assert [name for name, weights in head.named_parameters() if weights.grad is None] == []


def test_the_gate_depends_on_cls():
    head = made(OoalHead)
    assert not torch.allclose(head(PATCHES, CLS, TEXTS), head(PATCHES, CLS + 3, TEXTS), atol=1e-4)


def test_texts_of_a_width_that_eight_does_not_divide_get_fewer_heads():
    assert OoalHead(12, 18).decoder[0].attention.heads == 6


def test_film_starts_with_one_map_for_all_texts_and_then_obeys_them():
    head = made(FilmHead)
    start = head(PATCHES, CLS, TEXTS)
    assert start.shape == (2, 6, 4, 5) and torch.allclose(start, start[:, :1].expand_as(start), atol=1e-6)
    torch.nn.init.normal_(head.films[0].weight)
    assert not torch.allclose(head(PATCHES, CLS, TEXTS)[:, 0], head(PATCHES, CLS, TEXTS)[:, 1], atol=1e-3)


def test_film_is_a_network_per_patch_scaled_and_shifted_by_the_text():
    head = made(FilmHead)
    for film in head.films:
        torch.nn.init.normal_(film.weight, std=0.1)
    found = head(PATCHES, CLS, TEXTS)
    patch = torch.cat([norm(PATCHES[1, n, 2, 3]) for n, norm in enumerate(head.layer_norms)])
    word = head.text_norm(TEXTS[4])
    hidden = head.enter(patch)
    for film, convolution in zip(head.films, head.leave, strict=True):
        scale, shift = film(word).chunk(2)
        hidden = convolution(F.relu(hidden * (1 + scale) + shift))
    assert torch.allclose(found[1, 4, 2, 3], hidden[0], atol=1e-5)
