"""Vision-language models by name: the real loading code with tiny models, and one line for all that goes wrong."""

import json
import logging
import shutil
from dataclasses import replace
from weakref import WeakValueDictionary

import numpy as np
import pytest
import torch
from PIL import Image

import dinoclip_viz as dv
from dinoclip_viz.encoders import CATALOG, EncoderError, find, load_encoder, load_text_encoder
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.models import load_model
from dinoclip_viz.vlm import load_vlm, loading
from dinoclip_viz.vlm.masks import MaskCodec
from tests.vlm.test_masks import published_arrays

NAMES = [name for name, entry in CATALOG.items() if entry.kind == "vision-language"]


def refused(name, **settings):
    with pytest.raises(EncoderError) as error:
        load_vlm(name, **{"device": "cpu", **settings})
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def copy(tiny_folder, tmp_path):
    """A copy of the tiny model's folder, to be changed."""
    return shutil.copytree(tiny_folder("paligemma"), tmp_path / "copy")


def edit(file, **values):
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, **values}))


# Models that load


def test_a_folder_is_loaded_as_it_was_saved(tiny_folder):
    model = load_vlm(tiny_folder("paligemma"), device="cpu")
    assert (model.name, model.size, model.revision) == (tiny_folder("paligemma"), 32, None)
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
    assert not model._generator.model.training
    assert not any(value.requires_grad for value in model._generator.model.parameters())


def test_pixels_are_those_of_the_pil_processor(tiny_folder, draw_images):
    [image] = draw_images((57, 43))
    processor = load_vlm(tiny_folder("paligemma"), device="cpu")._generator.processor
    pixels = processor(images=[image], text=["<image>caption en"], return_tensors="pt")["pixel_values"][0]
    squashed = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC)).transpose(2, 0, 1) / 127.5 - 1
    assert np.abs(pixels.numpy() - squashed).max() < 1e-6


def test_the_older_layout_of_published_folders_is_read(copy):
    """Published folders have preprocessor_config.json in place of processor_config.json."""
    settings = json.loads((copy / "processor_config.json").read_text())["image_processor"]
    (copy / "preprocessor_config.json").write_text(json.dumps({**settings, "processor_class": "PaliGemmaProcessor"}))
    (copy / "processor_config.json").unlink()
    (copy / "generation_config.json").unlink()  # is not downloaded
    image = Image.new("RGB", (20, 10), "red")
    before = load_vlm(str(copy), device="cpu").generate_with_scores(image, "detect cat", max_tokens=6)
    assert len(before.tokens) == 6


def test_weights_in_shards_are_read(copy):
    from transformers import PaliGemmaForConditionalGeneration

    image = Image.new("RGB", (20, 10), "red")
    whole = load_vlm(str(copy), device="cpu").generate_with_scores(image, "detect cat", max_tokens=6)
    model = PaliGemmaForConditionalGeneration.from_pretrained(copy, dtype=torch.float32)
    (copy / "model.safetensors").unlink()
    model.save_pretrained(copy, max_shard_size="200KB")
    assert (copy / "model.safetensors.index.json").is_file()
    assert load_vlm(str(copy), device="cpu").generate_with_scores(image, "detect cat", max_tokens=6) == whole


def test_a_model_in_use_is_not_loaded_again(copy):
    first = load_vlm(str(copy), device="cpu")
    assert load_vlm(str(copy), device="cpu") is first
    assert load_vlm(str(copy), device="cpu", dtype="bfloat16") is not first
    edit(copy / "config.json", changed=1)
    assert load_vlm(str(copy), device="cpu") is not first


def test_auto_is_float32_on_a_cpu_even_if_it_is_fast_in_bfloat16(copy, monkeypatch):
    monkeypatch.setattr("dinoclip_viz.encoders.devices.is_fast_in_bfloat16", lambda device: True)
    assert load_vlm(str(copy), device="cpu").dtype == torch.float32
    assert loading._dtype("auto", torch.device("cuda"), str(copy)) == torch.bfloat16
    assert loading._dtype("float16", torch.device("cuda"), str(copy)) == torch.float16


def test_bfloat16_answers_on_a_cpu(tiny_folder):
    model = load_vlm(tiny_folder("paligemma"), device="cpu", dtype="bfloat16")
    assert {value.dtype for value in model._generator.model.parameters()} == {torch.bfloat16}
    assert len(model.generate_with_scores(Image.new("RGB", (9, 9)), "caption en", max_tokens=3).tokens) == 3


def test_half_precision_on_disk_is_computed_in_float32(copy):
    from transformers import PaliGemmaForConditionalGeneration

    PaliGemmaForConditionalGeneration.from_pretrained(copy, dtype=torch.float16).save_pretrained(copy)
    model = load_vlm(str(copy), device="cpu")
    assert {value.dtype for value in model._generator.model.parameters()} == {torch.float32}


def test_the_published_mask_codec_is_found_in_the_folder_of_the_weights(copy):
    np.savez(copy / "vae-oid.npz", **published_arrays())
    model = load_vlm(str(copy), device="cpu")
    assert isinstance(model._codec, MaskCodec) and model._codec.dimension == 512
    assert model.segment(Image.new("RGB", (9, 9)), "cat", max_tokens=3) == []
    assert "there is no mask codec at /nowhere.npz" in refused(str(copy), masks="/nowhere.npz")


# Names


def test_every_published_checkpoint_is_in_the_catalogue():
    rows = {name: find(name) for name in NAMES if name != "playground-paligemma"}
    assert len(rows) == 3 + 2 + 3 * (3 + 2) + 2
    for name, entry in rows.items():
        assert (entry.library, entry.weights, entry.source) == ("transformers", f"google/{name}", f"google/{name}")
        assert entry.gated and entry.revision is None and entry.licence == "Gemma Terms of Use"
        assert str(entry.size) == name.rpartition("-")[2]
        assert ("needs fine-tuning" in entry.note) == ("-pt-" in name)
    assert {entry.family for entry in rows.values()} == {"PaliGemma", "PaliGemma 2"}
    assert find("google/paligemma2-3b-mix-448") is rows["paligemma2-3b-mix-448"]


TEXT = {  # published configurations of the language models
    "paligemma-3b": ("Gemma", {"layers": 18, "heads": 8, "keys": 1, "inner": 16384, "head_dim": 256}),
    "paligemma2-3b": ("Gemma2", {"layers": 26, "heads": 8, "keys": 4, "inner": 9216, "head_dim": 256}),
    "paligemma2-10b": ("Gemma2", {"layers": 42, "heads": 16, "keys": 8, "inner": 14336, "head_dim": 256}),
    "paligemma2-28b": ("Gemma2", {"layers": 46, "heads": 32, "keys": 16, "inner": 36864, "head_dim": 128}),
}


@pytest.mark.parametrize("prefix", TEXT)
def test_rows_have_the_size_of_their_configuration(prefix):
    import transformers

    kind, shape = TEXT[prefix]
    entry = find(f"{prefix}-pt-896")
    text = getattr(transformers, f"{kind}Config")(
        vocab_size=257216,
        hidden_size=entry.dimension,
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        num_key_value_heads=shape["keys"],
        intermediate_size=shape["inner"],
        head_dim=shape["head_dim"],
    )
    vision = transformers.SiglipVisionConfig(
        hidden_size=1152,
        intermediate_size=4304,
        num_hidden_layers=27,
        num_attention_heads=16,
        patch_size=entry.patch,
        image_size=entry.size,
        vision_use_head=False,
    )
    config = transformers.PaliGemmaConfig(vision_config=vision, text_config=text, projection_dim=entry.dimension)
    with torch.device("meta"):
        model = transformers.PaliGemmaForConditionalGeneration(config)
    assert entry.parameters == pytest.approx(sum(each.numel() for each in model.parameters()) / 1e6, abs=0.6)


def test_a_catalogue_name_is_fetched_from_the_hub_with_its_gate(tiny_folder, monkeypatch, caplog):
    from pathlib import Path

    asked = []

    def fetch(*given):
        asked.append(given)
        return Path(tiny_folder("paligemma")), "abc123"

    monkeypatch.setattr(loading, "fetch", fetch)
    model = load_vlm("paligemma2-3b-mix-448", device="cpu")
    assert (model.name, model.revision) == ("paligemma2-3b-mix-448", "abc123")
    assert asked == [("paligemma2-3b-mix-448", "google/paligemma2-3b-mix-448", "transformers", None, True)]
    assert "fine-tuning" not in caplog.text
    load_vlm("someone/their-paligemma", device="cpu")
    assert asked[1] == ("someone/their-paligemma", "someone/their-paligemma", "transformers", None, False)
    with caplog.at_level(logging.WARNING):
        load_vlm("google/paligemma2-3b-pt-448", device="cpu")
    assert "needs fine-tuning before it answers; the mix checkpoints answer at once" in caplog.text


def test_a_gated_or_unreachable_hub_is_one_line(monkeypatch):
    import httpx
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError

    def raising(error):
        def download(*_, **__):
            raise error

        monkeypatch.setattr("huggingface_hub.snapshot_download", download)

    raising(LocalEntryNotFoundError("no network"))
    line = refused("paligemma2-10b-mix-224")
    assert "google/paligemma2-10b-mix-224 is not on this disk" in line
    assert line.endswith("; playground-paligemma and local folders work without it")
    request = httpx.Request("GET", "https://huggingface.co")
    raising(GatedRepoError("gated", response=httpx.Response(403, request=request)))
    line = refused("paligemma2-3b-mix-448")
    assert "accept its licence on https://huggingface.co/google/paligemma2-3b-mix-448" in line


def test_the_embedded_model_has_its_own_codec_and_may_be_missing(taught, codec_folder, monkeypatch):
    entry = replace(CATALOG["playground-paligemma"], weights=str(taught))
    monkeypatch.setitem(CATALOG, entry.name, entry)
    monkeypatch.setattr("dinoclip_viz.encoders.cache._LOADED", WeakValueDictionary())
    here = load_vlm.__globals__
    monkeypatch.setitem(here, "PLAYGROUND", codec_folder.parent)
    monkeypatch.setitem(here, "EMBEDDED", codec_folder.name)
    monkeypatch.setitem(here, "load_mask_codec", lambda name, device: (name, device))
    assert load_vlm(device="cpu")._codec == (codec_folder.name, torch.device("cpu"))
    monkeypatch.setitem(CATALOG, entry.name, replace(entry, weights="/nowhere"))
    assert "/nowhere is missing; reinstall the package" in refused("playground-paligemma", dtype="float16")


# What is refused


def test_unknown_names_missing_folders_and_files(copy):
    assert "the nearest names are paligemma2-3b-mix" in refused("paligemma2-3b-mix")
    assert "there is no folder ./nowhere" in refused("./nowhere")
    assert "is a file; expected the folder" in refused(str(copy / "config.json"))
    assert "found int; expected the name of a vision-language model" in refused(3)


def test_folders_without_parts(copy, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "has no config.json" in refused(str(tmp_path / "empty"))
    (copy / "tokenizer.json").rename(copy / "hidden")
    assert "has no tokenizer" in refused(str(copy))
    (copy / "hidden").rename(copy / "tokenizer.json")
    (copy / "processor_config.json").unlink()
    assert "the processor in" in refused(str(copy))


def test_pickled_weights_are_refused(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    assert "holds pytorch_model.bin, a pickle that could run code" in refused(str(copy))


def test_broken_and_incomplete_weights_are_refused(copy):
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    missing = next(key for key in weights if key.endswith("linear.bias"))
    save_file({key: value for key, value in weights.items() if key != missing}, copy / "model.safetensors")
    assert "lack 1 tensors of a paligemma model" in refused(str(copy))
    (copy / "model.safetensors").write_bytes(b"\0" * 100)
    assert "cannot be read" in refused(str(copy))


def test_a_processor_of_another_model_is_refused(copy):
    settings = json.loads((copy / "processor_config.json").read_text())
    settings["image_processor"]["image_seq_length"] = 64
    (copy / "processor_config.json").write_text(json.dumps(settings))
    assert "the processor writes 64 image tokens, but the model has 16 patches" in refused(str(copy))
    settings["image_processor"]["image_seq_length"] = 16
    (copy / "processor_config.json").write_text(json.dumps(settings))
    edit(copy / "config.json", image_token_index=5)
    assert "is token 29, but the model's is 5" in refused(str(copy))


def test_encoders_are_refused_with_the_loader_that_reads_them(tiny_folder):
    assert "of kind image; load it with load_encoder" in refused("playground-dino")
    assert "of kind image-text; load it with load_model" in refused("playground-clip")
    assert "of kind image-text; load it with load_model" in refused(str(PLAYGROUND / "playground-clip"))
    assert "of kind text; load it with load_text_encoder" in refused("playground-text")
    line = refused(tiny_folder("dinov2"))
    assert "found model type 'dinov2'; expected 'paligemma'" in line
    assert line.endswith("load it with load_encoder or load_model")


@pytest.mark.parametrize("load", [load_encoder, load_text_encoder, load_model])
def test_loaders_of_encoders_refuse_vision_language_models(load, tiny_folder):
    for name in (
        "paligemma2-3b-mix-448",
        "google/paligemma-3b-pt-224",
        "playground-paligemma",
        tiny_folder("paligemma"),
    ):
        with pytest.raises(EncoderError, match=r"is a vision-language model, .* load it with load_vlm"):
            load(name)


def test_other_devices_and_dtypes_are_refused(tiny_folder):
    assert "expected auto, cpu, cuda" in refused(tiny_folder("paligemma"), device="tpu")
    assert "expected auto, float32" in refused(tiny_folder("paligemma"), dtype="int8")


# Public names


def test_the_public_names_are_those_of_the_room():
    from dinoclip_viz import vlm

    assert dv.load_vlm is vlm.load_vlm and dv.Detection is vlm.Detection
    assert all(getattr(vlm, name) is not None for name in vlm.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vlm.nothing


@pytest.mark.hub
def test_a_published_model_detects_as_published():
    """The expected answer is that of transformers' integration test of PaliGemma."""
    try:
        model = load_vlm("google/paligemma-3b-pt-224", device="cpu", dtype="bfloat16")
        address = "https://huggingface.co/datasets/hf-internal-testing/fixtures-captioning/resolve/main/shoe.png"
        image = dv.load_image(address)
    except (EncoderError, dv.ImageError) as error:
        pytest.skip(str(error))
    assert model.generate(image, "detect shoe", max_tokens=20) == "<loc0051><loc0309><loc0708><loc0646> shoe"
