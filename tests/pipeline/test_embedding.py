"""Embedding of a source: encoders by name or loaded, and levels as a setting of the store."""

import numpy as np
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


def test_token_vectors_of_captions_are_stored_ragged_and_resume(tmp_path):
    texts = dv.load_text_encoder("playground-text")
    words = {"texts": texts, "text_tokens": True, "shard_size": 3, "workers": 0}

    def stop(done, count):
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dv.embed("playground:1600:7", "playground-dino", tmp_path / "s", watch=stop, **words)
    dv.embed("playground:1600:7", "playground-dino", tmp_path / "s", **words)
    dv.embed("playground:1600:7", "playground-dino", tmp_path / "whole", **words)
    store, whole = (dv.FeatureStore.open(tmp_path / name) for name in ("s", "whole"))
    store.check()
    assert store.settings.token_dimension == 128
    assert len(store.tokens) == len(store.texts) == len(store.captions())
    np.testing.assert_array_equal(store.tokens.values[:], whole.tokens.values[:])
    some = np.array([9, 0, 9, 27])
    values, counts = store.tokens.read(some)
    expected = texts.encode_tokens([store.captions()[row] for row in some])
    assert counts.tolist() == expected.offsets.diff().tolist()
    np.testing.assert_allclose(values, expected.values.half().numpy(), atol=2e-3)
    with pytest.raises(dv.StoreError, match="token_dimension 128 and 0"):
        dv.embed("playground:1600:7", "playground-dino", tmp_path / "s", texts=texts, shard_size=3, workers=0)


def test_token_vectors_without_a_text_encoder_are_refused(tmp_path):
    with pytest.raises(ValueError, match="text_tokens without texts"):
        dv.embed("playground:1600:3", "playground-dino", tmp_path / "s", text_tokens=True)
