"""Frames of animated images and videos: their pixels, their times, and files that are none."""

import sys
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz import ImageError
from dinoclip_viz.data import frames as module
from dinoclip_viz.data.frames import frames, is_moving

COLOURS = [(200, 0, 0), (0, 180, 0), (0, 0, 220), (240, 240, 0), (0, 200, 200)]


def images(size=(32, 24)):
    return [Image.new("RGB", size, colour) for colour in COLOURS]


def write_video(path, images, rate=5, codec="mpeg4"):
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = *images[0].size, "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("moving")
    first, *rest = images()
    for name, settings in (("a.gif", {}), ("a.webp", {"lossless": True}), ("a.png", {})):
        first.save(place / name, save_all=True, append_images=rest, duration=200, **settings)
    first.save(place / "still.png")
    for name in ("a.mp4", "a.avi", "a.mkv"):
        write_video(place / name, images())
    return place


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.mp4", "a.avi", "a.mkv"])
def test_every_frame_comes_in_order_with_its_time(folder, name):
    found = list(frames(folder / name))
    assert [frame.number for frame in found] == [0, 1, 2, 3, 4]
    assert [frame.seconds for frame in found] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8], abs=1e-3)
    for frame, colour in zip(found, COLOURS, strict=True):
        assert frame.image.mode == "RGB" and frame.image.size == (32, 24)
        assert np.abs(np.array(frame.image.getpixel((16, 12))) - colour).max() <= 12  # videos are lossy
    assert is_moving(folder / name)


@pytest.mark.parametrize("name", ["a.gif", "a.mp4"])
def test_frames_are_skipped_and_bounded(folder, name):
    assert [frame.number for frame in frames(folder / name, every=2)] == [0, 2, 4]
    assert [frame.number for frame in frames(folder / name, most=2)] == [0, 1]
    assert [frame.number for frame in frames(folder / name, most=2, every=2)] == [0, 2]


def test_an_image_that_stands_still_is_one_frame(folder):
    assert len(list(frames(folder / "still.png"))) == 1
    assert not is_moving(folder / "still.png")
    assert not is_moving(folder / "missing.gif")


def test_what_a_file_is_its_content_says(folder, tmp_path):
    (tmp_path / "video.gif").write_bytes((folder / "a.mp4").read_bytes())
    (tmp_path / "gif.mp4").write_bytes((folder / "a.gif").read_bytes())
    assert len(list(frames(tmp_path / "video.gif"))) == len(list(frames(tmp_path / "gif.mp4"))) == 5


def test_frames_are_decoded_as_they_are_asked_for(tmp_path):
    path = write_video(tmp_path / "long.mp4", [Image.new("RGB", (320, 240), (i * 3, 0, 0)) for i in range(80)], 25)
    tracemalloc.start()
    for _ in frames(path):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 320 * 240 * 3


def refused(path, *words, **settings):
    with pytest.raises(ImageError) as error:
        list(frames(path, **settings))
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_files_that_are_none_are_refused_in_one_line(folder, tmp_path, monkeypatch):
    refused(tmp_path / "none.gif", "none.gif", "no such file")
    refused(tmp_path, "no regular file")
    for name in ("text.mp4", "text.gif"):
        (tmp_path / name).write_text("hello, this is text and no video\n" * 50)
        refused(tmp_path / name, name, "no video")
    (tmp_path / "cut.gif").write_bytes((folder / "a.gif").read_bytes()[:40])
    refused(tmp_path / "cut.gif", "cut.gif")
    (tmp_path / "cut.mp4").write_bytes((folder / "a.mp4").read_bytes()[:300])
    refused(tmp_path / "cut.mp4", "cut.mp4")
    monkeypatch.setattr(module, "MAXIMUM_PIXELS", 100)
    refused(folder / "a.mp4", "megapixels")


def test_a_list_of_other_files_is_not_followed(folder, tmp_path):
    playlist = tmp_path / "list.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{folder / 'a.mp4'}\n#EXT-X-ENDLIST\n")
    refused(playlist, "no video")
    playlist.write_text(f"ffconcat version 1.0\nfile '{folder / 'a.mp4'}'\n")
    refused(playlist, "no video")


def test_a_video_without_pyav_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    refused(folder / "a.mp4", 'pip install "dinoclip-viz[video]"')
    assert len(list(frames(folder / "a.gif"))) == 5


def test_numbers_below_one_are_refused_at_once(folder):
    for settings in ({"most": 0}, {"every": 0}):
        with pytest.raises(ValueError, match="1 or more"):
            frames(folder / "a.gif", **settings)
