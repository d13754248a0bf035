"""What a person types finds the source that is meant, or one line that says what would."""

import json
import subprocess
import sys

import pytest

from dinoclip_viz.data import (
    CocoSource,
    FlickrSource,
    FolderSource,
    HubSource,
    KarpathySource,
    ListSource,
    SourceError,
    open_source,
)


def test_json_is_told_by_what_stands_in_it(tmp_path):
    values = {
        CocoSource: {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": "one"}]},
        KarpathySource: {"images": [{"filename": "a.jpg", "split": "train", "sentences": [{"raw": "one"}]}]},
        ListSource: [{"image": "a.jpg", "caption": "one"}],
    }
    for kind, value in values.items():
        (tmp_path / "x.json").write_text(json.dumps(value))
        source = open_source(str(tmp_path / "x.json"))
        assert type(source) is kind
        assert [sample.captions for sample in source.samples()] == [("one",)]


def test_text_is_told_by_its_first_line(tmp_path):
    (tmp_path / "x.txt").write_text("a.jpg#0\tone\n")
    assert isinstance(open_source(tmp_path / "x.txt"), FlickrSource)
    (tmp_path / "x.txt").write_text("image,caption\na.jpg,one\n")
    assert isinstance(open_source(tmp_path / "x.txt"), ListSource)


def test_options_reach_the_source(tmp_path, image):
    image(tmp_path / "pics" / "a.jpg")
    (tmp_path / "captions.csv").write_text("image,caption,split\na.jpg,one,train\nb.jpg,two,test\n")
    for place in (tmp_path, tmp_path / "captions.csv"):
        (sample,) = open_source(place, split="train", images=tmp_path / "pics").samples()
        assert sample.load().size == (8, 6)
    assert open_source("hub:a/b:c", split="train") == HubSource("a/b", "c", "train")
    assert isinstance(open_source(tmp_path), FolderSource)


def test_a_split_of_what_has_none_is_refused(tmp_path, image):
    image(tmp_path / "cat" / "a.jpg")
    (tmp_path / "x.csv").write_text("image\na.jpg\n")
    (tmp_path / "coco.json").write_text('{"images": [{"id": 1, "file_name": "a.jpg"}]}')
    for name in ("playground", tmp_path, tmp_path / "x.csv", tmp_path / "coco.json"):
        with pytest.raises(SourceError, match="split"):
            open_source(name, split="train")
    with pytest.raises(SourceError, match="folders in it: cat"):
        open_source(tmp_path, split="../x")


def test_images_for_what_has_no_list_are_refused(tmp_path, image):
    image(tmp_path / "a.jpg")
    for name in ("playground", "hub:a/b", tmp_path):
        with pytest.raises(SourceError, match="images is for lists"):
            open_source(name, images=tmp_path)
    with pytest.raises(SourceError, match="no such folder"):
        open_source(tmp_path, images=tmp_path / "gone")


@pytest.mark.parametrize(
    "name, words",
    [
        ("gone", "no such file or folder"),
        ("", "no such file or folder"),
        ("gone.json", "no such file or folder"),
        ("gone.tar", "no such file or folder"),
        ("a\0b", "no such file or folder|no path"),
        ("x" * 5000, "no path"),
        ("~nobody-of-this-name/x", "no path|no such"),
        ("{dir}/x.docx", "a file of no known kind"),
        ("{dir}/x.jpg", "a single image"),
    ],
)
def test_what_is_not_there_is_named_with_what_would_be_accepted(tmp_path, monkeypatch, name, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.docx").write_bytes(b"PK"), (tmp_path / "x.jpg").write_bytes(b"x")
    with pytest.raises(SourceError, match=words) as caught:
        open_source(name.replace("{dir}", str(tmp_path)))
    assert "playground[:SEED:COUNT" in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 900


def test_importing_the_sources_loads_no_heavy_library():
    heavy = ["torch", "datasets", "pyarrow", "pandas", "transformers"]
    code = f"import sys, dinoclip_viz.data; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
