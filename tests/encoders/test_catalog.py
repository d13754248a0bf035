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
    assert all(entry.gated == (entry.family == "DINOv3") for entry in CATALOG.values())


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


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(EncoderError, match="no model is called 'dinov2-smal'; the nearest names are dinov2-small"):
        find("dinov2-smal")
    with pytest.raises(EncoderError, match="playground-dino, playground-clip"):
        find("xyzzy")


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
