"""Embedding of a source: encoders by name or loaded, and levels as a setting of the store."""

import pytest

import dinoclip_viz as dv
from dinoclip_viz.encoders import EncoderError
from dinoclip_viz.store import StoreError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for number, scene in enumerate(dv.playground.draw(1700, 3, 96)):
        scene.image.save(tmp_path / "images" / f"{number}.png")
    return tmp_path / "images"


def test_encoders_are_accepted_by_name_or_loaded(folder, tmp_path):
    by_name = dv.embed(folder, "playground-dino", tmp_path / "name")
    loaded = dv.embed(folder, dv.load_encoder("playground-dino"), tmp_path / "loaded")
    assert by_name.images == loaded.images == 3
    one, other = (dv.FeatureStore.open(tmp_path / name) for name in ("name", "loaded"))
    assert (one.pooled[:] == other.pooled[:]).all()


@pytest.mark.parametrize("wrong", [None, 3, ["playground-dino", None]])
def test_other_encoders_are_refused_in_one_line(folder, tmp_path, wrong):
    with pytest.raises(EncoderError, match=r"^found \w+; expected an image encoder or its name[^\n]*$"):
        dv.embed(folder, wrong, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_other_text_encoders_are_refused_in_one_line(folder, tmp_path):
    with pytest.raises(EncoderError, match=r"^found int for texts; expected a text encoder, its name or None$"):
        dv.embed(folder, "playground-dino", tmp_path / "store", texts=3)


def test_levels_are_a_setting_of_the_store(folder, tmp_path):
    dv.embed(folder, "playground-dino", tmp_path / "store", levels=(0, 128))
    assert dv.embed(folder, "playground-dino", tmp_path / "store", levels=(0, 128)).encoded == 0
    for levels in (None, "auto", (0, 64)):
        with pytest.raises(StoreError, match="levels"):
            dv.embed(folder, "playground-dino", tmp_path / "store", levels=levels)
