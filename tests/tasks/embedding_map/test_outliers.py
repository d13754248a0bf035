import numpy as np
import pytest
import torch

from dinoclip_viz.tasks.embedding_map import near_duplicates, outliers, similarities


def plain_distances(rows, k):
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    means = []
    for own in range(len(rows)):
        others = sorted(1 - units[own] @ units[other] for other in range(len(rows)) if other != own)
        means.append(sum(others[:k]) / k)
    return np.array(means)


@pytest.mark.parametrize("k", [1, 3, 39])
def test_distances_equal_a_plain_loop_and_are_ranked(k):
    rows = np.random.default_rng(0).normal(size=(40, 6))
    found = outliers(rows, k)
    expected = plain_distances(rows, k)
    np.testing.assert_allclose([one.distance for one in found], expected[[one.row for one in found]], atol=1e-6)
    assert [one.row for one in found] == np.argsort(-expected, kind="stable").tolist()


def test_more_tiles_than_one_change_nothing(monkeypatch):
    rows = np.random.default_rng(1).normal(size=(700, 4)).astype(np.float32)  # queries are read in blocks of 256
    found = {one.row: one.distance for one in outliers(torch.from_numpy(rows), 5)}
    expected = plain_distances(rows.astype(np.float64), 5)
    np.testing.assert_allclose([found[row] for row in range(700)], expected, atol=1e-5)


def test_many_copies_of_one_vector_are_no_neighbours_of_themselves_twice():
    rows = np.concatenate([np.tile([[0.6, 0.8]], (6, 1)), [[-1.0, 0.0]]])
    found = outliers(rows, 2)
    assert found[0].row == 6 and found[0].distance == pytest.approx(1.6, abs=1e-6)
    assert [one.row for one in found[1:]] == [0, 1, 2, 3, 4, 5]
    assert max(one.distance for one in found[1:]) < 1e-6


@pytest.mark.parametrize("k", [0, 3])
def test_a_k_out_of_range_is_told(k):
    with pytest.raises(ValueError, match=f"k is {k} for 3 vectors; expected 1 to 2"):
        outliers(np.eye(3), k)


def test_similarities_equal_a_plain_loop():
    generator = np.random.default_rng(3)
    rows, query = generator.normal(size=(50, 7)), generator.normal(size=7)
    expected = [row @ query / np.linalg.norm(row) / np.linalg.norm(query) for row in rows]
    found = similarities(torch.from_numpy(query), rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_similarity_to_another_space_is_told():
    with pytest.raises(ValueError, match=r"query has shape \(2,\), features \(3, 3\)"):
        similarities([1.0, 0.0], np.eye(3))
    with pytest.raises(ValueError, match="query has NaN"):
        similarities([1.0, np.nan, 0.0], np.eye(3))


def test_near_duplicates_are_the_pairs_of_a_plain_loop_joined():
    generator = np.random.default_rng(4)
    rows = generator.normal(size=(30, 5))
    rows[[9, 20]] = rows[3] * 2 + generator.normal(size=(2, 5)) * 0.01
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = {(a, b) for a in range(30) for b in range(a + 1, 30) if units[a] @ units[b] > 0.999}
    (group,) = near_duplicates(rows, above=0.999)
    assert pairs == {(3, 9), (3, 20), (9, 20)} and group.keep == 3
    for row, cosine in group.duplicates:
        assert cosine == pytest.approx(units[3] @ units[row], abs=1e-6)
