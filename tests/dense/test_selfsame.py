"""SCLIP, NACLIP and ClearCLIP against loops in float64 over the library's own modules, token by token."""

import copy
import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from dinoclip_viz.dense.selfsame import gaussian
from dinoclip_viz.encoders import load_encoder

_SPEC = importlib.util.spec_from_file_location("tiny_models", Path(__file__).parent.parent / "tiny_models.py")
tiny = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tiny)

KINDS = ("clip", "openclip", "openclip_timm")
METHODS = ("maskclip", "sclip", "naclip", "clearclip")
SIGMA = 5.0


class Parts:
    """A tower's last block as functions of one token each, in float64, by the library's own modules."""

    def __init__(self, kind, folder, encoder):
        tower = copy.deepcopy(encoder.blocks.model).double()
        if kind == "clip":
            from transformers import CLIPModel

            layer, projection = tower.encoder.layers[-1], CLIPModel.from_pretrained(folder).double().visual_projection
            attention = layer.self_attn
            self.norm1, self.norm2, self.mlp, self.out = (
                layer.layer_norm1, layer.layer_norm2, layer.mlp, attention.out_proj,
            )  # fmt: skip
            self.query, self.key, self.value = attention.q_proj, attention.k_proj, attention.v_proj
            self.finish = lambda token: projection(tower.post_layernorm(token))
            self.heads = attention.num_heads
        elif kind == "openclip":
            layer = tower.transformer.resblocks[-1]
            self.norm1, self.norm2, self.mlp, self.out = layer.ln_1, layer.ln_2, layer.mlp, layer.attn.out_proj
            self.split(layer.attn.in_proj_weight, layer.attn.in_proj_bias)
            self.finish = lambda token: tower.ln_post(token) @ tower.proj
            self.heads = layer.attn.num_heads
        else:
            layer = tower.trunk.blocks[-1]
            self.norm1, self.norm2, self.mlp, self.out = layer.norm1, layer.norm2, layer.mlp, layer.attn.proj
            self.split(layer.attn.qkv.weight, layer.attn.qkv.bias)
            self.finish = lambda token: tower.trunk.head(tower.trunk.norm(token))
            self.heads = layer.attn.num_heads
        self.tower, self.layer, self.run = tower, layer, encoder.blocks.run

    def split(self, weight, bias):
        rows = len(weight) // 3
        self.query, self.key, self.value = (
            lambda token, at=at: weight[at : at + rows] @ token + bias[at : at + rows] for at in (0, rows, 2 * rows)
        )

    def tokens(self, pixels):
        """The block's input, one image: N tokens."""
        seen = []

        def record(_, given, named):
            seen.append(given[0] if given else named["hidden_states"])

        self.layer.register_forward_pre_hook(record, with_kwargs=True)
        self.run(self.tower, pixels.double())
        return list(seen[-1].reshape(-1, seen[-1].shape[-1]))


def softmax(values):
    powers = [math.exp(value - max(values)) for value in values]
    return [power / sum(powers) for power in powers]


def expected(parts, tokens, method, grid):
    """(H * W, D) by loops over tokens and heads; the one token before the patches is CLS."""
    normed = [parts.norm1(token) for token in tokens]
    query, key, value = (
        [part(token).numpy() for token in normed] for part in (parts.query, parts.key, parts.value)
    )  # fmt: skip
    width, count = len(query[0]), len(tokens)
    deep = width // parts.heads
    places = [None, *((row, column) for row in range(grid[0]) for column in range(grid[1]))]
    result = []
    for p in range(1, count):
        joined = np.zeros(width)
        for head in range(parts.heads):
            own = slice(head * deep, (head + 1) * deep)
            q = [float(query[p][own] @ query[n][own]) / math.sqrt(deep) for n in range(count)]
            k = [float(key[p][own] @ key[n][own]) / math.sqrt(deep) for n in range(count)]
            if method == "maskclip":
                weights = [float(n == p) for n in range(count)]
            elif method == "sclip":
                weights = [a + b for a, b in zip(softmax(q), softmax(k), strict=True)]
            elif method == "clearclip":
                weights = softmax(q)
            else:
                for n in range(1, count):
                    squared = sum((a - b) ** 2 for a, b in zip(places[p], places[n], strict=True))
                    k[n] += math.exp(-squared / (2 * SIGMA**2))
                weights = softmax(k)
            joined[own] = sum(weight * value[n][own] for n, weight in enumerate(weights))
        token = parts.out(torch.from_numpy(joined))
        if method in ("maskclip", "sclip"):  # the others keep neither the residual nor the MLP
            token = token + tokens[p]
            token = token + parts.mlp(parts.norm2(token))
        result.append(parts.finish(token))
    return torch.stack(result)


@pytest.fixture(scope="module", params=KINDS)
def seen(request, tmp_path_factory):
    """Features of a wide image by every method, the block's parts, and the tokens that went into it."""
    kind = request.param
    folder = getattr(tiny, f"tiny_{kind}")(tmp_path_factory.mktemp("models") / kind)
    encoder, image = load_encoder(str(folder), device="cpu"), tiny.images((80, 48))
    features = encoder.encode(image, 5 * encoder.patch, "whole", methods=METHODS)
    parts = Parts(kind, folder, encoder)
    _, pixels = encoder.inputs(image, 5 * encoder.patch, "whole")
    with torch.no_grad():
        return features, parts, parts.tokens(pixels)


@pytest.mark.parametrize("method", METHODS)
def test_it_is_the_formula_token_by_token(seen, method):
    features, parts, tokens = seen
    assert features.grid == (3, 5)
    with torch.no_grad():
        slow = expected(parts, tokens, method, features.grid).reshape(3, 5, -1)
    torch.testing.assert_close(features.dense[method][0].double(), slow, rtol=0, atol=1e-4)


def test_the_methods_differ(seen):
    features, _, _ = seen
    dense = [features.dense[method] for method in METHODS]
    assert all((dense[i] - dense[j]).abs().max() > 1e-3 for i in range(4) for j in range(i))


def test_the_gaussian_is_of_distances_in_patches():
    found = gaussian((2, 3), sigma=2.0)
    for one in range(6):
        for other in range(6):
            squared = (one // 3 - other // 3) ** 2 + (one % 3 - other % 3) ** 2
            assert found[one, other].item() == pytest.approx(math.exp(-squared / 8), abs=1e-6)
