"""Folders of images in the layouts that people have them in."""

import json
import os
from pathlib import Path

import pytest

from dinoclip_viz.cli.playground.draw import run as draw_to
from dinoclip_viz.data import FolderSource, SourceError, open_source
from dinoclip_viz.images import ImageError
from dinoclip_viz.playground import draw

REFERENCE = Path(__file__).resolve().parents[3].parent / "shared" / "reference"


def test_images_come_sorted_without_captions_from_folders_within_folders(tmp_path, image, check_source):
    for name in ("b.jpg", "a.PNG", "c/d/e.webp", "c/a.jpg", ".hidden.jpg", ".git/x.jpg"):
        image(tmp_path / name)
    (tmp_path / "notes.md").write_text("no image")
    samples = check_source(FolderSource(tmp_path))
    assert [sample.key for sample in samples] == ["a", "b", "c/a", "c/d/e"]
    assert {(sample.captions, sample.label) for sample in samples} == {((), None)}
    assert FolderSource(tmp_path).count == 4


def test_texts_beside_the_images_are_their_captions(tmp_path, image, check_source):
    image(tmp_path / "a.jpg"), image(tmp_path / "b.jpg"), image(tmp_path / "b.png"), image(tmp_path / "c.jpg")
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\n\r\n two \r\n")
    (tmp_path / "c.txt").write_bytes(b"caf\xe9")
    *samples, bad = check_source(FolderSource(tmp_path), loads=False)
    assert [(sample.key, sample.captions) for sample in samples] == [
        ("a", ("one", "two")),
        ("b.jpg", ()),
        ("b.png", ()),
    ]
    with pytest.raises(ImageError, match=r"c\.txt: not UTF-8"):
        bad.load()


def test_folders_of_classes_are_labels(tmp_path, image, check_source):
    for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg"):
        image(tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert [sample.label for sample in check_source(FolderSource(tmp_path))] == ["cat", "cat", "dog"]
    image(tmp_path / "loose.jpg")
    assert {sample.label for sample in FolderSource(tmp_path).samples()} == {None}


def test_imagenets_own_layout_has_classes_part_by_part(tmp_path, image, check_source):
    for name in (
        "train/n01440764/n01440764_18",
        "train/n01443537/n01443537_2",
        "val/n01440764/ILSVRC2012_val_00000293",
    ):
        written = image(tmp_path / f"{name}.jpg")
        written.rename(written.with_suffix(".JPEG"))
    train, val = (check_source(open_source(tmp_path, split)) for split in ("train", "val"))
    assert [(sample.key, sample.label) for sample in train] == [
        ("n01440764/n01440764_18", "n01440764"),
        ("n01443537/n01443537_2", "n01443537"),
    ]
    assert [sample.label for sample in val] == ["n01440764"]
    assert [sample.label for sample in open_source(tmp_path / "train").samples()] == ["n01440764", "n01443537"]
    assert {sample.label for sample in open_source(tmp_path).samples()} == {None}


def test_train_and_test_are_no_classes(tmp_path, image):
    image(tmp_path / "train" / "1.jpg"), image(tmp_path / "test" / "1.jpg")
    assert {sample.label for sample in FolderSource(tmp_path).samples()} == {None}


@pytest.mark.parametrize(
    "name, text",
    [
        ("index.json", '[{"image": "b.jpg", "captions": ["one"]}, {"image": "gone.jpg", "captions": ["lost"]}]'),
        ("captions.json", '{"b.jpg": "one", "gone.jpg": "lost"}'),
        ("captions.jsonl", '{"image": "b.jpg", "caption": "one"}\n{"image": "gone.jpg", "caption": "lost"}'),
        ("captions.csv", "image,caption\nb.jpg,one\ngone.jpg,lost\n"),
        ("captions.tsv", "b.jpg\tone\ngone.jpg\tlost\n"),
        ("captions.txt", "b.jpg#0\tone\ngone.jpg#0\tlost\n"),
        ("metadata.jsonl", '{"file_name": "b.jpg", "text": "one"}\n{"file_name": "gone.jpg", "text": "lost"}'),
        ("metadata.csv", "file_name,text\nb.jpg,one\ngone.jpg,lost\n"),
        ("results.csv", "image_name| comment_number| comment\nb.jpg| 0| one\ngone.jpg| 0| lost\n"),
        ("Flickr8k.token.txt", "b.jpg#0\tone\ngone.jpg#0\tlost\n"),
    ],
)
def test_a_caption_file_loses_neither_its_images_nor_those_that_it_leaves_out(
    tmp_path, image, check_source, name, text
):
    image(tmp_path / "b.jpg"), image(tmp_path / "a.jpg"), image(tmp_path / "masks" / "b.png")
    (tmp_path / name).write_text(text)
    listed, gone, left_out = check_source(FolderSource(tmp_path), loads=False)
    assert [(sample.key, sample.captions) for sample in (listed, gone, left_out)] == [
        ("b", ("one",)),
        ("gone", ("lost",)),
        ("a", ()),
    ]
    assert listed.load().size == left_out.load().size == (8, 6)
    with pytest.raises(ImageError, match="no such file"):
        gone.load()


def test_a_list_that_points_outside_brings_no_strangers_in(tmp_path, image, monkeypatch, check_source):
    image(tmp_path / "out" / "a.jpg"), image(tmp_path / "out" / "b.jpg")
    image(tmp_path / "in" / "c.jpg"), image(tmp_path / "in" / "d.jpg")
    (tmp_path / "in" / "captions.csv").write_text("image,caption\n../out/a.jpg,one\nc.jpg,two\n")
    monkeypatch.chdir(tmp_path / "in")
    for folder in (Path("."), Path("../in"), tmp_path / "in"):
        assert [sample.path for sample in check_source(FolderSource(folder))] == [
            str(folder / name) for name in ("../out/a.jpg", "c.jpg", "d.jpg")
        ]


def test_parts_with_metadata_of_their_own_are_read_by_it(tmp_path, image, check_source):
    image(tmp_path / "test" / "a.jpg"), image(tmp_path / "train" / "a.jpg"), (tmp_path / "void").mkdir()
    (tmp_path / "train" / "metadata.jsonl").write_text('{"file_name": "a.jpg", "text": "one"}')
    samples = check_source(FolderSource(tmp_path))
    assert [(sample.key, sample.captions) for sample in samples] == [("test/a", ()), ("train/a", ("one",))]
    assert [sample.key for sample in open_source(tmp_path, split="train").samples()] == ["a"]


def test_a_drawn_folder_knows_its_captions_and_classes(tmp_path, check_source):
    from argparse import Namespace

    draw_to(Namespace(seed=3000, count=4, size=32, objects=1, out=tmp_path, world=1, domain=None))
    samples = check_source(FolderSource(tmp_path))
    scenes = draw(3000, 4, 32, objects=1)
    assert [sample.key for sample in samples] == ["000000", "000001", "000002", "000003"]
    assert [list(sample.captions) for sample in samples] == [scene.captions for scene in scenes]
    assert [sample.label for sample in samples] == [scene.objects[0]["name"] for scene in scenes]
    assert samples[2].load().tobytes() == scenes[2].image.tobytes()


def test_photographs_come_with_their_five_captions(check_source):
    folder = REFERENCE / "coco_permissive"
    if not folder.is_dir():
        pytest.skip(f"no reference data in {folder}")
    source = FolderSource(folder)
    samples = list(source.samples())
    index = json.loads((folder / "index.json").read_text())
    assert source.count == len(samples) == 87
    assert [sample.key for sample in samples] == [str(row["id"]) for row in index]
    assert {len(sample.captions) for sample in samples} == {5}
    assert samples[0].load().size == (index[0]["width"], index[0]["height"])


def test_a_folder_without_images_is_refused_in_one_line(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "scan.dcm").write_bytes(b"DICM")
    for open_it in (lambda: list(FolderSource(tmp_path).samples()), lambda: open_source(tmp_path)):
        with pytest.raises(SourceError, match=r"no images in this folder; expected \.jpg") as caught:
            open_it()
        assert "\n" not in str(caught.value)
    with pytest.raises(SourceError, match="cannot be read"):
        list(FolderSource(tmp_path / "gone").samples())


def test_links_in_a_circle_and_broken_links_end(tmp_path, image, check_source):
    image(tmp_path / "sub" / "a.jpg")
    (tmp_path / "sub" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "b.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert [sample.key for sample in check_source(FolderSource(tmp_path), loads=False)] == ["b", "sub/a"]


def test_names_that_are_no_text_are_shown_and_loaded(tmp_path, image, check_source):
    image(tmp_path / "a.jpg").rename(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\n.jpg")))
    (sample,) = check_source(FolderSource(tmp_path))
    assert sample.key == "caf??"
