"""`dinoclip match` and `dinoclip evaluate correspondence`."""

import json

import pytest
from PIL import Image


def test_match_writes_an_image_and_tells_the_places(dinoclip, scenes, tmp_path):
    out = tmp_path / "new" / "match.png"
    done = dinoclip("match", scenes[0], scenes[1], "--out", out, "--count", "12", "--json")
    assert (done.code, done.err) == (0, "")
    found = done.json
    assert len(found["a"]) == len(found["b"]) == len(found["similarity"]) <= 12
    assert all(0 <= value <= 96 for point in found["a"] + found["b"] for value in point)
    assert found["similarity"] == sorted(found["similarity"], reverse=True)
    assert Image.open(out).width > 1024
    assert ("shortfall" in found) == (len(found["a"]) < 12)


def test_match_answers_people_in_three_lines_at_most(dinoclip, scenes, tmp_path):
    done = dinoclip("match", scenes[0], scenes[0], "--out", tmp_path / "m.png", "--count", 5)
    assert done.out.splitlines()[0].startswith("5 matches of ")
    assert done.out.splitlines()[-1] == f"wrote {tmp_path / 'm.png'}"


def test_each_option_changes_the_answer(dinoclip, scenes, tmp_path):
    def found(*options):
        out = tmp_path / "m.png"
        done = dinoclip("match", scenes[0], scenes[1], "--out", out, "--count", 8, "--json", *options)
        assert done.code == 0, done.err
        return done.json, Image.open(out).size

    plain, size = found()
    everywhere, _ = found("--all")
    assert everywhere["compared"] == [144, 144] and plain["compared"] != [144, 144]
    assert found("--size", 192)[0]["a"] != plain["a"]
    assert found("--debias", 10)[0]["similarity"] != plain["similarity"]
    assert found("--encoder", "pixels")[0]["similarity"] != plain["similarity"]
    dense, taller = found("--dense")
    assert len(dense["explained_variance"]) == 3 and taller[1] > size[1] + 400


def test_match_says_what_it_cannot_use(dinoclip, scenes, tmp_path):
    out = ["--out", tmp_path / "m.png"]
    dinoclip("match", tmp_path / "none.png", scenes[0], *out).refused("none.png", "no such file")
    dinoclip("match", scenes[0], scenes[1], *out, "--debias", 500).refused("500 directions", "expected 1 to 127")
    dinoclip("match", scenes[0], scenes[1], *out, "--encoder", "dinov2-smal").refused("dinov2-small")
    dinoclip("match", scenes[0], scenes[1], *out, "--size", 4).refused("4 pixels")
    assert not (tmp_path / "m.png").exists()


def test_the_encoders_are_measured_side_by_side(dinoclip):
    done = dinoclip("evaluate", "correspondence", "--data", "playground:1530:3", "--size", 96, "--json")
    assert done.code == 0
    answer = done.json
    assert (answer["data"], answer["pairs"]) == ("playground:1530:3", 3)
    assert [row["encoder"] for row in answer["results"]] == ["playground-dino", "random:playground-dino", "pixels"]
    for row in answer["results"]:
        assert 0 <= row["same_part"] <= row["on_object"] <= 1 and 0 <= row["chance"] <= 1
        assert set(row["pck"]) == {"per_point", "per_image"}
        shares = list(row["pck"]["per_point"].values())
        assert shares == sorted(shares)


def test_classes_are_told_apart_in_a_table(dinoclip):
    words = ["evaluate", "correspondence", "--data", "playground:1530:3", "--size", 96, "--encoder", "pixels"]
    done = dinoclip(*words, "--per-class")
    lines = done.out.splitlines()
    assert done.code == 0 and lines[0] == "playground:1530:3: 3 pairs"
    assert lines[1].split()[:2] == ["encoder", "pairs"] and "PCK@.05" in lines[1]
    assert len(lines) > 5
    told = dinoclip(*words, "--per-class", "--json").json["results"][0]
    assert sum(row["pairs"] for row in told["per_class"]) == told["pairs"] == 3
    assert sum(row["points"] for row in told["per_class"]) == told["points"]


@pytest.fixture
def spair(tmp_path, scenes):
    """Two pairs in SPair-71k's layout, the second with an image that is missing."""
    keys = ["000001-000000-000001:cat", "000002-000000-gone:cat"]
    for place in ("Layout/large", "PairAnnotation/test", "JPEGImages/cat"):
        (tmp_path / place).mkdir(parents=True)
    for scene in scenes[:2]:
        Image.open(scene).save(tmp_path / "JPEGImages" / "cat" / f"{scene.stem}.jpg")
    (tmp_path / "Layout" / "large" / "test.txt").write_text("\n".join(keys))
    for key in keys:
        first, second = key.partition(":")[0].split("-")[1:]
        row = {"src_imname": f"{first}.jpg", "trg_imname": f"{second}.jpg", "category": "cat"}
        row |= {"src_kps": [[40, 40], [50, 60]], "trg_kps": [[42, 40], [48, 60]]}
        row |= {"src_bndbox": [20, 20, 70, 80], "trg_bndbox": [20, 20, 80, 80]}
        (tmp_path / "PairAnnotation" / "test" / f"{key}.json").write_text(json.dumps(row))
    return tmp_path


def test_spair_is_measured_by_its_keypoints_and_what_fails_is_listed(dinoclip, spair):
    done = dinoclip("evaluate", "correspondence", "--data", spair, "--encoder", "playground-dino", "--json")
    assert done.code == 1
    answer = done.json
    (row,) = answer["results"]
    assert row["points"] == 2 and "same_part" not in row and "gone.jpg" in answer["failed"][0]["error"]
    assert answer["failed"][0]["pair"] == "000002-000000-gone:cat"
    told = dinoclip("evaluate", "correspondence", "--data", spair, "--encoder", "pixels", "--limit", 1)
    assert told.code == 0 and "-" in told.out.splitlines()[2].split()


def test_evaluate_says_what_it_cannot_use(dinoclip, spair):
    verb = ["evaluate", "correspondence", "--encoder", "pixels"]
    dinoclip(*verb, "--data", "playground:5").refused("playground:SEED:PAIRS")
    dinoclip(*verb, "--data", "nowhere").refused("nowhere", "no such folder")
    dinoclip(*verb, "--data", spair, "--split", "train").refused("trn, val, test")
    dinoclip(*verb, "--data", "playground:1530:2", "--split", "test").refused("no splits")
    dinoclip(*verb[:2], "--encoder", "dinov2-smal").refused("dinov2-small")


def test_sharp_draws_the_dense_maps(dinoclip, scenes, tmp_path):
    words, out = ("match", scenes[0], scenes[1], "--count", 4, "--out"), tmp_path / "m.png"
    assert dinoclip(*words, out, "--dense").code == 0
    plain = Image.open(out).tobytes()
    assert dinoclip(*words, out, "--dense", "--sharp").code == 0
    assert len(Image.open(out).tobytes()) == len(plain) and Image.open(out).tobytes() != plain
    dinoclip(*words, out, "--sharp").refused("--sharp draws the maps of --dense")
