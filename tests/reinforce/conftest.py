"""A tiny teacher, a tiny student, and a reinforced store of a few scenes."""

import pytest

from dinoclip_viz.encoders import load_encoder, load_pair
from dinoclip_viz.reinforce import Augmentation, reinforce
from tests.tiny_models import tiny_clip, tiny_dino

SOURCE = "playground:500:7:32"
SMALL = Augmentation(size=32, scale=(0.3, 1.0), flip=0.5)


@pytest.fixture(scope="session")
def teacher(tmp_path_factory):
    return load_pair(str(tiny_clip(tmp_path_factory.mktemp("models") / "clip")), device="cpu")


@pytest.fixture(scope="session")
def other_teacher(tmp_path_factory):
    return load_pair(str(tiny_clip(tmp_path_factory.mktemp("models") / "other", seed=1)), device="cpu")


@pytest.fixture(scope="session")
def student(tmp_path_factory):
    return load_encoder(str(tiny_dino(tmp_path_factory.mktemp("models") / "dino")), device="cpu")


@pytest.fixture(scope="session")
def settings():
    return {"views": 3, "seed": 4, "shard_size": 3, "augmentation": SMALL}


@pytest.fixture(scope="session")
def made(tmp_path_factory, teacher, student, settings):
    """A finished store: one teacher, one student, 7 scenes in shards of 3."""
    folder = tmp_path_factory.mktemp("made") / "store"
    reinforce(SOURCE, [teacher], folder, student, **settings)
    return folder
