import importlib.util
import json
import math
import sys
from collections import Counter
from itertools import pairwise

import pytest

from dinoclip_viz.curate import EntryBuilder, read_entries, write_entries
from dinoclip_viz.curate.entries import entries_hash, joined, read_titles, synset_entry, wordnet_entries
from dinoclip_viz.data import SourceError

TEXTS = ["a hot dog, please", "hot dog and a cat.", "the cat sat; a hot day", "New York", "New York city", "a dog"] * 3


def plain_words(text):
    for mark in ",.;:?!`":
        text = text.replace(mark, f" {mark} ")
    return text.split()


@pytest.mark.parametrize("ending", [".json", ".txt"])
def test_entries_are_read_as_they_were_written(tmp_path, ending):
    entries = ["cat", "St. Louis", "a+b (c)", "\u732b"]
    write_entries(tmp_path / f"entries{ending}", entries)
    assert read_entries(tmp_path / f"entries{ending}") == entries


def test_the_names_of_an_object_and_the_lines_of_a_text_are_entries(tmp_path):
    (tmp_path / "a.json").write_text('{"cat": 3, "dog": {"count": 1}}')
    (tmp_path / "b.txt").write_text("\ufeff cat \r\n\r\ndog\n")
    assert read_entries(tmp_path / "a.json") == read_entries(tmp_path / "b.txt") == ["cat", "dog"]


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.txt", "\n \n", "no entries"),
        ("a.json", "[]", "no entries"),
        ("a.json", "3", "a JSON int"),
        ("a.json", '["cat", 3]', "entry 2 of 2 is a int"),
        ("a.json", '["cat", ""]', "entry 2 of 2 is empty"),
        ("a.json", "[", "not JSON"),
        ("a.csv", "cat", "no file of entries by its name"),
    ],
)
def test_a_file_without_entries_is_named_in_one_line(tmp_path, name, content, line):
    (tmp_path / name).write_text(content)
    with pytest.raises(SourceError, match=line) as error:
        read_entries(tmp_path / name)
    assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)


def test_missing_files_and_other_encodings_are_named(tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        read_entries(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes("caf\u00e9\n".encode("latin-1"))
    with pytest.raises(SourceError, match="line 1: not UTF-8"):
        read_entries(tmp_path / "latin.txt")
    assert read_entries(tmp_path / "latin.txt", "latin-1") == ["caf\u00e9"]


def test_entries_with_line_breaks_need_json(tmp_path):
    with pytest.raises(ValueError, match="has a line break"):
        write_entries(tmp_path / "a.txt", ["cat\ndog"])
    write_entries(tmp_path / "a.json", ["cat\ndog"])
    assert json.loads((tmp_path / "a.json").read_text()) == ["cat\ndog"]


def test_unigrams_are_those_of_a_plain_count():
    builder = EntryBuilder()
    builder.add(TEXTS[:5])
    builder.add(TEXTS[5:])
    counts = Counter(word for text in TEXTS for word in plain_words(text))
    for least in (1, 3, 7):
        expected = sorted(word for word, count in counts.items() if count >= least and word not in ",.;")
        assert builder.unigrams(least) == expected
    assert builder.total == sum(counts.values()) and builder.captions == len(TEXTS)


def test_bigrams_have_at_least_the_pmi_of_a_plain_count():
    builder = EntryBuilder()
    builder.add(TEXTS)
    words = [plain_words(text) for text in TEXTS]
    single = Counter(word for each in words for word in each)
    double = Counter(pair for each in words for pair in pairwise(each))
    total = sum(single.values())
    pmi = {pair: math.log2(n * total / (single[pair[0]] * single[pair[1]])) for pair, n in double.items()}
    for least, count in ((1.0, 1), (2.5, 1), (2.0, 6)):
        expected = sorted(
            " ".join(pair)
            for pair, value in pmi.items()
            if value >= least and double[pair] >= count and not set(pair) & set(",.;")
        )
        assert expected and builder.collocations(least, count) == expected
    assert "New York" in builder.collocations(3.0, 6)


def test_titles_lose_underscores_and_those_with_a_colon(tmp_path):
    (tmp_path / "titles.txt").write_text("New_York\nFile:Cat.jpg\n\nCat\nCat\n")
    assert read_titles(tmp_path / "titles.txt") == ["Cat", "New York"]
    (tmp_path / "titles.txt").write_text("File:Cat.jpg\n")
    with pytest.raises(SourceError, match="no titles"):
        read_titles(tmp_path / "titles.txt")


def test_lists_are_joined_sorted_with_the_numbers():
    found = joined([["dog", "cat", "!"], ["cat", " "]])
    assert found == sorted(found) and set(found) == {"cat", "dog", *map(str, range(100))}
    assert entries_hash(found) == entries_hash(found[::-1]) != entries_hash(found[1:])


def test_the_name_of_a_synset_ends_at_its_first_dot():
    assert [synset_entry(name) for name in ("cat.n.01", "st._louis.n.01", "hot_dog.n.02")] == ["cat", "st", "hot dog"]


def test_wordnet_without_nltk_or_its_data_is_one_line(monkeypatch, tmp_path):
    if importlib.util.find_spec("nltk") is None:
        line = "requires the package nltk"
    else:
        import nltk

        monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
        line = "python -m nltk.downloader wordnet"
        sys.modules.pop("nltk.corpus", None)
    with pytest.raises(ValueError, match=line):
        wordnet_entries()
