import io
import json
import math
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dinoclip_viz as dv
from dinoclip_viz.curate import BalanceSettings, balance_sources, streaming
from dinoclip_viz.data import SourceError, open_source
from dinoclip_viz.data.captions.selection import Reference
from tests.curate.plain import plain_matches

ENTRIES = ["cat", "dog", "red", "on grass", "at night", "(unmatched"]


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(streaming, "AT_ONCE", 50)


@pytest.fixture
def image_list(tmp_path):
    """A list of image files, with one to four captions each."""

    def write(name, start, stop):
        rows = []
        for number, sample in enumerate(open_source(f"playground:2000:{stop}").samples(start), start=start):
            captions = list(sample.captions[: 1 + number % 4])
            rows.append({"image": f"images/{sample.key}.png", "key": sample.key, "captions": captions})
        file = tmp_path / name
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    return write


def opened(*names):
    return [(open_source(name), Reference.to(str(name))) for name in names]


def rows(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def pairs(file):
    return [(row["key"], caption) for row in rows(file) for caption in row["captions"]]


def plainly(names, per_entry, seed=0):
    """(key, caption) of the kept captions by `balance` in memory."""
    found = [(sample.key, text) for name in names for sample in open_source(name).samples() for text in sample.captions]
    keys, texts = zip(*found, strict=True)
    kept = dv.curate.balance(texts, ENTRIES, per_entry, seed, keys)
    return [pair for pair, keep in zip(found, kept, strict=True) if keep]


def test_the_list_has_the_captions_that_balance_keeps(tmp_path, image_list, small_batches):
    source = image_list("captions.jsonl", 0, 200)
    report = balance_sources(opened(source), ENTRIES, tmp_path / "kept.jsonl", BalanceSettings(per_entry=9, seed=4))
    expected = plainly([source], 9, seed=4)
    assert pairs(tmp_path / "kept.jsonl") == expected
    assert report.kept == len(expected) and 0 < report.kept < report.matched < report.captions
    assert report.kept_samples == len({key for key, _ in expected}) == len(rows(tmp_path / "kept.jsonl"))
    assert report.read.samples == 200
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_any_number_of_processes_writes_the_same_bytes(tmp_path, image_list, small_batches):
    source = image_list("captions.jsonl", 0, 120)
    written = []
    for workers in (1, 2, 4):
        out = tmp_path / f"kept{workers}.jsonl"
        balance_sources(opened(source), ENTRIES, out, BalanceSettings(per_entry=9, workers=workers))
        written.append(out.read_bytes())
    assert written[0] and written[0] == written[1] == written[2]


def test_shards_together_give_the_same_as_the_whole(tmp_path, image_list):
    whole = image_list("whole.jsonl", 0, 150)
    shards = [image_list(f"shard{start}.jsonl", start, start + 50) for start in (0, 50, 100)]
    for sources, name in (([whole], "a.jsonl"), (shards, "b.jsonl"), (shards[::-1], "c.jsonl")):
        balance_sources(opened(*sources), ENTRIES, tmp_path / name, BalanceSettings(per_entry=5))
    assert (tmp_path / "a.jsonl").read_text() == (tmp_path / "b.jsonl").read_text()
    assert sorted(pairs(tmp_path / "a.jsonl")) == sorted(pairs(tmp_path / "c.jsonl"))


def test_counts_before_and_after_are_those_of_the_captions(tmp_path, image_list, small_batches):
    source = image_list("captions.jsonl", 0, 200)
    report = balance_sources(opened(source), ENTRIES, tmp_path / "kept.jsonl", BalanceSettings(per_entry=9))
    every = [text for sample in open_source(source).samples() for text in sample.captions]
    kept = [text for _, text in pairs(tmp_path / "kept.jsonl")]
    for texts, counts in ((every, report.before), (kept, report.after)):
        assert counts.tolist() == [sum(number in row for row in plain_matches(texts, ENTRIES)) for number in range(6)]
    numbers = report.numbers()
    assert numbers["captions"] == len(every) and numbers["captions_unmatched"] == len(every) - report.matched
    assert numbers["entries_matched"] == 5 and numbers["matches"] == report.before.sum()
    examples = report.details()["examples"]
    assert len(examples["unmatched"]) == len(examples["dropped"]) == len(examples["kept"]) == 10
    assert set(examples["kept"]) <= set(kept)
    assert not any(plain_matches(examples["unmatched"], ENTRIES))


def test_a_size_and_a_tail_are_solved_for(tmp_path, image_list, small_batches):
    sources = opened(image_list("captions.jsonl", 0, 300))
    sized = balance_sources(sources, ENTRIES, tmp_path / "sized.jsonl", BalanceSettings(size=100))
    assert abs(sized.expected - 100) < 0.5
    assert abs(sized.kept - 100) < 4 * math.sqrt(100)
    tailed = balance_sources(sources, ENTRIES, tmp_path / "tailed.jsonl", BalanceSettings(tail=0.2))
    assert tailed.per_entry in tailed.before
    below, up_to = ((tailed.before[mask].sum() / tailed.matches) for mask in (
        tailed.before < tailed.per_entry, tailed.before <= tailed.per_entry))  # fmt: skip
    assert below < 0.2 <= up_to
    with pytest.raises(ValueError, match=f"the size is 9999; expected 1 to {sized.matched}"):
        balance_sources(sources, ENTRIES, tmp_path / "none.jsonl", BalanceSettings(size=9999))
    assert not (tmp_path / "none.jsonl").exists()


def test_images_that_are_no_files_are_listed_as_samples_of_their_source(tmp_path):
    out = tmp_path / "kept.jsonl"
    balance_sources(opened("playground:2000:60:32"), ENTRIES, out, BalanceSettings(per_entry=4))
    listed = list(open_source(out).samples())
    originals = {sample.key: sample for sample in open_source("playground:2000:60:32").samples()}
    assert len(listed) == len(rows(out)) > 3
    for sample in listed:
        assert set(sample.captions) <= set(originals[sample.key].captions)
        assert np.array_equal(np.asarray(sample.load()), np.asarray(originals[sample.key].load()))


def encoded(scene):
    file = io.BytesIO()
    scene.image.save(file, "PNG")
    return file.getvalue()


def test_tar_shards_and_parquet_give_the_same_kept_captions(tmp_path):
    scenes = dv.playground.draw(2600, 12, 24)
    table = {
        "key": [f"{number:03d}" for number in range(12)],
        "image": [{"bytes": encoded(scene), "path": None} for scene in scenes],
        "caption": [scene.captions[0] for scene in scenes],
    }
    pq.write_table(pa.table(table), tmp_path / "pairs.parquet")
    with tarfile.open(tmp_path / "pairs.tar", "w") as tar:
        for key, image, caption in zip(table["key"], table["image"], table["caption"], strict=True):
            for ending, data in (("png", image["bytes"]), ("txt", caption.encode())):
                member = tarfile.TarInfo(f"{key}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    kept = {}
    for kind in ("parquet", "tar"):
        out = tmp_path / f"{kind}.jsonl"
        balance_sources(opened(tmp_path / f"pairs.{kind}"), ["a", "an"], out, BalanceSettings(per_entry=4))
        kept[kind] = pairs(out)
        for sample in open_source(out).samples():
            assert np.array_equal(np.asarray(sample.load()), np.asarray(scenes[int(sample.key)].image))
    assert kept["parquet"] == kept["tar"] and 0 < len(kept["tar"]) < 12


def test_many_equal_captions_are_thinned_out(tmp_path):
    file = tmp_path / "equal.csv"
    with file.open("w") as out:
        out.write("image,caption\n")
        out.writelines(f"{number}.jpg,a cat\n" for number in range(20_000))
    report = balance_sources(opened(file), ["cat"], tmp_path / "kept.jsonl", BalanceSettings(per_entry=100))
    assert report.before.tolist() == [20_000]
    assert abs(report.kept - 100) < 4 * math.sqrt(100)


def test_samples_without_an_image_or_a_caption_are_counted_and_skipped(tmp_path):
    file = tmp_path / "list.jsonl"
    file.write_text('{"image": "1.png", "caption": "a cat"}\n{"caption": "a cat"}\nno json\n{"image": "2.png"}\n')
    report = balance_sources(opened(file), ["cat"], tmp_path / "kept.jsonl", BalanceSettings(per_entry=5))
    assert (report.read.samples, report.read.failed, report.read.without_captions, report.captions) == (4, 2, 1, 1)
    assert [reason.split(",")[1].split(":")[0] for _, reason in report.read.listed] == [" line 2", " line 3"]
    assert rows(tmp_path / "kept.jsonl") == [{"image": str(tmp_path / "1.png"), "key": "1", "captions": ["a cat"]}]


def test_a_failed_run_leaves_the_earlier_list_and_no_other_file(tmp_path):
    out = tmp_path / "kept.jsonl"
    out.write_text("earlier\n")
    with pytest.raises(ValueError, match=r"none of the 40 captions contains one of the 1 entries, such as 'zebra'"):
        balance_sources(opened("playground:2000:10"), ["zebra"], out, BalanceSettings(per_entry=5))
    assert out.read_text() == "earlier\n"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.jsonl"]


def test_a_source_without_captions_is_named(tmp_path):
    file = tmp_path / "list.jsonl"
    file.write_text('{"image": "1.png"}\n{"image": "2.png", "caption": ""}\n')
    with pytest.raises(SourceError, match=r"list\.jsonl: none of the 2 samples has a caption"):
        balance_sources(opened(file), ["cat"], tmp_path / "kept.jsonl", BalanceSettings(per_entry=5))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "found 0 of per_entry, size and tail"),
        ({"per_entry": 1, "tail": 0.1}, "found 2 of"),
        ({"per_entry": 0}, "per_entry is 0"),
        ({"size": 0}, "size is 0"),
        ({"tail": 1}, "tail is 1"),
        ({"size": 1, "workers": 0}, "workers is 0"),
        ({"size": 1, "seed": -1}, "seed is -1"),
    ],
)
def test_settings_out_of_range_are_named(given, line):
    with pytest.raises(ValueError, match=line):
        BalanceSettings(**given)
