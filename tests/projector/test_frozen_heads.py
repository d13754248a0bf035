"""Heads of pairs of frozen encoders against their formulas, and folders of pairs as image-text models."""

import json

import pytest
import torch

import dinoclip_viz as dv
from dinoclip_viz.encoders.base import TokenFeatures
from dinoclip_viz.projector import Projector, make_head, padded

NAMES = {"image_encoder": "a", "text_encoder": "b", "image_space": "a", "text_space": "b"}
FREEZE = {
    "head": "token-projection", "inputs": "pooled+patches", "patch_head": True, "side": "both",
    "text_head": "projection", "text_inputs": "tokens",
}  # fmt: skip


def norm(vector):
    centred = vector - vector.mean()
    return centred / (centred.square().mean() + 1e-5).sqrt()


def gelu(values):
    return values * (1 + torch.erf(values / 2**0.5)) / 2


def linear(layer, vector):
    return layer.weight @ vector + layer.bias


def projected(head, token):
    """Linear(x) + Linear(GELU(Linear(x))) of one token, after LayerNorm."""
    x = norm(token) * head.norm.weight + head.norm.bias
    return linear(head.straight, x) + linear(head.leave, gelu(linear(head.enter, x)))


@pytest.fixture
def pair():
    torch.manual_seed(0)
    made = Projector(**NAMES, width=6, outputs=5, hidden=7, text_width=4, text_hidden=9, **FREEZE).eval()
    for weights in made.parameters():
        torch.nn.init.normal_(weights, std=0.5)
    return made.requires_grad_(False)


def test_the_token_projection_is_freeze_aligns(pair):
    patches = torch.randn(3, 6)
    found = pair.patch_head(patches)
    torch.testing.assert_close(found, torch.stack([projected(pair.patch_head, one) for one in patches]))


def test_the_mean_of_projected_tokens_leaves_padding_out(pair):
    tokens, mask = torch.randn(2, 4, 6), torch.tensor([[1.0, 1, 0, 0], [1, 1, 1, 1]])
    expected = [
        torch.stack([projected(pair.patch_head, one) for one in row]).mean(0) for row in (tokens[0, :2], tokens[1])
    ]
    torch.testing.assert_close(pair.patch_head.mean(tokens, mask), torch.stack(expected))


def test_an_image_is_its_projected_cls_plus_the_mean_of_its_projected_patches(pair):
    pooled, patches = torch.randn(2, 6), torch.randn(2, 2, 3, 6)
    expected = []
    for cls, grid in zip(pooled, patches, strict=True):
        each = [projected(pair.patch_head, patch) for row in grid for patch in row]
        expected.append(projected(pair.pooled_head, cls) + sum(each) / 6)
    torch.testing.assert_close(pair.image_vectors(pooled, pooled, patches), torch.stack(expected))
    torch.testing.assert_close(pair.project_patches(patches)[1, 0, 2], projected(pair.patch_head, patches[1, 0, 2]))


def test_a_text_is_the_head_of_the_mean_of_its_projected_tokens(pair):
    values, offsets = torch.randn(5, 4), torch.tensor([0, 2, 5])
    side, expected = pair.text_side, []
    for start, stop in ((0, 2), (2, 5)):
        mean = sum(projected(side.tokens, token) for token in values[start:stop]) / (stop - start)
        y = linear(side.head.enter, mean)
        x = norm(linear(side.head.middle, gelu(y)) + y)
        expected.append(x * side.head.norm.weight + side.head.norm.bias)
    features = TokenFeatures(values, offsets, torch.zeros(2, 4), "b")
    torch.testing.assert_close(pair.project_texts(features), torch.stack(expected))


def test_sharelocks_text_head_has_four_linear_layers_with_batch_norm_and_relu_between():
    head = make_head("batch-norm-mlp", 6, 4, 10, 0)
    linears = [layer for layer in head if isinstance(layer, torch.nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linears] == [(6, 10), (10, 10), (10, 10), (10, 4)]
    head.train()(torch.randn(50, 6))  # running means that are not zero
    head.eval()
    x = torch.randn(3, 6)
    hidden, norms = x, [layer for layer in head if isinstance(layer, torch.nn.BatchNorm1d)]
    for layer, bn in zip(linears, norms, strict=False):
        hidden = torch.relu((layer(hidden) - bn.running_mean) / (bn.running_var + bn.eps).sqrt() * bn.weight + bn.bias)
    torch.testing.assert_close(head(x), linears[-1](hidden))


def test_padded_tokens_come_back_in_order():
    values, counts = torch.arange(10.0).reshape(5, 2), torch.tensor([2, 3])
    tokens, mask = padded(values, counts)
    assert tokens.shape == (2, 3, 2)
    assert torch.equal(tokens[mask.bool()], values)
    assert mask.tolist() == [[1, 1, 0], [1, 1, 1]]


def test_a_folder_of_both_heads_gives_equal_outputs(pair, tmp_path):
    pair.text_side.logit_scale.fill_(33.0)
    pair.save_pretrained(tmp_path / "p")
    loaded = Projector.from_pretrained(str(tmp_path / "p"))
    pooled, patches = torch.randn(2, 6), torch.randn(2, 2, 2, 6)
    tokens = TokenFeatures(torch.randn(5, 4), torch.tensor([0, 2, 5]), torch.zeros(2, 4), "b")
    assert torch.equal(loaded.image_vectors(pooled, pooled, patches), pair.image_vectors(pooled, pooled, patches))
    assert torch.equal(loaded.project_texts(tokens), pair.project_texts(tokens))
    assert float(loaded.text_side.logit_scale) == 33
    assert loaded.joint_space() == pair.joint_space()
    assert json.loads((tmp_path / "p" / "config.json").read_text())["text_inputs"] == "tokens"
    with torch.no_grad():
        loaded.text_side.head.middle.weight[0, 0] += 0.5
    assert loaded.joint_space() != pair.joint_space()


def test_what_a_pair_cannot_read_is_named(pair):
    with pytest.raises(ValueError, match="--patches full"):
        pair.image_vectors(torch.randn(2, 6), torch.randn(2, 6))
    with pytest.raises(ValueError, match="--text-tokens"):
        pair.project_texts(dv.TextFeatures(torch.randn(2, 4), "b"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"text_head": ""}, "'both' with the text head ''"),
        ({"side": "image"}, "'image' with the text head 'projection'"),
        ({"patch_head": False}, r"'pooled\+patches' need both sides and a patch head"),
        ({"text_inputs": "words"}, "text_inputs is 'words'; expected one of pooled, tokens"),
    ],
)
def test_settings_that_make_no_pair_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        Projector(**NAMES, width=6, outputs=5, text_width=4, **{**FREEZE, **changes})


def test_identity_needs_one_width():
    with pytest.raises(ValueError, match="'identity' maps 6 to 6 values, not to 4"):
        make_head("identity", 6, 4, 1, 0)


def test_a_pair_is_an_image_text_model_by_itself(tmp_path):
    torch.manual_seed(0)
    names = {
        "image_encoder": "playground-dino", "text_encoder": "playground-text", "image_space": "playground-dino",
        "text_space": "playground-text",
    }  # fmt: skip
    made = Projector(**names, width=128, outputs=16, hidden=16, text_width=128, text_hidden=16, **FREEZE)
    made.save_pretrained(tmp_path / "p")
    model = dv.load_model(str(tmp_path / "p"))
    scene = dv.playground.draw(2100, 1, 96)[0].image
    assert model.methods == ("projector",)
    assert model.texts.templates == dv.load_text_encoder("playground-text").templates
    texts, images = model.encode_texts(["a cat", "grass"]), model.encode_images([scene])
    assert images.space == texts.space == model.space
    assert images.pooled.shape == (1, 16)
    tokens = dv.load_text_encoder("playground-text").encode_tokens(["a cat"])
    torch.testing.assert_close(texts.pooled[:1], model.projector.project_texts(tokens))
    probabilities = dv.classify(model, [scene], ["cat", "dog"], templates=["{}"])
    words = torch.nn.functional.normalize(model.encode_texts(["cat", "dog"]).pooled, dim=1)
    cosines = torch.nn.functional.normalize(images.pooled, dim=1) @ words.T
    torch.testing.assert_close(probabilities, (20 * cosines).softmax(1), atol=1e-4, rtol=1e-3)
    features = model.images.encode([scene], fit="whole")
    patches = model.projector.project_patches(features.patches)[0]
    expected = torch.cosine_similarity(patches, texts.pooled[0], dim=-1)[None, None]
    heat = dv.heatmap(model, scene, ["a cat", "grass"])
    upsampled = torch.nn.functional.interpolate(expected, (96, 96), mode="bilinear")[0, 0]
    torch.testing.assert_close(heat[0], upsampled, atol=1e-5, rtol=0)
    (tmp_path / "p" / "templates.json").write_text('["see {}"]')
    assert dv.load_model(str(tmp_path / "p")).texts.templates in (("see {}",), model.texts.templates)
