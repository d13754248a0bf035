"""Random features of frames, and the plain loops."""

import importlib.util
from pathlib import Path

import pytest
import torch

from dinoclip_viz.encoders.base import ImageFeatures


@pytest.fixture(scope="session")
def plain():
    """The module of plain slow loops."""
    spec = importlib.util.spec_from_file_location("plain_propagation", Path(__file__).parent / "plain.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def features():
    """Features of one frame of these patches (H, W, D), of 8 pixels each."""

    def make(patches, space="some"):
        rows, columns, dimension = patches.shape
        vector = torch.ones(1, dimension)
        size = torch.tensor([[8 * columns, 8 * rows]])
        box = torch.tensor([[0.0, 0.0, 8.0 * columns, 8.0 * rows]])
        return ImageFeatures(vector, vector, patches[None], box, size, space)

    return make
