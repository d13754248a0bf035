"""Previews of uploads that browsers cannot display."""

from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from dinoclip_viz.app.images import preview, previews, read


@pytest.fixture
def heic(tmp_path):
    pytest.importorskip("pillow_heif").from_pillow(Image.linear_gradient("L").convert("RGB")).save(tmp_path / "a.heic")
    return str(tmp_path / "a.heic")


def test_a_heic_upload_is_displayed_with_the_pixels_that_were_read(heic, photograph):
    assert preview(heic).tobytes() == read(heic).image.tobytes()
    first, second = previews([(heic, None), (photograph, None)])
    assert first.size == (256, 256) and second == photograph


def test_other_and_invalid_uploads_are_left_alone(heic, photograph, tmp_path):
    broken = tmp_path / "broken.heic"
    broken.write_bytes(Path(heic).read_bytes()[:200])
    for path in (photograph, str(broken), str(tmp_path / "none"), None):
        assert preview(path) == gr.skip()
    assert previews([(photograph, None)]) == previews(None) == previews([(str(broken), None)]) == gr.skip()
