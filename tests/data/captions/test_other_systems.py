"""Lists and shards from other systems: backslashes, other encodings, unknown extensions."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from dinoclip_viz.data import open_source
from dinoclip_viz.data.base import SourceError


def image(path: Path, colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3), colour).save(path, "PNG")
    return path


LISTS = {
    "list.csv": "image,caption\nimages\\cats\\1.png,a cat\n",
    "plain.csv": "images\\cats\\1.png,a cat\n",
    "list.tsv": "images\\cats\\1.png\ta cat\n",
    "list.json": json.dumps([{"image": "images\\cats\\1.png", "caption": "a cat"}]),
    "pairs.json": json.dumps({"images\\cats\\1.png": "a cat"}),
    "list.jsonl": json.dumps({"image": "images\\cats\\1.png", "caption": "a cat"}) + "\n",
    "coco.json": json.dumps(
        {"images": [{"id": 1, "file_name": "cats\\1.png"}], "annotations": [{"image_id": 1, "caption": "a cat"}]}
    ),
    "karpathy.json": json.dumps(
        {"images": [{"filename": "cats\\1.png", "split": "test", "sentences": [{"raw": "a cat"}]}]}
    ),
}


@pytest.mark.parametrize("name", LISTS)
def test_backslashes_separate_folders_on_every_system(name, tmp_path):
    image(tmp_path / "images" / "cats" / "1.png")
    (tmp_path / name).write_text(LISTS[name])
    (sample,) = open_source(tmp_path / name).samples()
    assert (sample.load().size, sample.captions) == ((4, 3), ("a cat",))


def test_a_file_of_that_very_name_comes_first(tmp_path):
    image(tmp_path / "cats\\1.png", "blue")
    image(tmp_path / "cats" / "1.png", "red")
    (tmp_path / "list.csv").write_text("image,caption\ncats\\1.png,a cat\n")
    (sample,) = open_source(tmp_path / "list.csv").samples()
    assert sample.load().getpixel((0, 0)) == (0, 0, 255)


TEXTS = {
    "list.csv": "image,caption\n1.png,ein Kätzchen\n",
    "list.tsv": "1.png\tein Kätzchen\n",
    "list.json": json.dumps([{"image": "1.png", "caption": "ein Kätzchen"}], ensure_ascii=False),
    "list.jsonl": json.dumps({"image": "1.png", "caption": "ein Kätzchen"}, ensure_ascii=False) + "\n",
    "results.token": "1.png#0\tein Kätzchen\n",
    "coco.json": json.dumps(
        {"images": [{"id": 1, "file_name": "1.png"}], "annotations": [{"image_id": 1, "caption": "ein Kätzchen"}]},
        ensure_ascii=False,
    ),
}


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8-sig"])
@pytest.mark.parametrize("name", TEXTS)
def test_a_list_is_read_in_the_encoding_that_is_given(name, encoding, tmp_path):
    image(tmp_path / "1.png")
    (tmp_path / name).write_text(TEXTS[name], encoding=encoding)
    (sample,) = open_source(tmp_path / name, encoding=encoding).samples()
    assert sample.captions == ("ein Kätzchen",)


@pytest.mark.parametrize("name", TEXTS)
def test_a_list_that_is_not_utf8_names_the_option(name, tmp_path):
    image(tmp_path / "1.png")
    (tmp_path / name).write_text(TEXTS[name], encoding="latin-1")
    with pytest.raises(ValueError, match=r"not UTF-8 text.*such as --encoding latin-1") as caught:
        next(iter(open_source(tmp_path / name).samples())).load()
    assert "\n" not in str(caught.value) and name in str(caught.value)
    (tmp_path / name).write_text(TEXTS[name], encoding="utf-16")
    with pytest.raises(SourceError, match="UTF-16 text, not UTF-8; give its encoding, --encoding utf-16"):
        open_source(tmp_path / name)


def test_the_invalid_byte_is_counted(tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"1.png": "K\xe4tzchen"}')
    with pytest.raises(SourceError, match=r"a\.json: not UTF-8 text at byte 12; give its encoding"):
        open_source(tmp_path / "a.json")


def test_texts_next_to_images_are_read_in_the_encoding(tmp_path):
    for folder in ("plain", "parts/train"):
        image(tmp_path / folder / "1.png")
        (tmp_path / folder / "1.txt").write_text("ein Kätzchen", encoding="latin-1")
    (tmp_path / "parts" / "train" / "metadata.csv").write_text("file_name,text\n1.png,ein Kätzchen", encoding="latin-1")
    for folder in ("plain", "parts"):
        (sample,) = open_source(tmp_path / folder, encoding="latin-1").samples()
        assert sample.captions == ("ein Kätzchen",)
        for encoding, words in (("utf-8", "not UTF-8 text.*--encoding"), ("utf-16", "not utf-16 text|UTF-16 stream")):
            with pytest.raises(ValueError, match=words):
                [sample.load() for sample in open_source(tmp_path / folder, encoding=encoding).samples()]


def test_captions_in_a_tar_are_read_in_the_encoding(tmp_path):
    path = tar(tmp_path / "a.tar", {"1.png": image(tmp_path / "1.png").read_bytes(), "1.txt": b"ein K\xe4tzchen"})
    (sample,) = open_source(path, encoding="latin-1").samples()
    assert sample.captions == ("ein Kätzchen",)
    (sample,) = open_source(path).samples()
    with pytest.raises(ValueError, match="not UTF-8 text; give its encoding, such as --encoding latin-1"):
        sample.load()
    (sample,) = open_source(path, encoding="ascii").samples()
    with pytest.raises(ValueError, match="captions that are not ascii text"):
        sample.load()


@pytest.mark.parametrize("name", ["playground:1:2", "hub:a/b"])
def test_an_encoding_of_what_has_no_text_files_is_refused(name):
    with pytest.raises(SourceError, match="has no text files; omit encoding latin-1"):
        open_source(name, encoding="latin-1")
    open_source(name, encoding="UTF8")


def test_karpathys_folders_from_windows_are_found_in_a_given_folder(tmp_path):
    image(tmp_path / "coco" / "val2014" / "deep" / "1.png")
    row = {"filepath": "val2014\\deep", "filename": "1.png", "split": "test", "sentences": [{"raw": "a cat"}]}
    (tmp_path / "dataset.json").write_text(json.dumps({"images": [row]}))
    (sample,) = open_source(tmp_path / "dataset.json", images=tmp_path / "coco").samples()
    assert sample.load().size == (4, 3)


def test_an_encoding_that_does_not_fit_or_does_not_exist_is_refused(tmp_path):
    image(tmp_path / "1.png")
    (tmp_path / "list.csv").write_text(TEXTS["list.csv"], encoding="latin-1")
    with pytest.raises(SourceError, match=r"not utf-16 text.*--encoding"):
        list(open_source(tmp_path / "list.csv", encoding="utf-16").samples())
    for unknown in ("klingon", "rot13", "base64"):
        with pytest.raises(SourceError, match=f"encoding '{unknown}': unknown"):
            open_source(tmp_path / "list.csv", encoding=unknown)


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def test_a_tar_without_known_extensions_says_which_it_found(tmp_path):
    path = tar(tmp_path / "a.tar", {"1.raw": b"x", "2.raw": b"x", "1.xmp": b"x", "plain": b"x"})
    with pytest.raises(SourceError, match=r"extensions \.raw \(2\), none, \.xmp \(1\); expected images in \.jpg, "):
        open_source(path)


def test_captions_beside_unknown_extensions_say_so(tmp_path):
    (sample,) = open_source(tar(tmp_path / "a.tar", {"1.txt": b"a cat", "1.raw": b"x"})).samples()
    with pytest.raises(ValueError, match=r"captions without an image: found members with the extensions \.raw \(1\)"):
        sample.load()


@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "PPM"])
def test_tars_and_folders_hold_every_format(kind, tmp_path):
    data = io.BytesIO()
    Image.new("RGB", (4, 3), "red").save(data, kind)
    ending = {"TIFF": "tif", "AVIF": "avif", "PPM": "ppm"}[kind]
    (sample,) = open_source(tar(tmp_path / "a.tar", {f"1.{ending}": data.getvalue()})).samples()
    assert sample.load().size == (4, 3)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / f"1.{ending}").write_bytes(data.getvalue())
    (sample,) = open_source(tmp_path / "folder").samples()
    assert sample.load().size == (4, 3)
