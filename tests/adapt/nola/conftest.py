"""Tiny CLIPs of both libraries, and a few scenes of four classes."""

import importlib.util
from pathlib import Path

import pytest
import torch

from dinoclip_viz import load_encoder, load_model, playground

_SPEC = importlib.util.spec_from_file_location("tiny_models", Path(__file__).parents[2] / "tiny_models.py")
tiny = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tiny)

FOUR = ["cat", "car", "tree", "umbrella"]


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """Kind of a tiny model -> its folder, written once."""
    root, written = tmp_path_factory.mktemp("models"), {}

    def folder(kind):
        if kind not in written:
            written[kind] = getattr(tiny, f"tiny_{kind}")(root / kind)
        return str(written[kind])

    return folder


@pytest.fixture(scope="session")
def draw_images():
    """Random images of the sizes (width, height) given."""
    return tiny.images


@pytest.fixture(scope="session")
def four_classes():
    """64 noisy images of the playground, 16 of each of four classes, their class numbers, and the class names."""
    images, numbers = [], []
    for scene in playground.stream(1700, 800, 96, objects=1, domain="noise"):
        name = scene.objects[0]["name"]
        if name in FOUR and numbers.count(FOUR.index(name)) < 16:
            images.append(scene.image)
            numbers.append(FOUR.index(name))
        if len(images) == 64:
            break
    return images, torch.tensor(numbers), FOUR


@pytest.fixture(scope="session")
def clip():
    return load_model("playground-clip", device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def guide():
    return load_encoder("playground-dino", device="cpu", dtype="float32")
