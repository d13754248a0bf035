"""Tar shards: grouping, streaming, and what is left of broken ones."""

import gzip
import io
import tarfile
import tracemalloc

import pytest
from PIL import Image

from dinoclip_viz.data import SourceError, TarSource, open_source
from dinoclip_viz.images import ImageError


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6)).save(file, "JPEG")
    return file.getvalue()


def shard(path, members, mode="w"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def pair(name):
    return [(f"{name}.jpg", jpeg()), (f"{name}.txt", f"caption {name}\n".encode())]


def message(sample):
    with pytest.raises(ImageError) as caught:
        sample.load()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_members_of_one_name_are_one_sample(tmp_path, check_source):
    members = [
        ("./a/0001.JPG", jpeg()),
        ("./a/0001.json", b'{"captions": ["one", "two"], "label": "x"}'),
        ("./a/0001.txt", b"one\n"),
        ("./a/0001.seg.png", b"no image of ours"),
        ("./a/._0001.txt", b"\0"),
        ("b/0001.png", jpeg()),
        ("b/0001.cls", b"7\n"),
        ("b/.hidden.jpg", b""),
        ("README", b"read me"),
    ]
    source = open_source(shard(tmp_path / "s.tar", members))
    one, two = check_source(source)
    assert (one.captions, one.label) == (("one", "two"), "x") and one.key.endswith("a/0001")
    assert (two.key, two.captions, two.label) == ("b/0001", (), "7")
    assert two.path == f"{tmp_path}/s.tar/b/0001.png"


@pytest.mark.parametrize("pattern", ["{0000..0002}.tar", "*.tar", "{0000,0001,0002}.tar", "00{00..02}.tar", ""])
def test_many_shards_are_named_by_range_pattern_or_folder(tmp_path, check_source, pattern):
    for number in range(3):
        shard(tmp_path / f"{number:04d}.tar", pair(f"{number}"))
    samples = check_source(open_source(f"{tmp_path}/{pattern}"))
    assert [sample.key for sample in samples] == ["0", "1", "2"]


@pytest.mark.parametrize("ending, mode", [("tar.gz", "w:gz"), ("tgz", "w:gz")])
def test_shards_may_be_compressed(tmp_path, check_source, ending, mode):
    assert len(check_source(open_source(shard(tmp_path / f"s.{ending}", pair("a") + pair("b"), mode)))) == 2


def test_a_shard_cut_off_anywhere_gives_what_came_before_and_one_that_says_so(tmp_path):
    whole = shard(tmp_path / "whole.tar", pair("a") + pair("b") + pair("c")).read_bytes()
    last = shard(tmp_path / "last.tar", pair("z"))
    end = len(whole.rstrip(b"\0"))
    for length in range(0, end, 256):
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        *before, broken, after = TarSource((f"{tmp_path}/cut.tar", str(last)), "x").samples()
        assert [sample.key for sample in before] == ["a", "b", "c"][: len(before)] and after.key == "z"
        assert all(sample.load() for sample in before)
        assert "cut.tar: a tar that is missing, broken or cut off" in message(broken)


def test_corrupt_shards_do_not_lose_the_ones_after_them(tmp_path, check_source):
    good = shard(tmp_path / "9.tar", pair("z"))
    data = shard(tmp_path / "x.tar", pair("a") + pair("b")).read_bytes()
    (tmp_path / "1.tar").write_bytes(b"not a tar at all" * 100)
    (tmp_path / "2.tar").write_bytes(data[:2560] + b"\xff" * 512 + data[3072:])
    (tmp_path / "3.tar").write_bytes(gzip.compress(data)[:-40])
    (tmp_path / "4.tar").write_bytes(b"")
    shards = [str(tmp_path / f"{number}.tar") for number in (1, 2, 3, 4, 5)]
    samples = check_source(TarSource((*shards, str(good)), "x"), loads=False)
    told = [sample for sample in samples if sample.path in shards]
    assert [sample.path for sample in told] == shards and samples[-1].load()
    for sample in told:
        assert sample.path in message(sample)


def test_an_empty_shard_is_no_fault(tmp_path):
    assert list(open_source(shard(tmp_path / "s.tar", [])).samples()) == []


def test_captions_without_an_image_and_broken_captions_are_unreadable(tmp_path, check_source):
    members = [
        ("a.txt", b"alone"),
        *pair("b")[:1],
        ("b.json", b"{"),
        *pair("c")[:1],
        ("c.txt", b"caf\xe9"),
        *pair("d"),
        ("d.jpeg", jpeg()),
        ("e.jpg", b""),
    ]
    alone, json_, latin, twice, empty = check_source(open_source(shard(tmp_path / "s.tar", members)), loads=False)
    assert alone.captions == ("alone",)
    for sample, words in (
        (alone, "s.tar/a: captions without an image"),
        (json_, "not JSON"),
        (latin, "not UTF-8"),
        (twice, "d.jpeg: a second member"),
        (empty, "0 bytes"),
    ):
        assert words in message(sample)


def test_a_member_that_is_too_large_is_not_read(tmp_path):
    shard(tmp_path / "s.tar", [("a.jpg", bytes(20_000_001)), ("a.txt", b"huge"), *pair("b")])
    tracemalloc.start()
    huge, fine = open_source(tmp_path / "s.tar").samples()
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()
    assert "a.jpg: 20.0 MB; expected at most 20 MB" in message(huge) and huge.captions == ("huge",) and fine.load()


def test_memory_does_not_grow_with_a_shard(tmp_path):
    def peak(count):
        shard(tmp_path / "s.tar", [member for number in range(count) for member in pair(f"{number:05d}")])
        tracemalloc.start()
        assert sum(1 for _ in open_source(tmp_path / "s.tar").samples()) == count
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(2000) < peak(200) + 50_000


@pytest.mark.parametrize("name", ["{0000..0003}.tar", "*.tar", "gone.tar", "{0..99999999999}.tar"])
def test_shards_that_are_not_there_are_refused(tmp_path, name):
    with pytest.raises(SourceError) as caught:
        open_source(f"{tmp_path}/{name}")
    assert "\n" not in str(caught.value)
