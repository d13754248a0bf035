"""Rows are data and right; names are found; unknown ones are answered with the nearest."""

import subprocess
import sys

import pytest

from dinoclip_viz.encoders import CATALOG, EncoderError, find, on_disk
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.encoders.huggingface import ARCHITECTURES


def test_importing_the_catalogue_imports_no_library():
    script = (
        "import importlib.util, sys; import dinoclip_viz.encoders.catalog; "
        "print([name for name in ('torch', 'transformers', 'open_clip', 'timm', 'torchvision') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_exported_name_exists():
    import dinoclip_viz.encoders as encoders

    assert all(getattr(encoders, name) is not None for name in encoders.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        encoders.nothing  # noqa: B018


def test_no_row_invents_a_revision():
    assert {entry.revision for entry in CATALOG.values()} == {None}


def test_names_and_sources_are_unique():
    assert len({entry.source for entry in CATALOG.values()}) == len(CATALOG)


def test_a_hub_id_and_its_catalogue_name_are_one_row_and_one_space():
    assert find("facebook/dinov2-small") is find("dinov2-small")
    assert find("dinov2-small").source == "facebook/dinov2-small"


def test_every_family_has_its_sizes():
    families = {entry.family for entry in CATALOG.values()}
    assert families >= {"DINOv2", "DINOv3", "DINO", "CLIP", "MetaCLIP 2", "SigLIP", "SigLIP 2", "TIPSv2"}
    assert families >= {"OpenCLIP", "DataComp", "DFN", "MetaCLIP", "MobileCLIP", "MobileCLIP 2", "Perception Encoder"}
    assert sum(entry.family == "DINOv2" for entry in CATALOG.values()) == 8
    assert families >= {"I-JEPA", "Pixio", "MAE", "DeiT III", "EVA-02", "AIMv2", "C-RADIO", "EUPE"}
    gated = ("DINOv3", "Pixio", "PaliGemma", "PaliGemma 2")
    assert all(entry.gated == (entry.family in gated) for entry in CATALOG.values())


def test_open_clip_rows_agree_with_open_clip():
    import open_clip

    for entry in CATALOG.values():
        if entry.library != "open_clip":
            continue
        model, pretrained = entry.weights
        configuration, published = open_clip.get_model_config(model), open_clip.get_pretrained_cfg(model, pretrained)
        assert published["hf_hub"], entry.name
        assert bool(published.get("quick_gelu")) == bool(configuration.get("quick_gelu")), entry.name
        assert entry.dimension == configuration["embed_dim"], entry.name
        assert entry.size == configuration["vision_cfg"]["image_size"], entry.name
        assert (
            entry.patch == configuration["vision_cfg"].get("patch_size")
            or "timm_model_name" in configuration["vision_cfg"]
        )


LICENCES = {
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "nvidia-open-model-license": "NVIDIA Open Model License",
    "fair-noncommercial-research-license": "FAIR Noncommercial Research License",
    "apple-ascl": "Apple ML research license",  # as Apple's own copies say, which are newer
}
"""timm's word for a licence -> ours."""


@pytest.mark.parametrize("name", [name for name, entry in CATALOG.items() if entry.library == "timm"])
def test_timm_rows_agree_with_timm(name):
    import timm
    import torch

    entry = CATALOG[name]
    model = entry.source.removeprefix("timm:")
    published = timm.get_pretrained_cfg(model)
    assert published.hf_hub_id == entry.weights
    assert LICENCES[published.license] == entry.licence
    with torch.device("meta"):
        built = timm.create_model(model, num_classes=0)
    assert published.input_size == (3, entry.size, entry.size)
    assert entry.dimension == built.num_features
    assert entry.patch == built.feature_info[-1]["reduction"]
    assert entry.parameters == pytest.approx(sum(each.numel() for each in built.parameters()) / 1e6, abs=0.5)
    assert find(entry.source) is find(entry.weights) is entry


SHAPES = {
    "dinov3-convnext-tiny": {"hidden_sizes": [96, 192, 384, 768], "depths": [3, 3, 9, 3]},
    "dinov3-convnext-small": {"hidden_sizes": [96, 192, 384, 768], "depths": [3, 3, 27, 3]},
    "dinov3-convnext-base": {"hidden_sizes": [128, 256, 512, 1024], "depths": [3, 3, 27, 3]},
    "dinov3-convnext-large": {"hidden_sizes": [192, 384, 768, 1536], "depths": [3, 3, 27, 3]},
    "ijepa-vith14": {"layers": 32, "heads": 16, "intermediate_size": 5120},
    "ijepa-vith14-22k": {"layers": 32, "heads": 16, "intermediate_size": 5120},
    "ijepa-vith16-448": {"layers": 32, "heads": 16, "intermediate_size": 5120},
    "ijepa-vitg16-22k": {"layers": 40, "heads": 16, "intermediate_size": 6144},
    "pixio-vitb16": {"layers": 12, "heads": 12},
    "pixio-vitl16": {"layers": 24, "heads": 16},
    "pixio-vith16": {"layers": 32, "heads": 16},
    "pixio-vit1b16": {"layers": 48, "heads": 24},
    "pixio-vit5b16": {"layers": 48, "heads": 32},
}
"""Row -> what its row does not say of its published configuration."""


@pytest.mark.parametrize("name", SHAPES)
def test_rows_have_the_size_of_their_configuration(name):
    import torch
    import transformers

    entry, shape = CATALOG[name], dict(SHAPES[name])
    kind = {"DINOv3": "DINOv3ConvNext", "I-JEPA": "IJepa", "Pixio": "Pixio"}[entry.family]
    if entry.family == "DINOv3":
        assert entry.dimension == shape["hidden_sizes"][-1]
        assert entry.patch == 32
    else:
        shape.update(num_hidden_layers=shape.pop("layers"), num_attention_heads=shape.pop("heads"))
        shape.update(hidden_size=entry.dimension, patch_size=entry.patch, image_size=entry.size)
    with torch.device("meta"):
        model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**shape))
    assert entry.parameters == pytest.approx(sum(each.numel() for each in model.parameters()) / 1e6, abs=0.6)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(EncoderError, match="no model is called 'dinov2-smal'; the nearest names are dinov2-small"):
        find("dinov2-smal")
    with pytest.raises(EncoderError, match="playground-dino, playground-clip"):
        find("xyzzy")


def test_on_disk_knows_models_of_timm(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert not on_disk(find("mae-vitb16"))
    snapshot = tmp_path / "models--timm--vit_base_patch16_224.mae" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"")
    assert on_disk(find("mae-vitb16"))
    assert not on_disk(find("mae-vitl16"))


def test_on_disk_knows_the_cache_without_a_network(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert not on_disk(find("dinov2-small"))
    assert not on_disk(find("mobileclip-s1"))
    for repository, weights in [
        ("facebook--dinov2-small", "model.safetensors"),
        ("apple--MobileCLIP-S1-OpenCLIP", "open_clip_model.safetensors"),
    ]:
        snapshot = tmp_path / f"models--{repository}" / "snapshots" / "abc"
        snapshot.mkdir(parents=True)
        (snapshot / weights).write_bytes(b"")
    assert on_disk(find("dinov2-small"))
    assert on_disk(find("mobileclip-s1"))
    assert not on_disk(find("dinov2-base"))
    assert not on_disk(find("mobileclip-s2"))


@pytest.mark.parametrize("name", ["playground-dino", "playground-clip"])
def test_embedded_models_are_as_their_rows_say(name):
    entry = find(name)
    assert (PLAYGROUND / name / "model.safetensors").is_file()
    from dinoclip_viz.encoders import load_encoder

    encoder = load_encoder(name, device="cpu")
    assert on_disk(entry)
    assert encoder.space == name
    assert (encoder.dimension, encoder.patch, encoder.size) == (entry.dimension, entry.patch, entry.size)


def test_architectures_are_classes_of_transformers():
    import transformers

    assert all(hasattr(transformers, architecture.model) for architecture in ARCHITECTURES.values())
