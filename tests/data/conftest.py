"""What the tests of the sources share: tiny images, and the check that every source must pass."""

from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest
from PIL import Image

from dinoclip_viz.data import Source


@pytest.fixture
def image():
    """Writes a small image of one grey, folders included."""

    def write(path: Path, grey: int = 100) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (grey, grey, grey)).save(path)
        return path

    return write


@pytest.fixture
def check_source():
    """The samples of a source, after a check of what every source promises."""

    def check(source, loads=True):
        assert isinstance(source, Source) and source.name
        samples = list(source.samples())
        assert list(source.samples()) == samples
        assert source.count in (None, len(samples))
        for start in range(len(samples) + 2):
            assert list(source.samples(start=start)) == samples[start:]
        copy = ForkingPickler.loads(ForkingPickler.dumps(source))
        assert copy == source and list(copy.samples()) == samples
        assert ForkingPickler.loads(ForkingPickler.dumps(samples)) == samples
        for sample in samples:
            assert all(isinstance(caption, str) and caption for caption in sample.captions)
            assert isinstance(sample.key, str) and sample.key and isinstance(sample.path, str)
            if loads:
                assert sample.load().mode == "RGB"
        return samples

    return check
