"""`dinoclip report`: its answers, its options, and what it refuses."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture
def folder(scenes, tmp_path):
    home = tmp_path / "photos"
    home.mkdir()
    for path in scenes:
        shutil.copy(path, home)
    return home


def test_a_report_is_written_and_described(dinoclip, folder, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\n")
    out = tmp_path / "new" / "report.html"
    options = ["--labels", labels, "--prompt", "a cat", "--prompts", "grass", "a tree", "--title", "Four scenes"]
    done = dinoclip("report", folder, "--out", out, *options, "--pairs", "000000.png", "000001.png", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert (found["out"], found["images"], found["total"]) == (str(out), 4, 4)
    assert found["bytes"] == out.stat().st_size and found["seconds"] > 0
    assert found["sections"] == ["images", "zero-shot", "pca", "heat", "neighbours", "pairs", "map", "settings"]
    assert (found["device"], found["dtype"]) == ("cpu", "float32")
    page = out.read_text(encoding="utf-8")
    assert "<h1>Four scenes</h1>" in page
    assert all(f">{prompt} <" in page for prompt in ("a cat", "grass", "a tree"))
    assert "dinoclip report photos --model playground --labels cat,dog" in page
    text = dinoclip("report", folder, "--out", out)
    assert "4 images in" in text.out and f"wrote {out}" in text.out
    assert "playground knows the playground's synthetic scenes only" in text.err


def test_images_that_fail_are_listed_and_the_exit_code_is_one(dinoclip, folder, tmp_path):
    (folder / "broken.png").write_bytes(b"no image")
    done = dinoclip("report", folder, "--out", tmp_path / "r.html", "--json")
    assert done.code == 1
    (failure,) = done.json["failed"]
    assert failure["image"] == "broken.png" and "broken.png: found" in failure["error"]
    assert str(folder) not in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_levels_reach_the_images(dinoclip, tmp_path):
    import numpy as np
    from PIL import Image

    folder = tmp_path / "deep"
    folder.mkdir()
    for number in range(2):
        ramp = np.arange(96 * 96, dtype=np.uint16).reshape(96, 96) * (number + 1) // 4
        Image.fromarray(ramp).save(folder / f"{number}.png")
    pages = []
    for levels in ("0,4095", "0,8190"):
        assert dinoclip("report", folder, "--out", tmp_path / "r.html", "--levels", levels).code == 0
        pages.append((tmp_path / "r.html").read_text(encoding="utf-8"))
    sheets = [page[page.index('id="image-0"') : page.index('id="image-1"')] for page in pages]
    assert sheets[0] != sheets[1] and "0, 4095" in pages[0]


def test_wrong_words_are_refused_in_one_line(dinoclip, folder, tmp_path):
    out = tmp_path / "r.html"
    empty = tmp_path / "empty"
    empty.mkdir()
    dinoclip("report", empty, "--out", out).refused("no images in this folder")
    dinoclip("report", tmp_path / "gone", "--out", out).refused("no such folder")
    dinoclip("report", folder, "--out", tmp_path / "r.pdf").refused("no HTML file", ".html")
    dinoclip("report", folder, "--out", tmp_path).refused("a folder")
    dinoclip("report", folder, "--out", out, "--labels", "cat").refused("'cat' alone")
    dinoclip("report", folder, "--out", out, "--method", "sclip").refused("--prompt")
    dinoclip("report", folder, "--out", out, "--pairs", "000000.png", "x.png").refused("no image x.png", ".png")
    dinoclip("report", folder, "--out", out, "--max-images", "3000").refused("1 to 2000")
    dinoclip("report", folder, "--out", out, "--model", "no-such-model").refused("no-such-model")
    file = tmp_path / "file"
    file.write_text("")
    dinoclip("report", folder, "--out", file / "r.html").refused("file")
    assert not out.exists()


def test_what_the_options_accept_is_what_the_function_accepts():
    from dinoclip_viz.cli import report as verb
    from dinoclip_viz.cli.parser import build_parser
    from dinoclip_viz.report.making import SUFFIXES
    from dinoclip_viz.report.settings import MAX_IMAGES
    from dinoclip_viz.tasks.embedding_map import METHODS

    assert (verb.PROJECTIONS, verb.SUFFIXES) == (METHODS, SUFFIXES)
    assert build_parser().parse_args(["report", "x", "--out", "r.html"]).max_images == MAX_IMAGES
