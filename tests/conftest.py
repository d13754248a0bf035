"""Settings of every test: one thread per process of `pytest -n`, and the same dtype on every machine."""

import os

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
