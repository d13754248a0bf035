"""`dinoclip search` and `dinoclip dedupe`."""

import csv
import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.data import PlaygroundSource
from dinoclip_viz.pipeline import embed

COUNT = 24


@pytest.fixture(scope="session")
def stores(tmp_path_factory):
    """A folder of two stores over the same playground scenes."""
    folder = tmp_path_factory.mktemp("searched")
    embed(PlaygroundSource(2000, COUNT), ["playground-dino", "playground-clip"], folder)
    return folder


@pytest.fixture
def copied(stores, tmp_path):
    """The DINO's store, free to be damaged."""
    return shutil.copytree(stores / "playground-dino", tmp_path / "copied")


@pytest.fixture
def images(tmp_path):
    """Two of the scenes as files."""
    folder = tmp_path / "examples"
    folder.mkdir()
    for sample in list(PlaygroundSource(2000, 8).samples())[6:]:
        sample.load().save(folder / f"{sample.key}.png")
    return folder


@pytest.mark.parametrize("encoder", ["playground-dino", "playground-clip"])
def test_search_by_text_takes_the_model_that_fits(dinoclip, stores, encoder):
    done = dinoclip("search", stores, "--encoder", encoder, "--text", "a red car", "-k", 5, "--json")
    assert (done.code, done.err) == (0, "")
    assert list(done.json) == ["results", "query"]
    assert done.json["query"] == {"text": "a red car"}
    rows = done.json["results"]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    assert list(rows[0]) == ["rank", "row", "key", "image_path", "caption", "score"]
    assert rows[0]["key"] == f"2000-{rows[0]['row']:06d}" and rows[0]["caption"]
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)


def test_search_by_image_finds_the_image_itself(dinoclip, stores, images):
    store, image = stores / "playground-dino", images / "2000-000007.png"
    for extra in ([], ["--model", "playground"]):
        done = dinoclip("search", store, "--image", image, "-k", 3, "--json", *extra)
        assert (done.code, done.json["results"][0]["row"]) == (0, 7)
        assert done.json["query"] == {"image": str(image)}


def test_search_like_examples_lists_those_that_cannot_be_read(dinoclip, stores, images):
    (images / "broken.png").write_text("no image")
    done = dinoclip("search", stores / "playground-clip", "--like", images, "-k", 2, "--json")
    assert done.code == 1
    assert sorted(row["row"] for row in done.json["results"]) == [6, 7]
    assert [row["image"] for row in done.json["failed"]] == [str(images / "broken.png")]


def test_more_than_there_are_gives_all(dinoclip, stores):
    done = dinoclip("search", stores / "playground-dino", "--text", "a cat", "-k", 1000, "--json")
    assert sorted(row["row"] for row in done.json["results"]) == list(range(COUNT))


def test_search_as_text_is_a_line_an_image(dinoclip, stores):
    done = dinoclip("search", stores / "playground-dino", "--text", "a cat", "-k", 3)
    assert (done.code, len(done.out.splitlines()), done.err) == (0, 3, "")


def test_the_contact_sheet_draws_scenes_again_and_grey_tiles_for_lost_files(dinoclip, stores, images, tmp_path):
    out = tmp_path / "sheet.png"
    words = ["--text", "a cat", "-k", 6, "--out", out]
    assert dinoclip("search", stores / "playground-dino", *words).code == 0
    assert Image.open(out).width == 12 + 5 * 172
    embed(images, "playground-dino", tmp_path / "files")
    for file in images.iterdir():
        file.unlink()
    done = dinoclip("search", tmp_path / "files", *words, "--json")
    assert done.json["results"][0]["image_path"].endswith(".png")
    assert Image.open(out).getpixel((20, 20)) == (200, 200, 200)


def test_the_approximate_search_tells_its_recall(dinoclip, stores):
    pytest.importorskip("faiss")
    words = ["search", stores / "playground-dino", "--text", "a cat", "-k", 5]
    exact, found = dinoclip(*words, "--json"), dinoclip(*words, "--ann", "--json")
    assert found.json["recall_against_exact"] == 1
    assert [row["row"] for row in found.json["results"]] == [row["row"] for row in exact.json["results"]]
    assert "recall" in dinoclip(*words, "--ann").out.splitlines()[-1]


def test_without_faiss_the_extra_is_named(dinoclip, stores, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    done = dinoclip("search", stores / "playground-dino", "--text", "a cat", "--ann")
    done.refused('pip install "dinoclip-viz[ann]"')


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--text", "a cat", "-k", "0"], "expected 1 or more"),
        (["--text", "a cat", "-k", "many"], "-k"),
        (["--text", " "], "--text is empty"),
        ([], "--text"),
        (["--text", "a cat", "--image", "cat.png"], "not allowed with"),
        (["--text", "a cat", "--encoder", "playground-clip"], "expected playground-clip"),
        (["--text", "a cat", "--model", "playground-clip"], "different spaces"),
        (["--text", "a cat", "--model", "./no-folder"], "no-folder"),
        (["--text", "a cat", "--out", "sheet.txt"], "sheet.txt"),
        (["--image", "no-file.png"], "no-file.png"),
        (["--like", "no-folder"], "no-folder"),
    ],
)
def test_search_says_what_it_cannot_use(dinoclip, stores, words, told):
    dinoclip("search", stores / "playground-dino", *words).refused(told)


def test_search_says_what_is_wrong_with_images_and_folders(dinoclip, stores, tmp_path):
    store, broken = stores / "playground-dino", tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    dinoclip("search", store, "--image", broken).refused("broken.png")
    dinoclip("search", store, "--like", tmp_path).refused("broken.png")
    broken.unlink()
    dinoclip("search", store, "--like", tmp_path).refused("holds no images")


@pytest.mark.parametrize("verb", [["search", "--text", "a cat"], ["dedupe", "--above", ".9"]])
def test_a_store_that_cannot_be_searched_is_told(dinoclip, stores, copied, tmp_path, verb):
    dinoclip(verb[0], tmp_path / "none", *verb[1:]).refused("there is no folder")
    dinoclip(verb[0], stores, *verb[1:]).refused("holds 2 stores")
    file = copied / "img_emb" / "img_emb_0.npy"
    rows = np.load(file)
    rows[3, 0] = np.nan
    np.save(file, rows)
    dinoclip(verb[0], copied, *verb[1:]).refused("NaN or infinite", "row 3")


def test_a_dino_without_a_projector_asks_for_a_model(dinoclip, copied):
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["settings"] |= dict.fromkeys(("encoder", "space", "patch_space"), "dinov2-small")
    (copied / "manifest.json").write_text(json.dumps(manifest))
    dinoclip("search", copied, "--text", "a cat").refused("dinov2-small", "reads no text", "--model")


def test_dedupe_finds_copies(dinoclip, copied, tmp_path):
    file = copied / "img_emb" / "img_emb_0.npy"
    rows = np.load(file)
    rows[9] = rows[2]
    np.save(file, rows)
    out, sheet = tmp_path / "groups.json", tmp_path / "groups.csv"
    done = dinoclip("dedupe", copied, "--above", ".9999", "--out", out, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json == {
        "images": COUNT,
        "groups": [{"keep": "2000-000002", "duplicates": [{"key": "2000-000009", "similarity": 1.0}]}],
        "duplicates": 1,
    }
    assert json.loads(out.read_text()) == done.json
    done = dinoclip("dedupe", copied, "--above", ".9999", "--out", sheet)
    assert done.out.splitlines() == [
        "keep 2000-000002: 2000-000009",
        "1 of 24 images are near duplicates of others",
    ]
    with sheet.open(newline="") as opened:
        assert [row["duplicate"] for row in csv.DictReader(opened)] == ["2000-000009"]


def test_dedupe_of_different_images_finds_none(dinoclip, stores):
    done = dinoclip("dedupe", stores, "--encoder", "playground-dino", "--above", ".9999", "--json")
    assert done.json == {"images": COUNT, "groups": [], "duplicates": 0}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "--above"),
        (["--above", "1"], "no cosine below 1"),
        (["--above", "nan"], "no cosine"),
        (["--above", "much"], "--above"),
        (["--above", ".9", "--out", "groups.txt"], "groups.txt"),
        (["--above", ".9", "--out", "no-folder/groups.csv"], "no-folder"),
    ],
)
def test_dedupe_says_what_it_cannot_use(dinoclip, stores, words, told):
    dinoclip("dedupe", stores / "playground-dino", *words).refused(told)
