"""Animations keep their colours; the legend of parts shows what it was given."""

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz import viz

COLOURS = [(200, 30, 30), (30, 160, 60), (40, 40, 210)]


def frames(size=(33, 20)):
    """A square in constant colour that wanders over a changing ground."""
    made = []
    for index in range(9):
        frame = Image.new("RGB", size, COLOURS[index % 3])
        frame.paste((255, 200, 0), (index, 5, index + 8, 13))
        made.append(frame)
    return made


def test_a_gif_has_one_palette_and_the_same_colours_in_every_frame(tmp_path):
    path = tmp_path / "a.gif"
    assert viz.save_animation((frame for frame in frames()), path, 0.2, frames()[:3]) == 9
    with Image.open(path) as found:
        assert found.n_frames == 9 and found.info["duration"] == 200 and found.info["loop"] == 0
        for index, frame in enumerate(frames()):
            found.seek(index)
            shown = np.asarray(found.convert("RGB")).astype(int)
            assert np.abs(shown - np.asarray(frame).astype(int)).max() <= 8
            assert tuple(shown[8, index + 4]) == (255, 200, 0)


def test_frames_of_another_size_are_fitted_into_the_first(tmp_path):
    path = tmp_path / "a.gif"
    viz.save_animation([Image.new("RGB", (20, 10)), Image.new("RGB", (10, 10), "red")], path)
    with Image.open(path) as found:
        found.seek(1)
        assert found.size == (20, 10)


def test_a_video_is_written_and_read_again(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "a.mp4"
    assert viz.save_animation(frames(), path, 0.2) == 9
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 5
        found = [frame.to_image() for frame in container.decode(video=0)]
    assert len(found) == 9 and found[0].size == (34, 20)
    assert np.abs(np.array(found[4].getpixel((25, 3))) - COLOURS[1]).max() < 25


def test_bad_animations_are_one_line(tmp_path):
    for call, reason in [
        (lambda: viz.save_animation([], tmp_path / "a.gif"), "no images"),
        (lambda: viz.save_animation(frames(), tmp_path / "a.png"), "a.png is not an animation"),
        (lambda: viz.save_animation(frames(), tmp_path / "a.gif", 0), "seconds=0"),
    ]:
        with pytest.raises(ValueError, match=reason):
            call()


def test_the_legend_of_parts_shows_each_colour_and_example():
    examples = [Image.new("RGB", (20, 20), "black"), Image.new("RGB", (20, 10), "blue")]
    legend = viz.parts_legend([(1, 0, 0), (0, 1, 0)], examples, ["a wheel", "a very long name " * 9], [0.6, 0.4])
    pixels = {tuple(value) for value in np.asarray(legend).reshape(-1, 3).tolist()}
    assert legend.width == 768
    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255)} <= pixels
    with pytest.raises(ValueError, match="expected equal numbers"):
        viz.parts_legend([(1, 0, 0)], examples, ["a"], [1.0])
    with pytest.raises(ValueError, match="from 0 to 1"):
        viz.parts_legend([(2, 0, 0)], examples[:1], ["a"], [1.0])
