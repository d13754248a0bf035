"""One thread, a few scenes of four classes, and the embedded encoders."""

import pytest
import torch

from dinoclip_viz import load_encoder, load_model, playground

FOUR = ["cat", "car", "tree", "umbrella"]


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
