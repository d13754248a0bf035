"""Tiny models of every architecture, written once a session."""

import importlib.util
from pathlib import Path

import pytest

_SPEC = importlib.util.spec_from_file_location("tiny_models", Path(__file__).parent.parent / "tiny_models.py")
tiny = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tiny)

VISION = ("dinov2", "dinov2_with_registers", "dinov3", "dino")
JOINT = ("clip", "metaclip2", "siglip", "tips")


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def draw_images():
    """Random images of the sizes (width, height) given."""
    return tiny.images


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
def write_tiny():
    """The module that writes tiny models, for tests that spoil one."""
    return tiny
