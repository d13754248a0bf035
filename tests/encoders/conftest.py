"""Kinds of tiny models, and one thread for all of them."""

import pytest

VISION = ("dinov2", "dinov2_with_registers", "dinov3", "dino")
JOINT = ("clip", "metaclip2", "siglip", "tips")


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
