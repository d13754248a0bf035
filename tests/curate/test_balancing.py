import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dinoclip_viz as dv
from dinoclip_viz.curate.balancing import (
    draws,
    entry_counts,
    entry_probabilities,
    hashes,
    keep_probabilities,
    per_entry_of_size,
    per_entry_of_tail,
    tail_fraction,
)
from dinoclip_viz.curate.matching import Matches, build_matcher, match_texts
from tests.curate.plain import plain_balance

WORDS = ["cat", "dog", "red", "car", "red car", "tree"]


def corpus(count, seed=0):
    """Captions with a head and a tail: word i is in about 2^-i of them."""
    chance = np.random.default_rng(seed)
    present = chance.random((count, len(WORDS))) < 0.6 * 0.5 ** np.arange(len(WORDS))
    return [" ".join(word for word, there in zip(WORDS, row, strict=True) if there) for row in present]


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.lists(st.sampled_from(["cat", "dog", "red", "car", "x"]), max_size=4).map(" ".join), max_size=30),
    per_entry=st.one_of(st.floats(0.01, 40), st.just(math.inf)),
    seed=st.integers(0, 2**64 - 1),
)
def test_kept_texts_are_those_of_a_plain_loop(texts, per_entry, seed):
    assert dv.curate.balance(texts, WORDS, per_entry, seed).tolist() == plain_balance(texts, WORDS, per_entry, seed)[0]


def test_keys_enter_the_draws_as_in_a_plain_loop():
    texts = corpus(300)
    keys = [f"image-{number // 3}" for number in range(300)]
    kept = dv.curate.balance(texts, WORDS, 10, 3, keys)
    assert kept.tolist() == plain_balance(texts, WORDS, 10, 3, keys)[0]
    assert kept.tolist() != dv.curate.balance(texts, WORDS, 10, 3).tolist()


def test_the_probabilities_are_those_of_a_plain_loop():
    texts = corpus(400)
    matches = match_texts(build_matcher(WORDS), texts)
    counts = entry_counts(matches, len(WORDS))
    chances = keep_probabilities(matches, entry_probabilities(counts, 12))
    np.testing.assert_allclose(chances, plain_balance(texts, WORDS, 12)[1], atol=1e-12)
    assert set(chances[[not text for text in texts]]) == {0.0}


def test_the_result_does_not_depend_on_the_order_of_texts_or_entries():
    texts = corpus(2000)
    keys = [str(number) for number in range(2000)]
    kept = dv.curate.balance(texts, WORDS, 20, 5, keys)
    order = np.random.default_rng(1).permutation(2000)
    shuffled = dv.curate.balance([texts[i] for i in order], WORDS[::-1], 20, 5, [keys[i] for i in order])
    assert shuffled.tolist() == kept[order].tolist()
    assert 0 < kept.sum() < 2000


def test_seeds_draw_differently_and_a_larger_t_keeps_more_of_the_same():
    texts = corpus(2000)
    few, many, other = (dv.curate.balance(texts, WORDS, t, seed) for t, seed in ((10, 0), (40, 0), (10, 1)))
    assert (few <= many).all() and few.sum() < many.sum()
    assert (few != other).any()


def test_as_many_are_kept_as_expected():
    """The mean over seeds of the kept number, within 4 standard errors; draws of one text are independent."""
    texts = corpus(3000)
    matches = match_texts(build_matcher(WORDS), texts)
    chances = keep_probabilities(matches, entry_probabilities(entry_counts(matches, len(WORDS)), 30))
    sums = [dv.curate.balance(texts, WORDS, 30, seed).sum() for seed in range(20)]
    error = math.sqrt((chances * (1 - chances)).sum() / len(sums))
    assert abs(np.mean(sums) - chances.sum()) < 4 * error


def test_texts_of_rare_entries_and_everything_at_infinity_are_kept():
    texts = corpus(1000)
    matched = np.array([bool(text) for text in texts])
    assert np.array_equal(dv.curate.balance(texts, WORDS, math.inf), matched)
    rare = np.array([" tree " in f" {text} " for text in texts])
    assert 0 < rare.sum() < 40
    assert dv.curate.balance(texts, WORDS, 40)[rare].all()


def test_an_entry_on_its_own_keeps_about_t_texts_even_if_they_are_equal():
    kept = dv.curate.balance(["a cat"] * 20_000, ["cat"], 400)
    assert abs(int(kept.sum()) - 400) < 4 * math.sqrt(400)


def test_draws_are_uniform_and_independent_between_entries():
    texts = hashes(map(str, range(20_000)))
    one, other = (draws(texts, np.broadcast_to(hashes([word]), texts.shape), 7) for word in ("cat", "dog"))
    for values in (one, other):
        assert values.min() >= 0 and values.max() < 1
        counts = np.histogram(values, 20, (0, 1))[0]
        assert ((counts - 1000) ** 2 / 1000).sum() < 45  # chi squared of 19 degrees of freedom, p of about .001
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / math.sqrt(20_000)


def test_the_size_is_solved_for():
    texts = corpus(3000)
    matches = match_texts(build_matcher(WORDS), texts)
    counts = entry_counts(matches, len(WORDS))

    def expected(per_entry):
        return float(keep_probabilities(matches, entry_probabilities(counts, per_entry)).sum())

    most = round(expected(math.inf))
    for size in (1, 40, 700, most):
        found = per_entry_of_size(expected, size, int(counts.max()))
        assert abs(expected(found) - size) <= max(0.5, 1e-3 * size)
    with pytest.raises(ValueError, match=f"the size is {most + 1}; expected 1 to {most}"):
        per_entry_of_size(expected, most + 1, int(counts.max()))


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(0, 1000), min_size=1, max_size=30), tail=st.floats(0.01, 0.99))
def test_the_tail_is_the_least_count_that_reaches_the_fraction(counts, tail):
    if not any(counts):
        return
    found = per_entry_of_tail(np.array(counts), tail)
    total = sum(counts)
    reaching = [t for t in counts if t and sum(count for count in counts if count <= t) >= tail * total * (1 - 1e-12)]
    assert found == min(reaching)
    assert tail_fraction(np.array(counts), found) <= tail + 1e-12


def test_a_tail_without_matches_or_out_of_range_is_refused():
    with pytest.raises(ValueError, match="the tail is 1"):
        per_entry_of_tail(np.array([3]), 1)
    with pytest.raises(ValueError, match="no entry matches"):
        per_entry_of_tail(np.array([0, 0]), 0.1)


def test_counts_are_of_texts_not_of_occurrences():
    matches = match_texts(build_matcher(["cat", "dog"]), ["cat cat cat", "cat dog", ""])
    assert entry_counts(matches, 2).tolist() == [2, 1]
    assert entry_counts(Matches(np.zeros(0, np.int32), np.zeros(0, np.int32)), 2).tolist() == [0, 0]


def test_nothing_is_kept_of_texts_without_entries_and_of_no_texts():
    assert dv.curate.balance(["", "a bird"], ["cat"], 5).tolist() == [False, False]
    assert dv.curate.balance([], ["cat"], 5).shape == (0,)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"entries": []}, "found no entries"),
        ({"entries": "cat"}, "entries is the text 'cat'"),
        ({"entries": ["cat", " "]}, "entry 2 of 2 is empty"),
        ({"entries": ["cat", 3]}, "entry 2 of 2 is a int"),
        ({"texts": "a cat"}, "texts is the text 'a cat'"),
        ({"per_entry": 0}, "per_entry is 0"),
        ({"per_entry": math.nan}, "per_entry is nan"),
        ({"seed": -1}, "seed is -1"),
        ({"keys": ["a", "b"]}, "2 keys and 1 texts"),
    ],
)
def test_bad_input_is_named(changes, line):
    with pytest.raises(ValueError, match=line):
        dv.curate.balance(**{"texts": ["a cat"], "entries": ["cat"], "per_entry": 1, **changes})
