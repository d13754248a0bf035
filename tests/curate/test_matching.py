import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoclip_viz.curate.matching import MATCHERS, build_matcher, match_texts, mended, spaced
from tests.curate.plain import plain_matches, plain_spaced

WORDS = st.sampled_from(
    ["a", "cat", "at", "St", "New", "York", "\u732b", "caf\u00e9", "\ud83d", "0", "(a", "b)", "it's", "a+", ".*"]
)
JOINTS = st.sampled_from([" ", "  ", ",", ".", ". ", ";", ":", "?!", "!!", "`", "\t", "\n", "\r\n", "-", '"', ""])
TEXTS = st.lists(st.one_of(WORDS, JOINTS, st.text(max_size=3)), max_size=12).map("".join)
ENTRIES = st.lists(
    st.one_of(st.lists(WORDS, min_size=1, max_size=4).map(" ".join), TEXTS, st.text(max_size=4)),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("method", MATCHERS)
@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXTS, max_size=5), entries=ENTRIES)
def test_matches_are_those_of_one_search_per_entry(method, texts, entries):
    found = match_texts(build_matcher(entries, method=method), texts)
    parts = np.split(found.ids, np.cumsum(found.lengths)[:-1]) if texts else []
    assert [part.tolist() for part in parts] == plain_matches(texts, entries)


@settings(max_examples=60, deadline=None)
@given(text=st.text())
def test_text_is_spaced_as_one_mark_after_the_other(text):
    assert spaced(text) == plain_spaced(text)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, max_size=5), entries=ENTRIES)
def test_both_matchers_agree_on_mended_entries(texts, entries):
    one, other = (match_texts(build_matcher(entries, True, method), texts) for method in MATCHERS)
    assert one.ids.tolist() == other.ids.tolist() and one.lengths.tolist() == other.lengths.tolist()


@pytest.mark.parametrize("method", MATCHERS)
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cat", [0]),
        ("cat dog", [0, 1, 2]),  # both share the space between them
        ("cat cat cat", [0]),
        ("(cat) dog's Cat cats", []),
        ("cat,dog", [0, 1]),
        ("", []),
        ("dog\ncat\tdog", [0, 1, 2]),
    ],
)
def test_entries_match_between_spaces_alone(method, text, found):
    assert sorted(build_matcher(["cat", "dog", "cat dog"], method=method).find(text)) == found


@pytest.mark.parametrize("method", MATCHERS)
def test_characters_of_regular_expressions_are_plain_text(method):
    matcher = build_matcher(["c.t", "(cat", "a|b", "[x]", "c++", ".*", "\\d", "$"], method=method)
    assert sorted(matcher.find("cat 7 x c (cat c++ $ \\d")) == [1, 4, 6, 7]


@pytest.mark.parametrize("method", MATCHERS)
def test_punctuation_inside_an_entry_matches_when_it_is_mended(method):
    assert build_matcher(["St. Louis"], method=method).find("in St. Louis") == set()
    assert build_matcher(["St. Louis"], mend=True, method=method).find("in St.  Louis, now") == {0}
    assert mended("St. Louis") == mended("St . Louis")


def test_both_matchers_find_the_same_in_many_captions_of_many_entries():
    chance = np.random.default_rng(0)
    words = [f"w{number}" for number in range(400)]

    def phrase(count):
        return " ".join(words[number] for number in np.minimum(chance.zipf(1.4, count) - 1, 399))

    entries = sorted({phrase(int(chance.integers(1, 5))) for _ in range(4000)})
    texts = [phrase(14) for _ in range(2000)]
    one, other = (match_texts(build_matcher(entries, method=method), texts) for method in MATCHERS)
    assert len(one.ids) > 10 * len(texts)
    assert np.array_equal(one.ids, other.ids) and np.array_equal(one.lengths, other.lengths)


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="'regex'; expected aho-corasick, n-grams, or None"):
        build_matcher(["cat"], method="regex")


def test_entries_do_not_reach_from_one_text_into_the_next_nor_batches_lose_any():
    matcher = build_matcher(["cat", "cat dog", "dog", " "])
    texts = ["a cat", "dog"] * 5_000  # more than one batch
    found = match_texts(matcher, texts)
    assert found.lengths.tolist() == [1] * len(texts)
    assert found.ids.tolist() == [0, 2] * 5_000
