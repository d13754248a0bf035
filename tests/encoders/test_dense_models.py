"""Depth and segmentation models by name, through tiny random ones in their real formats."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file

from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.encoders.dense_models import load_depth_model, load_segmentation_model

VIT = {
    "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32, "image_size": 64,
    "backbone_out_indices": [0, 1, 2, 3],
}  # fmt: skip
NECK = {"neck_hidden_sizes": [8, 8, 8, 8], "fusion_hidden_size": 16, "reassemble_factors": [4, 2, 1, 0.5]}


def backbone():
    from transformers import Dinov2Config

    return Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, patch_size=14, image_size=56,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False,
    )  # fmt: skip


def dpt_processor(folder, **settings):
    from transformers import DPTImageProcessor

    DPTImageProcessor(**{"size": {"height": 56, "width": 56}, **settings}).save_pretrained(folder)


@pytest.fixture(scope="module")
def dpt(tmp_path_factory):
    """DPT's depth head on DINOv2 with its published kind of preprocessing: sides padded to whole patches."""
    from transformers import DPTConfig, DPTForDepthEstimation

    folder = tmp_path_factory.mktemp("dpt")
    torch.manual_seed(0)
    DPTForDepthEstimation(DPTConfig(backbone_config=backbone(), **NECK)).save_pretrained(folder)
    dpt_processor(folder, do_resize=False, do_pad=True, size_divisor=14)
    return folder


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    from transformers import DPTConfig, DPTForSemanticSegmentation

    folder = tmp_path_factory.mktemp("segmenter")
    torch.manual_seed(0)
    config = DPTConfig(**VIT, **NECK, use_auxiliary_head=False)
    config.id2label = {0: "wall", 1: "sky", 2: "tree"}
    DPTForSemanticSegmentation(config).save_pretrained(folder)
    dpt_processor(folder, size={"height": 64, "width": 64})
    return folder


def depth_anything(folder, kind):
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

    torch.manual_seed(0)
    config = DepthAnythingConfig(
        backbone_config=backbone(), patch_size=14, reassemble_hidden_size=16, head_hidden_size=8,
        depth_estimation_type=kind, max_depth=20 if kind == "metric" else 1, **NECK,
    )  # fmt: skip
    DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    dpt_processor(folder, keep_aspect_ratio=True, ensure_multiple_of=14)
    return folder


@pytest.fixture(scope="module")
def image():
    noise = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((75, 61), Image.Resampling.BICUBIC)


def test_dpt_on_dinov2_predicts_metres_at_the_images_size(dpt, image):
    model = load_depth_model(str(dpt))
    depth = model(image)
    assert model.metric and model.revision is None and model.name == str(dpt)
    assert depth.shape == (61, 75) and depth.dtype == torch.float32
    assert torch.equal(depth, model(image))


def test_padding_of_the_preprocessing_is_cut_off_again(dpt, image):
    from transformers import DPTForDepthEstimation, DPTImageProcessor

    pixels = DPTImageProcessor.from_pretrained(dpt)(images=image, return_tensors="pt")["pixel_values"]
    assert pixels.shape[-2:] == (70, 84)
    with torch.no_grad():
        padded = DPTForDepthEstimation.from_pretrained(dpt).eval()(pixels).predicted_depth
    whole = F.interpolate(padded[None], (70, 84), mode="bilinear")[0, 0]
    assert torch.allclose(load_depth_model(str(dpt))(image), whole[4:65, 4:79], atol=1e-5)


def test_depth_anything_states_whether_it_predicts_metres(tmp_path, image):
    for kind in ("relative", "metric"):
        model = load_depth_model(str(depth_anything(tmp_path / kind, kind)))
        assert model.metric == (kind == "metric")
        assert model(image).shape == (61, 75)


def test_dpt_on_a_plain_vit_predicts_relative_depth(tmp_path, image):
    from transformers import DPTConfig, DPTForDepthEstimation

    DPTForDepthEstimation(DPTConfig(**VIT, **NECK)).save_pretrained(tmp_path)
    dpt_processor(tmp_path, size={"height": 64, "width": 64})
    model = load_depth_model(str(tmp_path))
    assert not model.metric and model(image).shape == (61, 75)


def test_segmentation_labels_every_pixel_with_the_models_own_names(segmenter, image):
    model = load_segmentation_model(str(segmenter))
    labels = model(image)
    assert model.names == ("wall", "sky", "tree")
    assert labels.shape == (61, 75) and labels.dtype == torch.int64
    assert 0 <= int(labels.min()) <= int(labels.max()) <= 2


def test_large_images_are_scaled_down_before(segmenter):
    labels = load_segmentation_model(str(segmenter))(Image.new("RGB", (2000, 30)))
    assert labels.shape == (30, 2000)


def test_what_is_no_such_model_is_refused_in_one_line(tmp_path, dpt, tiny_folder):
    for load, name, words in (
        (load_depth_model, tiny_folder("dinov2"), "model type 'dinov2' is no depth model"),
        (load_segmentation_model, tiny_folder("clip"), "is no segmentation model"),
        (load_segmentation_model, str(dpt), "cannot be read as a segmentation model"),
        (load_depth_model, str(tmp_path), "no config.json"),
        (load_depth_model, "./nowhere", "there is no folder ./nowhere"),
        (load_depth_model, "depth", "hub id such as"),
    ):
        with pytest.raises(EncoderError, match=words) as caught:
            load(name)
        assert "\n" not in str(caught.value)


def test_a_pickle_or_half_a_model_is_never_loaded(tmp_path, dpt):
    import shutil

    for name in ("pickle", "half"):
        shutil.copytree(dpt, tmp_path / name)
    weights = load_file(dpt / "model.safetensors")
    (tmp_path / "pickle" / "model.safetensors").unlink()
    torch.save(weights, tmp_path / "pickle" / "pytorch_model.bin")
    half = {key: value for key, value in weights.items() if not key.startswith("head.")}
    save_file(half, tmp_path / "half" / "model.safetensors", {"format": "pt"})
    for name, words in (("pickle", "a pickle is never loaded"), ("half", "lack")):
        with pytest.raises(EncoderError, match=words):
            load_depth_model(str(tmp_path / name))


def test_an_unreachable_name_is_refused_in_one_line(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EncoderError, match="facebook/dpt-dinov2-small-nyu") as caught:
        load_depth_model("facebook/dpt-dinov2-small-nyu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_models_compute_in_the_dtype_that_is_asked_for(dpt, segmenter, dtype):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (56, 70, 3), np.uint8))
    exact, short = (load_depth_model(str(dpt), "cpu", name)(image) for name in ("float32", dtype))
    assert load_depth_model(str(dpt), "cpu", dtype).dtype == getattr(torch, dtype)
    assert short.dtype == torch.float32 and not torch.equal(exact, short)
    assert short.isfinite().all()
    if dtype == "bfloat16":  # depths of random weights are below the range of float16
        assert (exact - short).abs().max() < 0.05 * exact.abs().max()
    assert load_segmentation_model(str(segmenter), "cpu", dtype)(image).dtype == torch.int64


def test_an_unknown_device_or_dtype_is_refused(dpt):
    with pytest.raises(EncoderError, match="device 'gpu' is not available; expected auto, cpu"):
        load_depth_model(str(dpt), "gpu")
    with pytest.raises(EncoderError, match="found dtype 'half'; expected auto, float32"):
        load_segmentation_model(str(dpt), "cpu", "half")
