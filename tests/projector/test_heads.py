"""Heads by name, the published one among them, and projectors that hold them."""

import json

import pytest
import torch

import dinoclip_viz as dv
from dinoclip_viz.projector import HEADS, Projector, ProjectorWithResiduals, load_dinov2_clip_checkpoint, make_head

NAMES = {"image_encoder": "a", "text_encoder": "b", "image_space": "a", "text_space": "b"}


@pytest.fixture
def published():
    torch.manual_seed(0)
    return ProjectorWithResiduals(12, 8, 16, 2).eval()


def test_the_published_head_has_its_published_names_and_size():
    head = ProjectorWithResiduals()
    names = set(head.state_dict())
    assert sum(weights.numel() for weights in head.parameters()) == 54_608_384
    expected = {
        "input_proj",
        "residual_blocks.5.layers.4",
        "hidden_norm",
        "output_proj.0",
        "output_proj.2",
        "layer_norm",
    }
    assert {f"{name}.{kind}" for name in expected for kind in ("weight", "bias")} <= names
    assert head.residual_blocks[0].layers[3].weight.shape == (2048, 2048)


def test_the_published_head_computes_what_the_page_says(published):
    x = torch.randn(5, 12)
    weights = published.state_dict()

    def linear(name, value):
        return value @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(name, value):
        scaled = (value - value.mean(-1, keepdim=True)) / (value.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    hidden = linear("input_proj", x)
    for block in range(2):
        name = f"residual_blocks.{block}.layers"
        inner = torch.nn.functional.gelu(norm(f"{name}.1", linear(f"{name}.0", hidden)))
        hidden = hidden + norm(f"{name}.4", linear(f"{name}.3", inner))
    inner = torch.nn.functional.gelu(linear("output_proj.0", norm("hidden_norm", hidden)))
    torch.testing.assert_close(published(x), norm("layer_norm", linear("output_proj.2", inner)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "box",
    [
        lambda weights: weights,
        lambda weights: {"epoch": 16, "model_state_dict": weights, "loss": 0.1},
        lambda weights: {"state_dict": {f"module.{name}": value for name, value in weights.items()}},
        lambda weights: {"model": {f"_orig_mod.{name}": value.half() for name, value in weights.items()}},
    ],
)
def test_a_published_checkpoint_loads_out_of_the_usual_boxes(tmp_path, published, box):
    torch.save(box(published.state_dict()), tmp_path / "epoch16.pt")
    loaded = load_dinov2_clip_checkpoint(tmp_path / "epoch16.pt")
    x = torch.randn(4, 12)
    torch.testing.assert_close(loaded(x), published(x), atol=2e-2, rtol=2e-2)
    assert loaded.state_dict().keys() == published.state_dict().keys()


def test_a_checkpoint_that_holds_more_than_weights_is_refused(tmp_path, published):
    torch.save(published, tmp_path / "whole.pt")
    with pytest.raises(dv.EncoderError, match=r"cannot be read as weights alone .* never run"):
        load_dinov2_clip_checkpoint(tmp_path / "whole.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(dv.EncoderError, match=r"cannot be read as weights alone"):
        load_dinov2_clip_checkpoint(tmp_path / "text.pt")
    torch.save(torch.nn.Linear(3, 3).state_dict(), tmp_path / "other.pt")
    with pytest.raises(dv.EncoderError, match=r"is no dinov2-clip projector: found bias, weight"):
        load_dinov2_clip_checkpoint(tmp_path / "other.pt")
    with pytest.raises(dv.EncoderError, match=r"there is no file"):
        load_dinov2_clip_checkpoint(tmp_path / "none.pt")


def test_the_published_head_becomes_a_projector_that_saves_and_loads(tmp_path, published):
    projector = Projector.around(published)
    projector.save_pretrained(tmp_path / "p")
    settings = json.loads((tmp_path / "p" / "config.json").read_text())
    assert settings["head"] == "projector-with-residuals"
    assert settings["side"] == "image"
    assert settings["image_encoder"] == "facebook/dinov2-base"
    assert settings["text_encoder"] == "openai/clip-vit-base-patch16"
    x = torch.randn(3, 12)
    torch.testing.assert_close(dv.Projector.from_pretrained(str(tmp_path / "p"))(x), published(x))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("side", ["image", "text"])
def test_every_head_saves_loads_and_maps(tmp_path, head, side, capsys):
    torch.manual_seed(1)
    outputs = 6 if head == "identity" else 4
    projector = Projector(**NAMES, width=6, outputs=outputs, head=head, hidden=10, blocks=1, side=side).eval()
    projector.save_pretrained(tmp_path / "p")
    loaded = Projector.from_pretrained(str(tmp_path / "p"))
    x = torch.randn(7, 6)
    assert loaded(x).shape == (7, outputs)
    torch.testing.assert_close(loaded(x), projector(x))
    assert (loaded.head, loaded.side) == (head, side)
    assert capsys.readouterr().out == ""


def test_the_gated_head_is_sails():
    head = make_head("gated", 6, 4, 10, 0)
    x = torch.randn(5, 6)
    normed = torch.nn.functional.layer_norm(x, (6,))
    expected = head.out(torch.clamp(head.gate(normed), 0, 6) * head.value(normed))
    torch.testing.assert_close(head(x), expected)


def test_the_text_to_patch_map_is_linear_tanh_linear():
    head = make_head("text-to-patch", 6, 4, 1, 0)
    x = torch.randn(5, 6)
    torch.testing.assert_close(head(x), head[2](torch.tanh(head[0](x))))
    assert [layer.out_features for layer in (head[0], head[2])] == [4, 4]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"head": "huge"}, "there is no head 'huge'; expected one of linear, mlp"),
        ({"inputs": "cls"}, "inputs is 'cls'"),
        ({"side": "left"}, "side is 'left'"),
        ({"side": "text", "inputs": "pooled+mean"}, r"inputs 'pooled\+mean'; expected 'pooled' or 'mean'"),
        ({"hidden": 0}, "expected 1 or more"),
    ],
)
def test_settings_that_make_no_projector_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        Projector(**NAMES, **{"width": 6, "outputs": 4, **changes})


def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path):
    Projector(**NAMES, width=6, outputs=4, head="linear").save_pretrained(tmp_path / "p")
    settings = json.loads((tmp_path / "p" / "config.json").read_text())
    (tmp_path / "p" / "config.json").write_text(json.dumps({**settings, "width": 5}))
    with pytest.raises(dv.EncoderError, match=r"do not fit their config\.json") as caught:
        Projector.from_pretrained(str(tmp_path / "p"))
    assert "\n" not in str(caught.value)
    (tmp_path / "p" / "model.safetensors").unlink()
    with pytest.raises(dv.EncoderError, match=r"has no model.safetensors"):
        Projector.from_pretrained(str(tmp_path / "p"))


def test_a_projector_of_texts_is_an_image_text_model(tmp_path):
    torch.manual_seed(0)
    projector = Projector(
        image_encoder="playground-dino", text_encoder="playground-clip", image_space="playground-dino",
        text_space="playground-clip", width=128, outputs=128, head="text-to-patch", inputs="mean", side="text",
    )  # fmt: skip
    projector.save_pretrained(tmp_path / "p")
    model = dv.load_model(str(tmp_path / "p"))
    scene = dv.playground.draw(2100, 1, 96)[0].image
    texts = model.encode_texts(["a cat"])
    assert model.space == texts.space == "playground-dino"
    heat = dv.heatmap(model, scene, ["a cat", "grass"])
    assert heat.shape == (2, 96, 96)
    features = model.images.encode([scene], fit="whole")
    expected = torch.cosine_similarity(features.patches[0], texts.pooled[0], dim=-1)
    torch.testing.assert_close(
        torch.nn.functional.interpolate(expected[None, None], (96, 96), mode="bilinear")[0, 0],
        heat[0],
        atol=1e-5,
        rtol=0,
    )
    assert dv.classify(model, [scene], ["cat", "dog"]).shape == (1, 2)
