import sys

import numpy as np
import pytest
import torch

from dinoclip_viz.store import Sharded
from dinoclip_viz.tasks.embedding_map import method_for, project, projection


@pytest.fixture
def without_umap(monkeypatch):
    monkeypatch.setattr(projection, "find_spec", lambda name: None)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def rows_of(count, width, seed=0):
    """Vectors of three directions, of lengths that differ by a factor of 100."""
    generator = np.random.default_rng(seed)
    middle = generator.normal(size=(3, width))[generator.integers(0, 3, count)]
    return (middle + generator.normal(size=(count, width))) * generator.uniform(0.1, 10, (count, 1))


def test_pca_is_that_of_the_normalised_rows():
    rows = rows_of(500, 12)
    units = unit(rows)
    centred = units - units.mean(0)
    expected = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    found = project(rows, "pca")
    assert found.dtype == np.float32 and found.shape == (500, 2)
    for axis in range(2):
        sign = np.sign(found[:, axis] @ expected[:, axis])
        np.testing.assert_allclose(found[:, axis], sign * expected[:, axis], atol=1e-6)


def test_rows_on_disk_in_several_shards_give_the_map_of_the_rows_in_memory(tmp_path):
    rows = rows_of(40_000, 6).astype(np.float16)  # more than one block
    for number, part in enumerate(np.array_split(rows, 3)):
        np.save(tmp_path / f"{number}.npy", part)
    stored = Sharded([tmp_path / f"{number}.npy" for number in range(3)])
    np.testing.assert_array_equal(project(stored, "pca"), project(rows, "pca"))
    np.testing.assert_allclose(project(torch.from_numpy(rows), "pca"), project(rows, "pca"), atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_vectors_have_a_map_whose_distances_are_theirs(count):
    rows = rows_of(count, 5)
    found, units = project(rows, "pca"), unit(rows)
    assert found.shape == (count, 2)
    for one in range(count):  # up to three points span a plane at most
        for other in range(count):
            distance = np.linalg.norm(units[one] - units[other])
            assert np.linalg.norm(found[one] - found[other]) == pytest.approx(distance, abs=1e-5)


def test_vectors_of_one_number_lie_on_a_line():
    assert project([[2.0], [-3.0], [5.0]], "pca")[:, 1].tolist() == [0.0, 0.0, 0.0]


def test_auto_is_pca_without_umap(without_umap):
    assert method_for(1000) == "pca"
    with pytest.raises(ModuleNotFoundError, match=r"needs umap-learn: pip install .dinoclip-viz\[explore\]"):
        project(rows_of(100, 4), "umap")


def test_auto_is_umap_for_some_hundred_vectors_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(projection, "find_spec", lambda name: object())
    assert [method_for(count) for count in (15, 16, 20_000, 20_001)] == ["pca", "umap", "umap", "pca"]
    with pytest.raises(ValueError, match="found 15 vectors; UMAP needs at least 16"):
        method_for(15, "umap")


def test_umap_gets_unit_rows_the_cosine_and_the_seed(monkeypatch):
    given = {}

    class FakeUMAP:
        def __init__(self, **settings):
            given.update(settings)

        def fit_transform(self, rows):
            given["rows"] = rows
            return rows[:, :2].astype(np.float64)

    module = type(sys)("umap")
    module.UMAP = FakeUMAP
    monkeypatch.setitem(sys.modules, "umap", module)
    monkeypatch.setattr(projection, "find_spec", lambda name: object())
    rows = rows_of(30, 4)
    found = project(rows, "umap", seed=7)
    np.testing.assert_allclose(given["rows"], unit(rows), atol=1e-6)
    assert given["random_state"] == 7 and given["metric"] == "cosine" and given["n_neighbors"] == 15
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, unit(rows)[:, :2], atol=1e-6)


def test_real_umap_keeps_groups_together_and_repeats_with_its_seed():
    pytest.importorskip("umap")
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 40)
    rows = (np.eye(3, 8) * 6)[labels] + generator.normal(size=(120, 8)) * 0.3
    found = project(rows, "umap", seed=1)
    np.testing.assert_array_equal(found, project(rows, "umap", seed=1))
    gaps = np.linalg.norm(found[:, None] - found[None], axis=-1)
    np.fill_diagonal(gaps, np.inf)
    assert (labels[gaps.argmin(1)] == labels).all()


def test_wrong_input_is_told_in_one_line():
    with pytest.raises(ValueError, match="no vectors"):
        project(np.empty((0, 4)))
    with pytest.raises(ValueError, match="found method 'tsne'; expected one of auto, pca, umap"):
        project([[1.0, 2.0]], "tsne")
    broken = rows_of(20, 4)
    broken[7, 2] = np.nan
    with pytest.raises(ValueError, match="row 7 of the vectors is NaN or infinite"):
        project(broken, "pca")
