"""`dinoclip propagate`."""

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz import playground


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A drawn clip as frames, as a GIF and as a video, and the mask of its first frame."""
    place = tmp_path_factory.mktemp("clip")
    (place / "frames").mkdir()
    frames = list(playground.clip(1520, frames=5, size=96, objects=2, index=2))
    for number, frame in enumerate(frames):
        frame.image.save(place / "frames" / f"{number:05d}.png")
    first, *rest = (frame.image for frame in frames)
    first.save(place / "clip.gif", save_all=True, append_images=rest, duration=200)
    first.save(place / "clip.png", save_all=True, append_images=rest, duration=200)
    first.save(place / "still.png")
    Image.fromarray(frames[0].instances).save(place / "mask.png")
    Image.fromarray(frames[0].instances[:50]).save(place / "small.png")
    Image.fromarray(np.zeros((96, 96), np.uint8)).save(place / "empty.png")
    return place


def test_masks_and_points_are_followed_into_a_clip(dinoclip, folder, tmp_path):
    out, masks = tmp_path / "new" / "out.gif", tmp_path / "masks"
    words = ("--mask", folder / "mask.png", "--point", "48,48", "--point", "20.5,60", "--masks", masks, "--out", out)
    done = dinoclip("propagate", folder / "clip.gif", *words, "--json")
    assert done.code == 0, done.err
    found = done.json
    assert (found["frames"], found["objects"], found["seconds"]) == (5, 2, 0.2)
    assert np.array(found["points"]).shape == (5, 2, 2) and np.array(found["similarity"]).shape == (5, 2)
    assert found["points"][0] == [[48, 48], [20.5, 60]]
    with Image.open(out) as clip:
        assert (clip.n_frames, clip.size, clip.info["duration"]) == (5, (384, 384), 200)
    assert sorted(file.name for file in masks.iterdir()) == [f"{number:05d}.png" for number in range(5)]
    written = [Image.open(masks / f"{number:05d}.png") for number in range(5)]
    assert np.array_equal(np.asarray(written[0]), np.asarray(Image.open(folder / "mask.png")))
    for image, areas in zip(written, found["areas"], strict=True):
        assert image.mode == "P" and image.size == (96, 96)
        values = np.asarray(image)
        assert areas == {str(label): float((values == label).mean()) for label in (1, 2)}
    assert not np.array_equal(np.asarray(written[0]), np.asarray(written[4]))


def test_a_folder_of_frames_gives_the_same_and_is_written_as_frames(dinoclip, folder, tmp_path):
    found = {}
    for name in ("frames", "clip.png"):
        out = tmp_path / name.replace(".", "-")
        done = dinoclip("propagate", folder / name, "--point", "48,48", "--out", out, "--json")
        assert done.code == 0, done.err
        found[name] = done.json
        assert sorted(file.name for file in out.iterdir()) == [f"{number:05d}.png" for number in range(5)]
        assert "areas" not in done.json
    assert found["frames"]["points"] == found["clip.png"]["points"]
    marked, plain = (np.asarray(Image.open(path)) for path in (out / "00000.png", folder / "frames" / "00000.png"))
    assert marked.shape == (384, 384, 3) and plain.shape == (96, 96, 3)


def test_a_video_is_written(dinoclip, folder, tmp_path):
    av = pytest.importorskip("av")
    out = tmp_path / "out.mp4"
    done = dinoclip("propagate", folder / "clip.gif", "--mask", folder / "mask.png", "--out", out, "--seconds", 0.5)
    assert done.code == 0, done.err
    assert done.out.splitlines() == ["5 frames, 2 objects", f"wrote {out}"]
    with av.open(str(out)) as clip:
        assert len(list(clip.decode(video=0))) == 5 and clip.streams.video[0].average_rate == 2


def test_each_option_changes_the_answer(dinoclip, folder, tmp_path):
    def found(*options):
        words = ("propagate", folder / "frames", "--mask", folder / "mask.png", "--point", "40,52")
        done = dinoclip(*words, "--out", tmp_path / "out", "--json", *options)
        assert done.code == 0, done.err
        return done.json

    plain = found()
    assert "point 1" not in str(plain) and plain["points"] == found()["points"]
    for options in (
        ("--size", 128), ("--topk", 1), ("--temperature", 1), ("--neighbourhood", 1), ("--encoder", "pixels"),
    ):  # fmt: skip
        assert found(*options)["points"] != plain["points"], options
    assert found("--context", 0)["points"] != plain["points"]
    smooth = found("--sharp", "bilinear")
    assert smooth["areas"] != plain["areas"] and smooth["points"] == plain["points"]
    assert found("--frames", 3)["frames"] == 3 and found("--every", 2)["frames"] == 3


def test_what_cannot_be_used_is_one_line(dinoclip, folder, tmp_path):
    clip, out = folder / "clip.gif", ["--out", tmp_path / "out.gif"]
    dinoclip("propagate", clip, *out).refused("neither --mask nor --point")
    dinoclip("propagate", clip, *out, "--point", "48").refused("'48' is no point; expected X,Y in pixels")
    dinoclip("propagate", clip, *out, "--point", "100,5").refused("(100, 5)", "from 0 to 96")
    dinoclip("propagate", clip, *out, "--mask", folder / "small.png").refused("(50, 96)", "height 96 and width 96")
    dinoclip("propagate", clip, *out, "--mask", folder / "empty.png").refused("background only")
    dinoclip("propagate", clip, *out, "--mask", folder / "still.png").refused("in colours", "one number per pixel")
    dinoclip("propagate", clip, *out, "--mask", folder / "none.png").refused("none.png", "no such file")
    dinoclip("propagate", clip, *out, "--point", "4,5", "--masks", tmp_path / "m").refused("add --mask FILE")
    dinoclip("propagate", folder / "still.png", *out, "--point", "4,5").refused("two frames or more")
    dinoclip("propagate", tmp_path / "none.mp4", *out, "--point", "4,5").refused("none.mp4", "no such file")
    dinoclip("propagate", clip, "--point", "4,5", "--out", tmp_path / "o.png").refused("no clip", ".gif or .mp4")
    dinoclip("propagate", clip, "--point", "4,5", "--out", tmp_path / "o", "--seconds", 1).refused("omit it")
    dinoclip("propagate", clip, *out, "--point", "4,5", "--temperature", 0).refused("above 0")
    dinoclip("propagate", clip, *out, "--point", "4,5", "--encoder", "dinov2-smal").refused("dinov2-small")
    assert list(tmp_path.iterdir()) == []
