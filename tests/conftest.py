"""Settings of every test: one thread per process of `pytest -n`, the same dtype on every machine, and tiny models."""

import importlib.util
import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def float32_everywhere():
    """`dtype="auto"` is float32, whether or not the machine is fast in bfloat16."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dinoclip_viz.encoders.devices.is_fast_in_bfloat16", lambda device: False)
        yield


@pytest.fixture(scope="session")
def write_tiny():
    """The module that writes tiny models of every architecture."""
    spec = importlib.util.spec_from_file_location("tiny_models", Path(__file__).parent / "tiny_models.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def draw_images(write_tiny):
    """Random images of the sizes (width, height) given."""
    return write_tiny.images


@pytest.fixture(scope="session")
def tiny_folder(write_tiny, tmp_path_factory):
    """Kind of a tiny model -> its folder, written once."""
    root, written = tmp_path_factory.mktemp("models"), {}

    def folder(kind):
        if kind not in written:
            written[kind] = getattr(write_tiny, f"tiny_{kind}")(root / kind)
        return str(written[kind])

    return folder
