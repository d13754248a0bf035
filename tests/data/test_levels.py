"""Every loader of image files reads with levels; the playground's scenes have 8 bits and ignore them."""

from __future__ import annotations

import json
import struct
import tarfile
import zlib

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.data import Sample, open_source, reopen
from dinoclip_viz.data.filesystems import RemoteFile
from dinoclip_viz.data.frames import frames
from dinoclip_viz.data.levels import with_levels
from dinoclip_viz.data.retrieval.oxford import CroppedImage, open_oxford

LEVELS = (0, 4095)
EXPECTED = [0, 128, 255]


@pytest.fixture
def scan(tmp_path):
    """A 16-bit image whose values fill 12 bits."""
    Image.fromarray(np.array([[0, 2048, 4095]], np.uint16)).save(tmp_path / "1.png")
    return tmp_path / "1.png"


def grey(image: Image.Image) -> list[int]:
    return np.asarray(image)[0, :, 0].tolist()


def test_levels_at_load_time_replace_the_samples_own(scan):
    assert grey(Sample("1", scan).load(LEVELS)) == EXPECTED
    assert grey(Sample("1", scan, levels=LEVELS).load()) == EXPECTED
    assert grey(Sample("1", scan, levels=(0, 10)).load(levels=LEVELS)) == EXPECTED
    assert grey(Sample("1", scan).load("auto")) == EXPECTED
    for levels in ((1, 0), "high", (0, float("nan"))):
        with pytest.raises(ValueError, match="levels"):
            Sample("1", scan).load(levels)


def test_every_loader_of_files_reads_with_levels(scan):
    box = (1.0, 0.0, 3.0, 1.0)
    assert grey(Sample("1", CroppedImage(scan, box)).load(LEVELS)) == EXPECTED[1:]
    assert grey(reopen("photos", "1", str(scan), levels=LEVELS)) == EXPECTED
    assert [grey(frame.image) for frame in frames(scan, levels=LEVELS)] == [EXPECTED]
    with tarfile.open(scan.parent / "a.tar", "w") as file:
        file.add(scan, "1.png")
    for name in ("a.tar", "."):
        (sample,) = open_source(scan.parent / name).samples()
        assert grey(sample.load(LEVELS)) == EXPECTED


def test_remote_files_read_with_levels(scan):
    pytest.importorskip("datasets")
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/levels/1.png", scan.read_bytes())
    assert grey(Sample("1", RemoteFile("memory://levels/1.png")).load(LEVELS)) == EXPECTED


def test_a_source_with_levels_loads_every_sample_with_them(scan):
    (scan.parent / "jpg").mkdir()
    scan.rename(scan.parent / "jpg" / "1.png")
    one = {"bbx": [0, 0, 3, 1], "easy": [0], "hard": [], "junk": []}
    (scan.parent / "gnd.json").write_text(json.dumps({"imlist": ["1.png"], "qimlist": ["1.png"], "gnd": [one]}))
    found = open_oxford(scan.parent / "gnd.json")
    for source in (found.gallery, found.queries):
        assert [grey(sample.load()) for sample in with_levels(source, LEVELS).samples()] == [EXPECTED]


def test_frames_of_a_16_bit_image_keep_their_bits_in_colour(tmp_path):
    pixels = np.repeat(np.array([0, 2048, 4095], ">u2"), 3)
    chunks = {b"IHDR": struct.pack(">IIBBBBB", 3, 1, 16, 2, 0, 0, 0), b"IDAT": zlib.compress(b"\0" + pixels.tobytes())}
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in {**chunks, b"IEND": b""}.items():
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    (tmp_path / "deep.png").write_bytes(data)
    assert [grey(frame.image) for frame in frames(tmp_path / "deep.png", levels=LEVELS)] == [EXPECTED]


def test_scenes_of_the_playground_ignore_levels():
    sample = next(open_source("playground:2000:1:32").samples())
    assert sample.load(LEVELS) == sample.load() == reopen("playground:2000:1:32", sample.key, levels=LEVELS)
    with pytest.raises(ValueError, match="levels"):
        sample.load((1, 0))


def test_bytes_in_memory_read_with_levels(scan):
    assert grey(Sample("1", scan.read_bytes()).load(LEVELS)) == EXPECTED
