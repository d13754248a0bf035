import numpy as np
import pytest

from dinoclip_viz.tasks.embedding_map import cluster_rows, clusters


def groups(sizes, width=6, seed=0):
    """Vectors near one axis per group, of any length, in mixed order, and the group of each."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rows = np.eye(len(sizes), width)[labels] + generator.normal(size=(len(labels), width)) * 0.05
    return rows * generator.uniform(0.1, 10, (len(labels), 1)), labels


def test_separate_groups_are_found_the_largest_first():
    rows, labels = groups([20, 50, 30])
    expected = np.array([2, 0, 1])[labels]  # by size
    np.testing.assert_array_equal(cluster_rows(rows, 3), expected)


def test_every_vector_gets_its_nearest_centre_when_centres_come_from_a_sample(monkeypatch):
    rows, labels = groups([300, 200, 100])
    monkeypatch.setattr(clusters, "SAMPLE", 60)
    monkeypatch.setattr("dinoclip_viz.tasks.retrieval.search.unit_chunks.__defaults__", (128,))
    found = cluster_rows(rows, 3, seed=4)
    np.testing.assert_array_equal(found, labels)
    np.testing.assert_array_equal(found, cluster_rows(rows, 3, seed=4))


def test_the_sample_holds_the_rows_that_were_drawn(monkeypatch):
    rows = np.random.default_rng(1).normal(size=(50, 3))
    monkeypatch.setattr(clusters, "SAMPLE", 20)
    monkeypatch.setattr("dinoclip_viz.tasks.retrieval.search.unit_chunks.__defaults__", (16,))
    found = clusters._sample(rows, seed=3)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    drawn = np.sort(np.random.default_rng(3).choice(50, 20, replace=False))
    np.testing.assert_allclose(found, units[drawn], atol=1e-6)


def test_nearest_centre_equals_a_plain_loop():
    generator = np.random.default_rng(2)
    rows, centres = generator.normal(size=(40, 5)), generator.normal(size=(4, 5))
    expected = [int(np.argmin([np.sum((row - centre) ** 2) for centre in centres])) for row in rows]
    assert clusters._nearest(rows, centres).tolist() == expected


def test_fewer_distinct_vectors_than_clusters_give_fewer_clusters():
    found = cluster_rows([[1.0, 0.0]] * 5 + [[0.0, 1.0]] * 3, count=4)
    assert found.tolist() == [0] * 5 + [1] * 3


@pytest.mark.parametrize("count", [0, 4])
def test_a_count_out_of_range_is_told(count):
    with pytest.raises(ValueError, match=f"found {count} clusters for 3 vectors; expected 1 to 3"):
        cluster_rows(np.eye(3), count)
