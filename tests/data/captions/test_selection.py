"""Selections: rows that name samples of other sources."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dinoclip_viz.data import SourceError, open_source
from dinoclip_viz.data.captions.parquet import ParquetSource, Skipped
from dinoclip_viz.data.captions.selection import Reference, SelectionSource
from dinoclip_viz.images import ImageError

SCENES = "playground:2000:9:24"


def write(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def row(number, **changes):
    return {
        "source": SCENES,
        "number": number,
        "key": f"2000-{number:06d}",
        "captions": [f"caption {number}"],
        **changes,
    }


def test_samples_have_the_images_of_their_source_and_the_captions_of_the_row(tmp_path, check_source):
    numbers = [1, 2, 7, 3, 3]
    source = open_source(write(tmp_path / "list.jsonl", [row(number) for number in numbers]))
    assert isinstance(source, SelectionSource)
    samples = check_source(source)
    originals = list(open_source(SCENES).samples())
    assert [sample.key for sample in samples] == [originals[number].key for number in numbers]
    assert [sample.captions for sample in samples] == [(f"caption {number}",) for number in numbers]
    for sample, number in zip(samples, numbers, strict=True):
        assert np.array_equal(np.asarray(sample.load()), np.asarray(originals[number].load()))


def test_a_key_names_a_sample_without_its_number(tmp_path, check_source):
    rows = [{name: value for name, value in row(number).items() if name != "number"} for number in (2, 5)]
    samples = check_source(open_source(write(tmp_path / "list.jsonl", rows)))
    assert [sample.key for sample in samples] == ["2000-000002", "2000-000005"]


def test_rows_of_several_sources_and_their_options(tmp_path, image, check_source):
    for name in ("a", "b"):
        image(tmp_path / "elsewhere" / f"{name}.png", grey=50 if name == "a" else 150)
    listed = tmp_path / "listed.csv"
    listed.write_bytes("image,caption,split\na.png,caf\u00e9,train\nb.png,caf\u00e9,test\n".encode("latin-1"))
    reference = Reference.to(str(listed), "test", tmp_path / "elsewhere", "latin-1")
    rows = [row(4), {**reference.row(), "number": 0, "key": "b", "captions": ["one"], "label": "cup"}]
    samples = check_source(open_source(write(tmp_path / "list.jsonl", rows)))
    assert [sample.key for sample in samples] == ["2000-000004", "b"]
    assert samples[1].label == "cup" and samples[1].load().getpixel((0, 0)) == (150, 150, 150)


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([row(1), row(20)], "line 2: playground:2000:9:24 has no sample 20"),
        ([row(1, key="2000-000002")], "line 1: .*; it has changed: curate it again"),
        ([row(1), {"source": SCENES, "captions": ["a"]}], "line 2: no source with a number or a key"),
        ([row(1), {"source": SCENES, "key": "none"}], "line 2: .* has no sample 'none'"),
        ([row(1), row(1, source="no such folder")], "no such file or folder"),
    ],
)
def test_rows_that_name_no_sample_are_errors(tmp_path, rows, line):
    source = SelectionSource(write(tmp_path / "list.jsonl", rows), open_source)
    with pytest.raises(SourceError, match=line) as error:
        list(source.samples())
    assert "\n" not in str(error.value)


def test_a_selection_of_itself_is_an_error(tmp_path):
    file = tmp_path / "list.jsonl"
    write(file, [row(0, source=str(file), key="a")])
    with pytest.raises(SourceError, match="names itself as a source"):
        open_source(file)


def test_lists_of_images_with_a_column_named_source_stay_lists(tmp_path, image):
    image(tmp_path / "a.png")
    source = open_source(write(tmp_path / "list.jsonl", [{"image": "a.png", "source": "web", "number": 3}]))
    assert not isinstance(source, SelectionSource)
    assert [sample.key for sample in source.samples()] == ["a"]


def test_references_keep_names_and_make_paths_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = {"playground", "playground:1:2", "hub:a/b:c", "s3://bucket/a.tar", "https://a.org/b.tar"}
    assert {Reference.to(name).source for name in kept} == kept
    assert Reference.to("shards/{00..03}.tar").source == str(tmp_path / "shards/{00..03}.tar")
    assert Reference.to_name("list.json (train)") == Reference(str(tmp_path / "list.json"), "train")


def test_parquet_can_be_read_without_the_bytes_of_its_images(tmp_path):
    cells = [{"bytes": b"no image", "path": "a.png"}] * 3
    pq.write_table(pa.table({"image": cells, "caption": ["a", "b", "c"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"url": ["https://a.org/1.png"], "caption": ["d"]}), tmp_path / "b.parquet")
    files = (str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet"))
    read, skipped = (list(ParquetSource(files, "both", skip).samples(1)) for skip in (False, True))
    assert [(one.key, one.captions) for one in read] == [(one.key, one.captions) for one in skipped]
    assert [sample.image for sample in skipped] == [Skipped(), Skipped(), "https://a.org/1.png"]
    with pytest.raises(ImageError, match="the image was skipped"):
        skipped[0].load()
