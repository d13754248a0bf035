"""Data sets as `datasets` writes them, read offline."""

import builtins
import io

import pytest
from PIL import Image

from dinoclip_viz.data import HubSource, SourceError, open_source
from dinoclip_viz.data.filesystems import RemoteFile
from dinoclip_viz.images import ImageError

pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path_factory):
    """No test waits for the network, nor leaves anything in the home folder."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def table(count=5):
    from datasets import ClassLabel, Dataset, Features, List, Value
    from datasets import Image as Images

    values = {
        "photo": [Image.new("RGB", (8, 6), (number, 0, 0)) for number in range(count)],
        "captions": [[f"one {number}", "two"] for number in range(count)],
        "kind": [number % 2 for number in range(count)],
        "costly": ["x"] * count,
    }
    kinds = {"photo": Images(), "captions": List(Value("string")), "kind": ClassLabel(names=["cat", "dog"])}
    return Dataset.from_dict(values, features=Features({**kinds, "costly": Value("string")}))


def check_table(samples):
    assert [sample.key for sample in samples] == [f"{number:08d}" for number in range(5)]
    assert samples[1].captions == ("one 1", "two") and samples[1].label == "dog"
    assert samples[3].load().getpixel((0, 0)) == (3, 0, 0)


def test_a_data_set_saved_to_disk_is_opened_as_a_folder(tmp_path, check_source):
    table().save_to_disk(tmp_path / "saved")
    source = open_source(tmp_path / "saved")
    assert source.count == 5
    check_table(check_source(source))


def test_parquet_files_stream(tmp_path, check_source):
    (tmp_path / "data").mkdir()
    table().to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    source = open_source(tmp_path)
    assert isinstance(source, HubSource) and source.count is None
    check_table(check_source(source))
    check_table(list(HubSource(str(tmp_path), split="train", streaming=False).samples()))
    assert HubSource(str(tmp_path), streaming=False).count == 5


def test_parquet_with_bytes_and_no_note_of_what_they_are_is_read(tmp_path, check_source):
    import pyarrow as pa
    from pyarrow import parquet

    file = io.BytesIO()
    Image.new("RGB", (8, 6)).save(file, "PNG")
    images = [{"bytes": file.getvalue(), "path": "a.png"}, {"bytes": None, "path": None}]
    parquet.write_table(pa.table({"image": images, "id": [7, 8], "TEXT": ["one", None]}), tmp_path / "0.parquet")
    first, bad = check_source(open_source(tmp_path), loads=False)
    assert (first.key, first.path, first.captions) == ("7", "a.png", ("one",)) and first.load().size == (8, 6)
    with pytest.raises(ImageError, match="row 1: no image"):
        bad.load()


def test_an_image_folder_is_read_through_datasets_too(tmp_path, image, check_source):
    image(tmp_path / "train" / "a.jpg")
    (tmp_path / "train" / "metadata.jsonl").write_text('{"file_name": "a.jpg", "text": "one"}')
    (sample,) = check_source(HubSource(str(tmp_path)))
    assert sample.captions == ("one",) and sample.path.endswith("a.jpg")


def test_addresses_and_nested_sentences_are_found(tmp_path, check_source):
    from datasets import Dataset

    rows = {"url": ["https://a.org/1.jpg"], "image_id": [3], "sentences": [[{"raw": "one"}, {"raw": "two"}]]}
    Dataset.from_dict(rows).save_to_disk(tmp_path / "saved")
    (sample,) = check_source(open_source(f"hub:{tmp_path / 'saved'}"), loads=False)
    assert (sample.key, sample.image, sample.captions) == ("3", "https://a.org/1.jpg", ("one", "two"))


def test_text_rows_whose_columns_only_the_first_row_tells_are_read(tmp_path, image, check_source):
    image(tmp_path / "a.jpg")
    (tmp_path / "train.csv").write_text("file_name,caption\na.jpg,one\n")
    import datasets

    assert datasets.load_dataset("csv", data_files=str(tmp_path / "train.csv"), streaming=True)
    (tmp_path / "a.jpg").rename(tmp_path / ".a.jpg")
    (sample,) = check_source(HubSource(str(tmp_path)), loads=False)
    assert sample.captions == ("one",) and sample.image == tmp_path / "a.jpg"


def test_columns_of_tar_shards_are_understood(tmp_path, check_source):
    from datasets import Dataset, Features, Value
    from datasets import Image as Images

    columns = ("__key__", "jpg", "txt", "cls")
    features = Features(dict(zip(columns, (Value("string"), Images(), Value("string"), Value("int64")), strict=True)))
    rows = dict(zip(columns, (["k"], [Image.new("RGB", (8, 6))], ["one"], [7]), strict=True))
    Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "saved")
    (sample,) = check_source(open_source(tmp_path / "saved"))
    assert (sample.key, sample.captions, sample.label) == ("k", ("one",), "7")


def test_a_path_on_a_machine_of_others_is_unreadable(tmp_path, monkeypatch):
    from datasets import Dataset

    data = Dataset.from_dict({"image_path": ["train/1.jpg"], "text": ["one"]})
    monkeypatch.setattr(HubSource, "_open", lambda self: data)
    (sample,) = HubSource("owner/name").samples()
    assert sample.captions == ("one",) and sample.path == "train/1.jpg"
    with pytest.raises(ImageError, match=r"train/1\.jpg: a path on another machine in hub:"):
        sample.load()


def test_splits_are_chosen_by_name(tmp_path, check_source):
    from datasets import DatasetDict

    DatasetDict({"train": table(), "test": table(2)}).save_to_disk(tmp_path / "saved")
    assert len(check_source(open_source(tmp_path / "saved", split="test"))) == 2
    with pytest.raises(SourceError, match="has the splits train, test; choose one"):
        list(open_source(tmp_path / "saved").samples())
    with pytest.raises(SourceError, match="no split dev; its splits: train, test"):
        list(open_source(tmp_path / "saved", split="dev").samples())
    table().save_to_disk(tmp_path / "single")
    with pytest.raises(SourceError, match="without splits"):
        list(open_source(tmp_path / "single", split="dev").samples())


def test_columns_without_an_image_are_named(tmp_path):
    from datasets import Dataset

    Dataset.from_dict({"words": ["a"], "number": [1]}).save_to_disk(tmp_path / "saved")
    with pytest.raises(SourceError, match="no column of images among words, number"):
        list(open_source(tmp_path / "saved").samples())


def test_what_cannot_be_opened_is_refused_in_one_line(tmp_path, monkeypatch):
    import datasets

    def unreachable(*args, **kwargs):
        raise ConnectionError("Couldn't reach\nthe hub")

    (tmp_path / "empty").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "0.parquet").write_bytes(b"PAR1 broken")
    for name in (f"{tmp_path}/empty", str(tmp_path / "data"), "./gone", "/gone/away"):
        with pytest.raises(SourceError, match="expected") as caught:
            list(HubSource(name).samples())
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(
        SourceError, match=r"hub:owner/name: cannot be opened \(ConnectionError: Couldn't reach the hub"
    ):
        list(open_source("hub:owner/name").samples())
    with pytest.raises(SourceError, match="no name"):
        open_source("hub:")


def test_a_stream_that_breaks_off_says_where(monkeypatch, tmp_path):
    def rows(*args):
        yield {"url": "https://a.org/1.jpg"}
        raise OSError("line went dead")

    monkeypatch.setattr(
        HubSource, "_rows", lambda self, start: (rows(), __import__("dinoclip_viz").data.captions.hub._Columns("url"))
    )
    samples = HubSource("owner/name").samples()
    assert next(samples).path == "https://a.org/1.jpg"
    with pytest.raises(SourceError, match="stopped after 1 samples"):
        next(samples)


def test_a_missing_library_is_named_with_the_way_to_install_it(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "datasets":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SourceError, match=r'pip install "dinoclip-viz\[data\]"'):
        list(HubSource("owner/name").samples())


def test_an_image_in_another_file_system_is_read_when_it_is_loaded(tmp_path, image):
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://pictures/a.jpg", "wb") as file:
        file.write(image(tmp_path / "a.jpg").read_bytes())
    assert RemoteFile("memory://pictures/a.jpg")().size == (8, 6)
    with pytest.raises(ImageError, match="cannot be read"):
        RemoteFile("memory://pictures/gone.jpg")()
