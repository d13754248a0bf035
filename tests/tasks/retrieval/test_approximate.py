import sys

import pytest
import torch

from dinoclip_viz.tasks.retrieval.approximate import ApproximateIndex, recall_against_exact
from dinoclip_viz.tasks.retrieval.search import nearest


def vectors(count, width=32, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_without_faiss_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r'pip install "dinoclip-viz\[ann\]"') as caught:
        ApproximateIndex.build(vectors(3))
    assert "\n" not in str(caught.value)


class TestWithFaiss:
    @pytest.fixture(autouse=True)
    def installed(self):
        pytest.importorskip("faiss")

    @pytest.mark.parametrize("chunk", [64, 1000])
    def test_the_index_finds_nearly_what_the_exact_search_finds(self, chunk):
        rows, queries = vectors(1000), vectors(20, seed=1)
        index = ApproximateIndex.build(rows, chunk=chunk)
        scores, found = index.search(queries, 10)
        exact, order = nearest(queries, rows, 10)
        assert len(index) == 1000
        assert recall_against_exact(index, rows, queries, 10) > 0.95
        assert (found == order).float().mean() > 0.9
        torch.testing.assert_close(scores[:, 0], exact[:, 0], atol=0.05, rtol=0)

    def test_scores_are_exact_cosines_of_the_rows(self):
        rows, queries = vectors(200).half(), vectors(3, seed=1)
        scores, found = ApproximateIndex.build(rows).search(queries, 5)
        cosines = torch.cosine_similarity(queries[:, None], rows.float()[found], dim=-1)
        torch.testing.assert_close(scores, cosines)

    def test_recall_counts_what_was_missed(self):
        rows, queries = vectors(300), vectors(5, seed=1)
        assert recall_against_exact(ApproximateIndex.build(rows[:150]), rows, queries, 10) < 0.8
        assert recall_against_exact(ApproximateIndex.build(rows), rows, rows[:5], 1) == 1

    def test_of_equal_cosines_the_lower_row_comes_first(self):
        rows = torch.eye(4).repeat(3, 1)
        _, found = ApproximateIndex.build(rows).search(torch.eye(4)[:1], 3)
        assert found.tolist() == [[0, 4, 8]]

    def test_k_is_cut_and_checked(self):
        index = ApproximateIndex.build(vectors(4))
        assert index.search(vectors(1), 50)[1].shape == (1, 4)
        with pytest.raises(ValueError, match="k is 0"):
            index.search(vectors(1), 0)
        with pytest.raises(ValueError, match=r"\(1, 3\)"):
            index.search(vectors(1, 3), 1)
