"""Clips with masks: DAVIS' folders and moving scenes."""

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz import ImageError, playground
from dinoclip_viz.data.base import SourceError
from dinoclip_viz.data.videos import DavisSource, DrawnClips, open_clips, read_objects


@pytest.fixture
def davis(tmp_path):
    """Two drawn clips in DAVIS' folders."""
    (tmp_path / "ImageSets" / "2017").mkdir(parents=True)
    (tmp_path / "ImageSets" / "2017" / "val.txt").write_text("two\none\n")
    (tmp_path / "ImageSets" / "2017" / "train.txt").write_text("one\n")
    for index, key in enumerate(("one", "two")):
        for part in ("JPEGImages", "Annotations"):
            (tmp_path / part / "480p" / key).mkdir(parents=True)
        for number, frame in enumerate(playground.clip(1520, 4, 64, index=index)):
            frame.image.save(tmp_path / "JPEGImages" / "480p" / key / f"{number:05d}.jpg", quality=95)
            mask = Image.fromarray(frame.instances)
            mask.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0, 200, 200, 200, 0])
            mask.save(tmp_path / "Annotations" / "480p" / key / f"{number:05d}.png")
    return tmp_path


def test_davis_is_read_in_the_order_of_its_list(davis):
    source = open_clips(str(davis))
    assert isinstance(source, DavisSource) and source.count == 2 and source.name.endswith("(val)")
    found = list(source.clips())
    assert [(clip.key, clip.count) for clip in found] == [("two", 4), ("one", 4)]
    truth = playground.clip(1520, 4, 64, index=1)
    assert np.array_equal(found[0].mask(3), truth[3].instances)
    assert [image.size for image in found[0].frames()] == [(64, 64)] * 4
    assert np.abs(np.asarray(found[0].image(3)).astype(int) - np.asarray(truth[3].image)).mean() < 6
    assert found[0].follow is None and found[0].points.shape == (0, 2)
    assert [clip.key for clip in open_clips(str(davis), "train").clips()] == ["one"]


def test_what_davis_lacks_is_named(davis, tmp_path_factory):
    with pytest.raises(SourceError, match="no such split; expected one of train, val"):
        open_clips(str(davis), "test")
    with pytest.raises(SourceError, match="no JPEGImages/480p, no Annotations/480p, no ImageSets/2017"):
        open_clips(str(tmp_path_factory.mktemp("empty")))
    with pytest.raises(SourceError, match="omit both"):
        open_clips(str(davis), frames=5)
    (davis / "Annotations" / "480p" / "one" / "00002.png").unlink()
    with pytest.raises(SourceError, match=r"00002\.png: no such file; expected a mask for each frame"):
        DavisSource(davis).clips()
    (davis / "ImageSets" / "2017" / "val.txt").write_text("../one\n")
    with pytest.raises(SourceError, match="expected the names of folders"):
        DavisSource(davis).clips()
    (davis / "ImageSets" / "2017" / "val.txt").write_text("three\n")
    with pytest.raises(SourceError, match="three: no frames"):
        DavisSource(davis).clips()


def test_drawn_clips_have_points_on_their_parts():
    source = open_clips("playground:1520:3", frames=4, size=96)
    assert source == DrawnClips(1520, 3, 4, 96) and source.count == 3
    for index, clip in enumerate(source.clips()):
        truth = playground.clip(1520, 4, 96, index=index)
        assert clip.key == f"1520-{index:06d}" and clip.count == 4
        assert np.array_equal(clip.mask(2), truth[2].instances)
        assert np.array_equal(np.asarray(clip.image(2)), np.asarray(truth[2].image))
        x, y = clip.points.astype(int).T
        assert len(clip.points) and (truth[0].instances[y, x] > 0).all()
        positions, visible = clip.follow(clip.points)
        assert positions.shape == (4, len(clip.points), 2) and visible[0].all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("playground:1", "playground:SEED:CLIPS"), ("playground:1:0", "0 clips"), ("nowhere", "no such folder"),
        ("", "no such folder"), ("playground:a:3", "whole numbers"),
    ],
)  # fmt: skip
def test_what_is_no_source_is_refused(text, words):
    with pytest.raises(SourceError, match=words):
        open_clips(text)


def test_playground_clips_have_no_split_and_three_frames_or_more():
    with pytest.raises(SourceError, match="omit split val"):
        open_clips("playground", "val")
    with pytest.raises(SourceError, match="2 frames; expected 1 or more of 3 or more"):
        open_clips("playground:1:1", frames=2)
    with pytest.raises(SourceError, match="expected 16 to 2048"):
        open_clips("playground:1:1", size=5)


def test_masks_are_indices_grey_or_black_and_white(tmp_path):
    def written(values, mode=None):
        image = Image.fromarray(np.array(values, np.uint8))
        (image.convert(mode) if mode else image).save(tmp_path / "m.png")
        return tmp_path / "m.png"

    assert read_objects(written([[0, 3], [1, 255]])).tolist() == [[0, 3], [1, 0]]  # 255 is unknown
    assert read_objects(written([[0, 255], [255, 0]])).tolist() == [[0, 1], [1, 0]]  # black and white
    assert read_objects(written([[0, 255], [255, 0]], "1")).tolist() == [[0, 1], [1, 0]]
    with pytest.raises(ImageError, match="in colours"):
        read_objects(written([[0, 1]], "RGB"))
    with pytest.raises(ImageError, match="no such file"):
        read_objects(tmp_path / "none.png")
    Image.fromarray(np.array([[0, 300]], np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ImageError, match="the number 300; expected 0 to 255"):
        read_objects(tmp_path / "deep.png")
