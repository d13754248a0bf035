"""Sources on other file systems, by address, and Parquet files: the same samples as from local folders."""

import io
import json
import tarfile

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dinoclip_viz as dv
from dinoclip_viz.data import SourceError, open_source

SCENES = dv.playground.draw(2750, 5)


def png(scene):
    file = io.BytesIO()
    scene.image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/", recursive=True)
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def pixels(samples):
    return [np.asarray(sample.load()) for sample in samples]


def equal(samples):
    found = pixels(samples)
    assert len(found) == len(SCENES)
    for image, scene in zip(found, SCENES, strict=True):
        np.testing.assert_array_equal(image, np.asarray(scene.image))


def test_a_folder_of_images_with_text_files(memory):
    for number, scene in enumerate(SCENES):
        memory.pipe(f"/photos/a/{number}.png", png(scene))
    memory.pipe("/photos/a/1.txt", b"a cat\na pet\n")
    source = open_source("memory://photos")
    samples = list(source.samples())
    equal(samples)
    assert source.count == 5
    assert [sample.key for sample in samples] == [f"a/{number}" for number in range(5)]
    assert samples[1].captions == ("a cat", "a pet")
    assert [sample.key for sample in source.samples(3)] == ["a/3", "a/4"]


@pytest.mark.parametrize("name", ["list.csv", "list.jsonl"])
def test_a_list_whose_names_start_from_its_folder(memory, name):
    rows = [{"image": f"images/{number}.png", "caption": f"scene {number}"} for number in range(5)]
    for row, scene in zip(rows, SCENES, strict=True):
        memory.pipe(f"/data/{row['image']}", png(scene))
    text = "\n".join(json.dumps(row) for row in rows)
    if name.endswith(".csv"):
        text = "image,caption\n" + "\n".join(f"{row['image']},{row['caption']}" for row in rows)
    memory.pipe(f"/data/{name}", text.encode())
    samples = list(open_source(f"memory://data/{name}").samples())
    equal(samples)
    assert samples[2].captions == ("scene 2",)
    assert samples[2].path == "memory://data/images/2.png"


@pytest.mark.parametrize("address", ["memory://shards/s-{0..1}.tar", "memory://shards/*.tar", "memory://shards"])
def test_tar_shards(memory, address):
    for shard, part in enumerate((SCENES[:3], SCENES[3:])):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as tar:
            for number, scene in enumerate(part):
                for ending, data in (("png", png(scene)), ("txt", b"a scene")):
                    member = tarfile.TarInfo(f"{shard}{number}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
        memory.pipe(f"/shards/s-{shard}.tar", file.getvalue())
    samples = list(open_source(address).samples())
    equal(samples)
    assert {sample.captions for sample in samples} == {("a scene",)}


def tables():
    data = [png(scene) for scene in SCENES]
    names = [f"{number}.png" for number in range(5)]
    common = {"caption": [f"scene {number}" for number in range(5)], "id": list(range(10, 15))}
    structs = [{"bytes": one, "path": name} for one, name in zip(data, names, strict=True)]
    yield "struct", pa.table({"image": structs, **common})
    yield "binary", pa.table({"jpg": data, **common})
    yield "paths", pa.table({"image_path": names, **common})


@pytest.mark.parametrize(("kind", "table"), list(tables()), ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("where", ["local", "memory"])
def test_parquet_files(memory, tmp_path, kind, table, where):
    if where == "local":
        name, root = str(tmp_path / "rows.parquet"), None
        pq.write_table(table, name, row_group_size=2)
    else:
        name, root = "memory://rows/0.parquet", "/rows"
        with memory.open("/rows/0.parquet", "wb") as file:
            pq.write_table(table, file, row_group_size=2)
    for number, scene in enumerate(SCENES if kind == "paths" else ()):
        if root:
            memory.pipe(f"{root}/{number}.png", png(scene))
        else:
            (tmp_path / f"{number}.png").write_bytes(png(scene))
    source = open_source(name)
    samples = list(source.samples())
    equal(samples)
    assert source.count == 5
    assert [sample.key for sample in samples] == ["10", "11", "12", "13", "14"]
    assert samples[4].captions == ("scene 4",)
    assert [sample.key for sample in source.samples(3)] == ["13", "14"]


def test_class_names_of_datasets_are_labels(tmp_path):
    features = {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    table = pa.table({"image": [png(scene) for scene in SCENES[:3]], "label": [1, 0, 7]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "rows.parquet")
    samples = list(open_source(tmp_path / "rows.parquet").samples())
    assert [sample.label for sample in samples] == ["dog", "cat", None]


def test_a_remote_source_is_embedded_as_a_local_one(memory, tmp_path):
    (tmp_path / "photos").mkdir()
    for number, scene in enumerate(SCENES):
        memory.pipe(f"/photos/{number}.png", png(scene))
        (tmp_path / "photos" / f"{number}.png").write_bytes(png(scene))
    memory.pipe("/photos/broken.png", b"no image")
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")
    local = dv.embed(tmp_path / "photos", "playground-dino", tmp_path / "a")
    remote = dv.embed("memory://photos", "playground-dino", tmp_path / "b", workers=0)
    assert [key for key, _ in remote.failed] == [key for key, _ in local.failed] == ["broken"]
    one, two = (dv.FeatureStore.open(tmp_path / name) for name in "ab")
    np.testing.assert_array_equal(np.asarray(one.pooled), np.asarray(two.pooled))


LINES = {
    "memory://nothing": "memory://nothing: no file or folder",
    "nosuch://bucket/photos": "nosuch://bucket/photos: no file system for this address",
    "memory://texts": "none of its 1 files is an image, a list, a tar or a .parquet",
    "memory://texts/list.csv": "cannot be read",
    "memory://bad/0.parquet": "broken or no Parquet file",
    "memory://bare/0.parquet": "no column of images among a, b",
}


@pytest.mark.parametrize("address", LINES)
def test_errors_are_one_line(memory, address):
    memory.pipe("/texts/readme.md", b"text")
    memory.pipe("/bad/0.parquet", b"PAR1 but not really")
    with memory.open("/bare/0.parquet", "wb") as file:
        pq.write_table(pa.table({"a": [1], "b": [2]}), file)
    with pytest.raises(SourceError) as found:
        open_source(address)
    assert LINES[address] in str(found.value)
    assert "\n" not in str(found.value)


def test_a_package_that_is_missing_is_named():
    with pytest.raises(SourceError, match=r"s3fs|boto"):
        open_source("s3://bucket/photos")
