"""`dinoclip evaluate propagation`."""

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz import playground


@pytest.fixture
def davis(tmp_path):
    """A clip of two objects that move by two pixels per frame, in DAVIS' folders, and one with a broken mask."""
    (tmp_path / "ImageSets" / "2017").mkdir(parents=True)
    (tmp_path / "ImageSets" / "2017" / "val.txt").write_text("good\nbroken\n")
    for key in ("good", "broken"):
        for part in ("JPEGImages", "Annotations"):
            (tmp_path / part / "480p" / key).mkdir(parents=True)
        for number, frame in enumerate(playground.clip(1520, 5, 96, objects=2, index=2)):
            frame.image.save(tmp_path / "JPEGImages" / "480p" / key / f"{number:05d}.jpg")
            Image.fromarray(frame.instances).save(tmp_path / "Annotations" / "480p" / key / f"{number:05d}.png")
    (tmp_path / "Annotations" / "480p" / "broken" / "00003.png").write_bytes(b"no image")
    return tmp_path


def test_encoders_are_measured_next_to_the_first_mask(dinoclip):
    done = dinoclip("evaluate", "propagation", "playground:1530:2", "--frames", 5, "--per-clip", "--json")
    assert done.code == 0, done.err
    answer = done.json
    assert (answer["data"], answer["clips"]) == ("playground:1530:2", 2)
    assert (answer["settings"]["topk"], answer["settings"]["context"]) == (5, 7)
    names = ["first mask repeated", "playground-dino", "random:playground-dino"]
    assert [row["method"] for row in answer["results"]] == names
    for row in answer["results"]:
        assert row["j_and_f"] == pytest.approx((row["j_mean"] + row["f_mean"]) / 2)
        assert 0 <= row["j_recall"] <= 1 and -1 <= row["j_decay"] <= 1
        assert len(row["per_clip"]) == 2 and row["positions"] > 0 and 0 <= row["points_within"] <= 1
    repeated, found, _ = answer["results"]
    assert found["j_and_f"] > repeated["j_and_f"] and found["device"] == "cpu" and "device" not in repeated


def test_davis_is_measured_without_points_and_what_fails_is_listed(dinoclip, davis):
    done = dinoclip("evaluate", "propagation", davis, "--encoder", "playground-dino", "--json")
    assert done.code == 1
    answer = done.json
    assert answer["clips"] == 1 and answer["failed"][0]["clip"] == "broken"
    assert "00003.png" in answer["failed"][0]["error"]
    row = answer["results"][1]
    assert row["objects"] == 2 and "point_error" not in row
    truth = [frame.instances for frame in playground.clip(1520, 5, 96, objects=2, index=2)]
    expected = [
        np.mean(
            [((truth[0] == k) & (truth[t] == k)).sum() / ((truth[0] == k) | (truth[t] == k)).sum() for t in (1, 2, 3)]
        )
        for k in (1, 2)
    ]
    assert answer["results"][0]["j_mean"] == pytest.approx(np.mean(expected))


def test_the_table_is_for_people(dinoclip, davis):
    done = dinoclip("evaluate", "propagation", davis, "--encoder", "pixels", "--limit", 1, "--size", 48)
    lines = done.out.splitlines()
    assert done.code == 0 and lines[0].endswith("(val): 1 clips, 2 objects")
    assert lines[1].split()[:3] == ["method", "J&F", "J"] and lines[2].startswith("first mask repeated")
    assert "point" not in done.out
    drawn = dinoclip("evaluate", "propagation", "playground:1530:1", "--frames", 3, "--encoder", "pixels", "--per-clip")
    assert "point error" in drawn.out and "1530-000000" in drawn.out


def test_what_cannot_be_used_is_one_line(dinoclip, davis):
    verb = ["evaluate", "propagation"]
    dinoclip(*verb, "playground:5").refused("playground:SEED:CLIPS")
    dinoclip(*verb, "nowhere").refused("nowhere", "no such folder")
    dinoclip(*verb, davis, "--split", "test").refused("no such split; expected one of val")
    dinoclip(*verb, davis, "--frames", 5).refused("omit both")
    dinoclip(*verb, "playground:1530:1", "--frames", 2).refused("3 or more")
    dinoclip(*verb, "playground:1530:1", "--frames", 3, "--encoder", "pixels", "--size", 4).refused("4 pixels")
    dinoclip(*verb, "playground:1530:1", "--context", -1).refused("expected 0 or more")
