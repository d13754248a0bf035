"""Further captions: of scenes, and by a tiny image-to-text model of transformers."""

import pytest
import torch

from dinoclip_viz.data import Sample, open_source
from dinoclip_viz.playground import draw
from dinoclip_viz.reinforce import ReinforcedStore, reinforce
from dinoclip_viz.reinforce.captions import ModelCaptions, SceneCaptions, first_sentence, load_captioner
from tests.tiny_models import images, tiny_captioner


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tiny_captioner(tmp_path_factory.mktemp("captioner")))


def test_scenes_bring_their_actions_and_paraphrases():
    scene, sample = draw(seed=500, count=1, world=2)[0], next(open_source("playground:500:1").samples())
    found = SceneCaptions().captions_of(sample, sample.load(), 0, 5)
    assert set(found) == set(scene.captions) - set(sample.captions)
    assert found == SceneCaptions().captions_of(sample, sample.load(), 1, 5)
    assert len(SceneCaptions().captions_of(sample, sample.load(), 0, 1)) == 1


def test_a_models_captions_depend_on_seed_and_key_alone(folder):
    captioner, (image,) = ModelCaptions(folder, "cpu", "float32"), images((40, 30))
    one, other = Sample("a", image), Sample("b", image)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = captioner.captions_of(one, image, 3, 4)
    assert torch.equal(torch.get_rng_state(), before)
    captioner.captions_of(other, image, 3, 4)
    assert captioner.captions_of(one, image, 3, 4) == first
    assert captioner.captions_of(one, image, 4, 4) != first
    assert 1 <= len(first) <= 4
    assert len(set(first)) == len(first)
    assert all(text and "." not in text for text in first)


def test_a_store_has_the_models_captions(folder, teacher, settings, tmp_path):
    reinforce("playground:500:4:32", [teacher], tmp_path / "s", captioner=folder, captions=2, **settings)
    store = ReinforcedStore.open(tmp_path / "s")
    assert store.settings.captioner == folder
    samples = list(open_source("playground:500:4:32").samples())
    captioner = ModelCaptions(folder)
    for row, sample in zip(store.rows, samples, strict=True):
        assert row.synthetic == captioner.captions_of(sample, sample.load(), 4, 2)
        assert row.real == sample.captions


def test_captions_end_at_the_first_full_stop():
    assert first_sentence("a cat. on grass") == "a cat"
    assert first_sentence(" .a cat") == ""


def test_none_is_no_captioner():
    assert load_captioner("none") is None
    assert isinstance(load_captioner("scenes"), SceneCaptions)
