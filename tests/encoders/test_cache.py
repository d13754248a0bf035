"""A model is loaded once while it is used, and goes when nobody uses it."""

import gc
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import dinoclip_viz as dv
from dinoclip_viz.encoders import EncoderError, as_encoder, load_encoder
from dinoclip_viz.encoders.catalog import PLAYGROUND
from dinoclip_viz.models import as_model, load_model


def test_a_name_finds_what_is_loaded_already():
    encoder = load_encoder("playground-dino", device="cpu")
    assert as_encoder("playground-dino") is encoder
    assert as_encoder(encoder) is encoder
    model = load_model("playground-clip")
    assert as_model("playground-clip") is model is load_model("playground-clip")
    assert load_encoder("playground-dino", device="cpu") is encoder


def test_default_settings_are_the_same_as_naming_them():
    encoder = load_encoder("playground-dino")
    assert load_encoder("playground-dino", encoder.device, torch.float32) is encoder
    assert load_encoder("playground-dino", dtype=torch.bfloat16) is not encoder


def test_threads_share_one_model():
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(as_encoder, ["random:playground-dino"] * 8))
    assert len({id(each) for each in loaded}) == 1


def test_models_share_the_encoders_that_are_loaded():
    encoder = load_encoder("playground-dino")
    assert load_model("playground").images is encoder


def test_nothing_is_kept_alive():
    encoder = load_encoder("random:playground-dino")
    watched = weakref.ref(encoder)
    del encoder
    gc.collect()
    assert watched() is None
    assert as_encoder("random:playground-dino") is not None


def test_a_folder_that_changed_is_loaded_anew(tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(PLAYGROUND / "playground-dino", folder)
    first = load_encoder(str(folder))
    assert load_encoder(str(folder)) is first
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    assert load_encoder(str(folder)) is not first


def test_a_guide_that_changed_is_loaded_anew(tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(PLAYGROUND / "playground-dino", folder)
    first = load_model("playground-clip", guide=str(folder))
    assert load_model("playground-clip", guide=str(folder)) is first
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    assert load_model("playground-clip", guide=str(folder)) is not first


@pytest.mark.parametrize("wrong", [None, 3, ["playground"]])
def test_what_is_neither_a_name_nor_loaded_is_refused(wrong):
    for call in (as_encoder, as_model, load_encoder, load_model):
        with pytest.raises(EncoderError, match=r"found \w+; expected"):
            call(wrong)
    with pytest.raises(EncoderError, match="expected an image-text model or its name"):
        dv.classify(wrong, "a.png", ["a", "b"])
