import csv
import json

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.data import open_source

SOURCE = "playground:2000:40:32"
ENTRIES = ["cat", "dog", "red", "on grass", "at night", "a (big) one"]


@pytest.fixture
def entries(tmp_path):
    file = tmp_path / "entries.json"
    file.write_text(json.dumps(ENTRIES))
    return file


def rows(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_list_and_the_report_agree_with_the_answer(dinoclip, tmp_path, entries):
    out, folder = tmp_path / "kept.jsonl", tmp_path / "report"
    answer = dinoclip(
        "curate", SOURCE, "--entries", entries, "--per-entry", 5, "--out", out, "--report", folder, "--json"
    )  # fmt: skip
    assert answer.code == 0
    kept = [caption for row in rows(out) for caption in row["captions"]]
    assert answer.json["kept"] == len(kept) > 0 and answer.json["kept_samples"] == len(rows(out))
    assert answer.json["captions"] == 160 and answer.json["per_entry"] == 5
    report = json.loads((folder / "report.json").read_text())
    assert {name: report[name] for name in ("kept", "matches", "entries_head")} == {
        name: answer.json[name] for name in ("kept", "matches", "entries_head")
    }
    with (folder / "counts.csv").open() as file:
        table = {row["entry"]: (int(row["before"]), int(row["after"])) for row in csv.DictReader(file)}
    assert set(table) == set(ENTRIES)
    assert table["red"][1] == sum(" red " in f" {caption} ".replace(",", " ,") for caption in kept)
    with Image.open(folder / "counts.png") as figure:
        assert figure.size == (768, 480)


def test_the_list_can_be_curated_again_and_embedded(dinoclip, tmp_path, entries):
    out = tmp_path / "kept.jsonl"
    assert dinoclip("curate", SOURCE, "--entries", entries, "--size", 20, "--out", out).code == 0
    again = tmp_path / "again.jsonl"
    second = dinoclip("curate", out, "--entries", entries, "--tail", 0.5, "--seed", 1, "--out", again, "--json")
    assert second.json["samples"] == len(rows(out)) and 0 < second.json["kept"] <= second.json["captions"]
    store = tmp_path / "store"
    embedded = dinoclip(
        "embed", out, "--encoder", "playground-clip", "--texts", "playground-clip", "--out", store, "--json"
    )
    assert embedded.json["images"] == len(rows(out))
    assert embedded.json["captions"] == sum(len(row["captions"]) for row in rows(out))
    listed = tmp_path / "concepts.jsonl"
    picked = dinoclip(
        "curate", store, "--by", "concepts", "--prototypes", "cat,dog", "--per-concept", 2, "--out", listed, "--json"
    )
    assert picked.json["kept"] == 4 and picked.json["pairs"] == embedded.json["captions"]
    assert {row["concept"] for row in picked.json["taken"]} == {"cat", "dog"}
    assert sum(len(sample.captions) for sample in open_source(listed).samples()) == 4


def test_two_processes_write_the_same_list(dinoclip, tmp_path, entries):
    for workers in (1, 2):
        out = tmp_path / f"{workers}.jsonl"
        done = dinoclip(
            "curate", SOURCE, "--entries", entries, "--per-entry", 5, "--out", out, "--workers", workers, "--json"
        )
        assert done.code == 0
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()


def test_concepts_of_a_source_and_of_vectors_in_a_file(dinoclip, tmp_path):
    out, folder = tmp_path / "kept.jsonl", tmp_path / "report"
    words = ("curate", SOURCE, "--by", "concepts", "--per-concept", 2, "--out", out, "--json")
    done = dinoclip(*words, "--prototypes", "playground", "--report", folder)
    assert done.json["concepts"] == 20 and done.json["kept"] == 40 and done.json["pairs"] == 160
    assert json.loads((folder / "report.json").read_text())["taken"] == done.json["taken"]
    np.save(tmp_path / "some.npy", np.eye(128, dtype=np.float32)[:3])
    assert dinoclip(*words, "--prototypes", tmp_path / "some.npy").json["kept"] == 6
    np.save(tmp_path / "some.npy", np.eye(7, dtype=np.float32)[:3])
    dinoclip(*words, "--prototypes", tmp_path / "some.npy").refused("7 dimensions", "128")


def test_entries_are_built_and_then_used(dinoclip, tmp_path):
    (tmp_path / "titles.txt").write_text("New_York\n")
    built = tmp_path / "built.txt"
    done = dinoclip(
        "curate", SOURCE, "--build-entries", "--unigrams", 3, "--bigrams", 2, "--bigram-count", 3,
        "--titles", tmp_path / "titles.txt", "--out", built, "--json",
    )  # fmt: skip
    found = built.read_text().splitlines()
    assert found == sorted(set(found)) and done.json["entries"] == len(found)
    assert {"cat", "New York", "42", "on grass"} <= set(found) and "," not in found
    assert done.json["titles"] == 1 and done.json["captions"] == 160
    kept = dinoclip("curate", SOURCE, "--entries", built, "--per-entry", 5, "--out", tmp_path / "kept.jsonl", "--json")
    assert kept.json["entries_sha256"] == done.json["entries_sha256"]


def test_samples_that_name_no_image_are_listed(dinoclip, tmp_path, entries):
    file = tmp_path / "list.jsonl"
    file.write_text('{"image": "1.png", "caption": "a cat"}\n{"caption": "a dog"}\n')
    done = dinoclip("curate", file, "--entries", entries, "--per-entry", 5, "--out", tmp_path / "kept.jsonl", "--json")
    assert done.code == 1 and done.json["failed"] == 1 and done.json["kept"] == 1
    assert "line 2: no image" in done.json["failures"][0]["error"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--entries", "ENTRIES"], ["found no --per-entry, --size or --tail"]),
        (["--per-entry", 5], ["found no --entries"]),
        (["--entries", "ENTRIES", "--per-entry", 5, "--tail", 0.1], ["not allowed with"]),
        (["--entries", "ENTRIES", "--per-entry", 0], ["not above 0"]),
        (["--entries", "ENTRIES", "--tail", 2], ["not between 0 and 1"]),
        (["--entries", "ENTRIES", "--size", 5, "--seed", "-1"], ["--seed"]),
        (["--entries", "ENTRIES", "--size", 5000], ["the size is 5000", "expected 1 to"]),
        (["--entries", "none.json", "--size", 5], ["none.json", "cannot be read"]),
        (["--entries", "entries.csv", "--size", 5], ["entries.csv", "expected .json"]),
        (["--entries", "ENTRIES", "--size", 5, "--titles", "t.txt"], ["--titles is for --build-entries"]),
        (["--entries", "ENTRIES", "--size", 5, "--device", "cpu"], ["--device and --dtype are for --by concepts"]),
        (["--by", "concepts", "--per-concept", 5], ["found no --prototypes"]),
        (["--by", "concepts", "--prototypes", "cat"], ["found no --per-concept"]),
        (["--by", "concepts", "--prototypes", "a,b", "--per-concept", 5, "--seed", 3], ["--seed is for --by entries"]),
        (["--by", "concepts", "--prototypes", " , ", "--per-concept", 5], ["found no concepts"]),
        (["--by", "concepts", "--prototypes", "a", "--per-concept", 5, "--vectors", "images"], ["is for a store"]),
        (["--by", "concepts", "--prototypes", "no.txt", "--per-concept", 5], ["no.txt"]),
        (["--build-entries"], ["found no kind of entries"]),
        (["--build-entries", "--unigrams", 3], ["kept.jsonl; expected entries"]),
        (["--build-entries", "--unigrams", 3, "--bigram-count", 3], ["requires --bigrams"]),
        (["--build-entries", "--unigrams", 3, "--report", "r"], ["--report is not for --build-entries"]),
    ],
)
def test_bad_usage_is_one_line(dinoclip, tmp_path, entries, options, words):
    given = [entries if option == "ENTRIES" else option for option in options]
    dinoclip("curate", SOURCE, *given, "--out", tmp_path / "kept.jsonl", "--json").refused(*words)
    assert not (tmp_path / "kept.jsonl").exists()


def test_captions_without_entries_and_missing_sources_are_one_line(dinoclip, tmp_path, entries):
    out = tmp_path / "kept.jsonl"
    entries.write_text('["zebra"]')
    words = ("--entries", entries, "--per-entry", 5, "--out", out)
    (tmp_path / "empty.jsonl").write_text('{"image": "1.png", "caption": ""}\n')
    for source, found in {
        SOURCE: "none of the 160 captions contains one of the 1 entries",
        tmp_path / "empty.jsonl": "none of the 1 samples has a caption",
        "no_such.parquet": "no such file or folder",
    }.items():
        dinoclip("curate", source, *words).refused(found)
        assert not out.exists()
    dinoclip("curate", SOURCE, *words[:-1], tmp_path / "a.csv").refused("a.csv", ".jsonl")
