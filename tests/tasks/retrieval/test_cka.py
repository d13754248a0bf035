"""Biased and debiased CKA against their kernels, the interval, and the ranking of pairs of encoders."""

import numpy as np
import pytest
import torch

from dinoclip_viz.store import StoreError
from dinoclip_viz.tasks.retrieval.alignment import linear_cka, mutual_neighbours
from dinoclip_viz.tasks.retrieval.cka import cka
from dinoclip_viz.tasks.retrieval.pairing import mean_captions, rank_pairs
from tests.made_stores import pair, unimodal


@pytest.fixture
def vectors():
    chance = torch.Generator().manual_seed(0)
    shared = torch.randn(60, 3, generator=chance)
    a = shared @ torch.randn(3, 9, generator=chance) + torch.randn(60, 9, generator=chance)
    b = shared @ torch.randn(3, 5, generator=chance) + torch.randn(60, 5, generator=chance)
    return a.double(), b.double() + 4


def unbiased_hsic(k, m):
    """HSIC_1 of Song et al. 2012, by their formula."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    one = np.ones(n)
    trace = np.trace(k @ m) + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    return (trace - 2 / (n - 2) * one @ k @ m @ one) / (n * (n - 3))


def debiased(a, b):
    k, m = (np.asarray(x) @ np.asarray(x).T for x in (a, b))
    return unbiased_hsic(k, m) / np.sqrt(unbiased_hsic(k, k) * unbiased_hsic(m, m))


def test_both_values_are_those_of_the_kernels(vectors):
    a, b = vectors
    found = cka(a, b)
    assert found.debiased == pytest.approx(debiased(a, b))
    assert found.biased == pytest.approx(linear_cka(a, b))
    middle = np.eye(60) - 1 / 60
    k, m = (middle @ (x @ x.T).numpy() @ middle for x in (a, b))
    assert found.biased == pytest.approx((k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum()))


def test_the_interval_is_a_jackknifes(vectors):
    a, b = vectors
    found = cka(a, b, groups=6)
    rows = np.arange(60)
    left = np.array([debiased(a[rows % 6 != group], b[rows % 6 != group]) for group in range(6)])
    spread = np.sqrt(5 / 6 * ((left - left.mean()) ** 2).sum())
    assert found.high - found.debiased == pytest.approx(1.96 * spread)
    assert found.debiased - found.low == pytest.approx(1.96 * spread)


def test_unrelated_vectors_of_many_dimensions_are_near_zero_only_without_the_bias():
    chance = torch.Generator().manual_seed(1)
    found = cka(torch.randn(100, 200, generator=chance), torch.randn(100, 200, generator=chance))
    assert found.biased > 0.5
    assert abs(found.debiased) < 0.05


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (torch.randn(60, 3), torch.randn(59, 3), "found 60 and 59 vectors"),
        (torch.randn(20, 3), torch.randn(20, 3), "found 20 and 20 vectors for 10 groups"),
        (torch.ones(60, 3), torch.randn(60, 3), "all 60 vectors of a are equal"),
        (torch.randn(60, 3), torch.full((60, 3), torch.nan), "60 rows of b are NaN or infinite"),
    ],
)
def test_vectors_without_a_similarity_are_refused(a, b, words):
    with pytest.raises(ValueError, match=words):
        cka(a, b)


def test_pairs_are_ranked_by_both_measures_and_the_related_one_comes_first(tmp_path):
    good = unimodal(tmp_path, images=120, name="good")
    weak = unimodal(tmp_path, images=120, noise=3.0, name="weak")
    unrelated = pair(tmp_path / "p", 120)[0]
    scores = rank_pairs([unrelated, weak, good], k=5)
    assert [one.rank for one in scores] == list(range(1, 13))
    assert scores[0].images.path == good.path and scores[0].texts.settings.texts == "made-text"
    assert {one.texts.settings.texts for one in scores} == {"made-text", "made-clip"}
    by_cka = sorted(scores, key=lambda one: -one.debiased_cka)
    by_shared = sorted(scores, key=lambda one: -one.mutual_neighbours)
    sums = [by_cka.index(one) + by_shared.index(one) for one in scores]
    assert sums == sorted(sums)
    texts = scores[0].texts  # of the first store that has them
    said = mean_captions(texts, np.arange(120))
    assert scores[0].debiased_cka == pytest.approx(cka(getattr(good, scores[0].column)[:], said).debiased)
    expected = mutual_neighbours(getattr(good, scores[0].column)[:], said, 5)
    assert scores[0].mutual_neighbours == pytest.approx(expected)


def test_an_images_text_vector_is_the_mean_of_its_captions(tmp_path):
    store = unimodal(tmp_path, images=40, captions=3)
    rows = np.array([2, 7, 31])
    plain = [
        np.mean([store.texts[t] for t in range(120) if store.text_to_image[t] == row], 0, np.float64) for row in rows
    ]
    np.testing.assert_allclose(mean_captions(store, rows), np.array(plain), atol=1e-6)


def test_stores_that_make_no_pair_are_refused(tmp_path):
    store = unimodal(tmp_path, images=60)
    with pytest.raises(StoreError, match=r"different numbers of images: .*60, .*80; expected stores of the same"):
        rank_pairs([store, unimodal(tmp_path, images=80, name="other")])
    bare = unimodal(tmp_path, images=60, captions=0, tokens=False, name="bare")
    with pytest.raises(StoreError, match=r"none of .*bare has encoded captions; .*--texts MODEL"):
        rank_pairs([bare])
