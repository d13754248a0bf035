"""CLIP-DINOiser's two layers against loops, their files, and what a model makes of them."""

import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dinoclip_viz.dense.dinoiser import DinoiserHead
from dinoclip_viz.encoders import EncoderError, load_encoder
from dinoclip_viz.models import load_model
from tests.dense.plain import cosine

WIDTH, CHANNELS = 5, 4
NAMES = ["bkg_decoder.bias", "bkg_decoder.weight", "obj_proj.bias", "obj_proj.weight"]


@pytest.fixture(scope="module")
def head():
    torch.manual_seed(0)
    return DinoiserHead(WIDTH, CHANNELS, "some-clip").eval().requires_grad_(False)


@pytest.fixture(scope="module")
def middle():
    return torch.randn(2, 3, 4, WIDTH, generator=torch.Generator().manual_seed(1))


def convolved(head, grid):
    """(H, W, channels) the 3 x 3 convolution by loops, the border repeated."""
    weight, bias = head.obj_proj.weight.double().numpy(), head.obj_proj.bias.double().numpy()
    rows, columns, _ = grid.shape
    made = np.zeros((rows, columns, len(bias)))
    for row in range(rows):
        for column in range(columns):
            total = bias.copy()
            for down in (-1, 0, 1):
                for across in (-1, 0, 1):
                    near = grid[min(max(row + down, 0), rows - 1), min(max(column + across, 0), columns - 1)]
                    total += weight[:, :, down + 1, across + 1] @ near
            made[row, column] = total
    return made


def test_the_correlation_layer_is_a_convolution_of_length_one(head, middle):
    found = head.correlation(middle)
    for index in range(2):
        slow = convolved(head, middle[index].double().numpy())
        slow /= np.linalg.norm(slow, axis=-1, keepdims=True)
        torch.testing.assert_close(found[index].double(), torch.from_numpy(slow), rtol=0, atol=1e-4)


def test_the_background_layer_is_a_product_with_unit_tokens(head, middle):
    found = head.objects(middle)
    weight, bias = head.bkg_decoder.weight[0, :, 0, 0].double().numpy(), head.bkg_decoder.bias.item()
    for index in range(2):
        tokens = middle[index].double().numpy()
        for row in range(3):
            for column in range(4):
                token = tokens[row, column]
                slow = weight @ (token / np.linalg.norm(token)) + bias
                assert found[index, row, column].item() == pytest.approx(slow, abs=1e-4)


def test_patches_are_pooled_over_those_that_the_layer_finds_similar(head, middle):
    patches = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(2))
    found = head(patches, middle)
    for index in range(2):
        alike = convolved(head, middle[index].double().numpy()).reshape(12, -1)
        flat = patches[index].double().numpy().reshape(12, -1)
        for p in range(12):
            weights = [max(cosine(alike[p], alike[q]), 0) for q in range(12)]
            weights = [weight if weight >= 0.2 else 0 for weight in weights]
            slow = sum(weight * row for weight, row in zip(weights, flat, strict=True)) / (sum(weights) + 1e-6)
            torch.testing.assert_close(found[index, p // 4, p % 4].double(), torch.from_numpy(slow), rtol=0, atol=1e-4)


def test_a_saved_head_is_loaded_bit_for_bit(head, middle, tmp_path):
    file = tmp_path / "head.safetensors"
    head.save(file)
    loaded = DinoiserHead.load(file)
    assert (loaded.width, loaded.space, loaded.least) == (WIDTH, "some-clip", 0.2)
    assert torch.equal(loaded.correlation(middle), head.correlation(middle))
    assert torch.equal(loaded.objects(middle), head.objects(middle))
    assert not loaded.training and not any(weights.requires_grad for weights in loaded.parameters())


@pytest.mark.parametrize("under", [None, "model_state_dict", "state_dict", "model"])
def test_the_published_checkpoint_s_names_load(under, head, middle, tmp_path):
    tensors = {name: value.half() for name, value in head.state_dict().items()}
    assert sorted(tensors) == NAMES
    more = {"epoch": 5, "optimizer_state_dict": {"state": {}}}
    held = {**tensors, "clip_backbone.scale": torch.ones(1), 7: torch.ones(1)}
    torch.save(held if under is None else {under: held, **more}, tmp_path / "last.pt")
    loaded = DinoiserHead.load(tmp_path / "last.pt")
    assert (loaded.space, loaded.least) == ("", 0.2)
    torch.testing.assert_close(loaded.correlation(middle), head.correlation(middle), rtol=0, atol=1e-2)
    assert loaded.obj_proj.weight.dtype == torch.float32


class Code:
    """What a pickle must never be allowed to do."""

    def __reduce__(self):
        return os.mkdir, (os.environ["DINOISER_TEST_FOLDER"],)


def test_a_pickle_with_code_is_refused_and_not_run(head, tmp_path, monkeypatch):
    monkeypatch.setenv("DINOISER_TEST_FOLDER", str(tmp_path / "made"))
    torch.save({**head.state_dict(), "more": Code()}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="cannot be read as tensors only") as refused:
        DinoiserHead.load(tmp_path / "last.pt")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "made").exists()


def broken(folder, kind, head):
    """A file that is no head."""
    tensors = {name: value.contiguous() for name, value in head.state_dict().items()}
    file = folder / f"{kind}.safetensors"
    if kind == "text":
        file.write_text("no tensors")
    elif kind == "others":
        save_file({"weight": torch.ones(2)}, file)
    elif kind == "five":
        save_file({**tensors, "obj_proj.weight": torch.ones(CHANNELS, WIDTH, 5, 5)}, file)
    elif kind == "flat":
        save_file({**tensors, "obj_proj.weight": torch.ones(3)}, file)
    elif kind == "settings":
        save_file(tensors, file, {"dinoiser": "[1]"})
    elif kind == "least":
        save_file(tensors, file, {"dinoiser": '{"least": "much"}'})
    elif kind == "list":
        file = folder / "list.pt"
        torch.save([1, 2], file)
    elif kind == "words":
        file = folder / "words.pt"
        file.write_bytes(b"no checkpoint")
    return file


@pytest.mark.parametrize(
    "kind", ["missing", "text", "others", "five", "flat", "settings", "least", "list", "words"]
)  # fmt: skip
def test_what_is_no_head_is_refused_in_one_line(kind, head, tmp_path):
    file = broken(tmp_path, kind, head)
    with pytest.raises(ValueError, match=file.name) as refused:
        DinoiserHead.load(file)
    assert "\n" not in str(refused.value)


@pytest.fixture(scope="module")
def fitting(tmp_path_factory):
    """A random head for the playground's CLIP."""
    clip = load_encoder("playground-clip")
    file = tmp_path_factory.mktemp("heads") / "dinoiser.safetensors"
    torch.manual_seed(3)
    DinoiserHead(clip.patch_dimension, 16, clip.patch_space).save(file)
    return file, clip


def test_a_model_serves_the_layers_from_the_clip_alone(fitting):
    from dinoclip_viz import playground

    file, clip = fitting
    model = load_model("playground-clip", dinoiser=file)
    assert "dinoiser" in model.methods
    image = playground.draw(2000, 1, 96)[0].image
    features = model.encode_images([image], 96, "whole", ["dinoiser"])
    own = clip.encode([image], 96, "whole", ["maskclip", "third-last"])
    head = DinoiserHead.load(file)
    with torch.no_grad():
        expected = head(own.dense["maskclip"], own.dense["third-last"])
    torch.testing.assert_close(features.dense["dinoiser"], expected, rtol=0, atol=1e-5)


def test_a_head_of_another_width_or_clip_and_a_missing_file_are_refused_in_one_line(fitting, tmp_path):
    _, clip = fitting
    wide, other = tmp_path / "wide.safetensors", tmp_path / "other.safetensors"
    DinoiserHead(clip.patch_dimension + 1, 16).save(wide)
    DinoiserHead(clip.patch_dimension, 16, "another-clip").save(other)
    for file, words in (
        (wide, f"tokens have {clip.patch_dimension + 1} values, but playground-clip's have {clip.patch_dimension}"),
        (other, "was trained on another-clip, not on"),
        (tmp_path / "none.safetensors", "there is no file"),
    ):
        with pytest.raises(EncoderError, match=words) as refused:
            load_model("playground-clip", dinoiser=file)
        assert "\n" not in str(refused.value)
