"""`dinoclip classify`."""

import json

import pytest

LABELS = "cat,dog,car,house"


def test_classify_gives_each_image_its_probabilities(dinoclip, scenes):
    done = dinoclip("classify", *scenes, "--labels", " cat, dog,car,house", "--json")
    assert (done.code, done.err) == (0, "")
    assert list(done.json) == ["results"]
    assert [row["image"] for row in done.json["results"]] == [str(path) for path in scenes]
    for row in done.json["results"]:
        assert list(row["scores"]) == LABELS.split(",")
        assert sum(row["scores"].values()) == pytest.approx(1, abs=1e-5)
        assert row["label"] == max(row["scores"], key=row["scores"].get)


def test_classify_finds_what_was_drawn(dinoclip, scenes):
    known = json.loads((scenes[0].parent.parent / "scenes.json").read_text())
    done = dinoclip("classify", *scenes, "--labels", ",".join(known["classes"]), "--json")
    truth = [scene["objects"][0]["name"] for scene in known["scenes"]]
    hits = [row["label"] == name for row, name in zip(done.json["results"], truth, strict=True)]
    assert sum(hits) >= 2  # of 4; by luck 1 in 20 each


def test_classify_lists_images_that_failed_and_does_the_rest(dinoclip, scenes, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    done = dinoclip("classify", scenes[0], broken, scenes[1], tmp_path / "none.png", "--labels", LABELS, "--json")
    assert done.code == 1
    assert [row["image"] for row in done.json["results"]] == [str(scenes[0]), str(scenes[1])]
    assert [row["image"] for row in done.json["failed"]] == [str(broken), str(tmp_path / "none.png")]
    assert len(done.err.splitlines()) == 3  # with the line on real models


def test_classify_of_nothing_that_works_ends_with_2(dinoclip, tmp_path):
    dinoclip("classify", tmp_path / "a.png", "--labels", LABELS).refused("a.png", "no such file", "expected")
    dinoclip("classify", tmp_path / "a.png", tmp_path / "b.png", "--labels", LABELS).refused("none of the 2", "a.png")


def test_classify_may_answer_none_of_these(dinoclip, scenes):
    done = dinoclip("classify", scenes[0], "--labels", "cat", "--none", "--json")
    assert list(done.json["results"][0]["scores"]) == ["cat", "none of these"]


def test_classify_as_text_is_a_line_an_image(dinoclip, scenes):
    done = dinoclip("classify", *scenes, "--labels", LABELS)
    assert (done.code, len(done.out.splitlines()), done.err) == (0, 4, "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--labels", "cat"], "--none"),
        (["--labels", "cat,,dog"], "label 2"),
        (["--labels", "cat,cat"], "repeated"),
        (["--labels", "cat,dog", "--template", "a photo"], "{}"),
        (["--labels", "cat,dog", "--temperature", "0"], "temperature"),
        (["--labels", "cat,none of these", "--none"], "none of these"),
        (["--labels", "cat,dog", "--model", "./no-folder"], "no-folder"),
        (["--labels", "cat,dog", "--model", "playground-clipp"], "playground-clip"),
    ],
)
def test_classify_says_what_it_cannot_use(dinoclip, scenes, words, told):
    dinoclip("classify", scenes[0], *words).refused(told)
