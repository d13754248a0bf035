"""Vectors as tensors, arrays and nested lists give the same; others are refused with the argument's name."""

import numpy as np
import pytest
import torch

import dinoclip_viz as dv
from dinoclip_viz.tasks.correspondence.accuracy import pck
from dinoclip_viz.tasks.probes.knn import class_votes, knn_accuracy, vote
from dinoclip_viz.tasks.probes.linear import LinearProbe
from dinoclip_viz.tasks.probes.low_shot import low_shot
from dinoclip_viz.tasks.retrieval.alignment import linear_cka, modality_gap, mutual_neighbours
from dinoclip_viz.tasks.retrieval.duplicates import near_duplicates
from dinoclip_viz.tasks.retrieval.instances import average_precision, instance_retrieval, precision_at
from dinoclip_viz.tasks.retrieval.recall import found_instead
from dinoclip_viz.tasks.retrieval.search import nearest
from dinoclip_viz.tasks.retrieval.vectors import as_tensor, as_vectors, indices
from dinoclip_viz.tasks.zero_shot.accuracy import top_k_accuracy, top_k_accuracy_by_class
from dinoclip_viz.tasks.zero_shot.classify import cosines

LABELS = [0, 1, 0, 1, 0, 1]
CALLS = {
    "recall": lambda v: dv.recall(v, v, range(6)),
    "found_instead": lambda v: found_instead(v, v, [[row] for row in range(6)]),
    "linear_cka": lambda v: linear_cka(v, v),
    "mutual_neighbours": lambda v: mutual_neighbours(v, v, 2),
    "modality_gap": lambda v: modality_gap(v, v),
    "near_duplicates": lambda v: near_duplicates(v, 0.5),
    "instance_retrieval": lambda v: instance_retrieval(v, v, [{"easy": [row]} for row in range(6)]),
    "nearest": lambda v: nearest(v, v, 2),
    "knn_classify": lambda v: dv.knn_classify(v, LABELS, v, 2).tolist(),
    "knn_accuracy": lambda v: knn_accuracy(v, LABELS, v, LABELS, [2]),
    "low_shot": lambda v: low_shot(v, LABELS, v, LABELS, [2], [0, 1], ["class_mean"]),
    "linear probe": lambda v: LinearProbe(grid=[0.1]).fit(v, LABELS).predict_proba(v),
    "cosines": lambda v: cosines(v, v),
    "top_k_accuracy": lambda v: top_k_accuracy(v, LABELS),
    "top_k_accuracy_by_class": lambda v: top_k_accuracy_by_class(v, LABELS),
    "class_votes": lambda v: class_votes(v, [[0, 1, 2, 3]] * 6, 4),
}


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.allclose(one, other, atol=1e-6, rtol=0, equal_nan=True)
    if isinstance(one, tuple) and all(isinstance(each, torch.Tensor) for each in one):
        return all(map(same, one, other))
    return one == other


@pytest.mark.parametrize("name", CALLS)
def test_tensors_arrays_and_lists_give_the_same(name):
    vectors = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    expected = CALLS[name](vectors)
    for given in (vectors.numpy(), vectors.tolist(), list(vectors), list(vectors.numpy()), tuple(vectors.tolist())):
        assert same(CALLS[name](given), expected)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("given", [[[1.0, 2.0]] * 5 + [[1.0]], [["a", "b"]] * 6, [[None, 1.0]] * 6], ids=str)
def test_ragged_and_non_numeric_vectors_are_refused_in_one_line(name, given):
    with pytest.raises(ValueError, match=r"^\w+ has (rows of different lengths|values of type)") as caught:
        CALLS[name](given)
    assert "\n" not in str(caught.value)


def test_the_error_names_the_argument():
    with pytest.raises(ValueError, match=r"^text_vectors has rows of different lengths"):
        dv.recall(torch.eye(2), [[1.0, 2.0], [3.0]], [0, 1])
    with pytest.raises(ValueError, match=r"^text_to_image has values of type"):
        dv.recall(torch.eye(2), torch.eye(2), ["a", "b"])
    with pytest.raises(ValueError, match=r"^text_to_image has shape \(2,\) and type float64; expected \(T,\) integers"):
        dv.recall(torch.eye(2), torch.eye(2), [0.5, 1.0])
    with pytest.raises(ValueError, match=r"^target has rows of different lengths"):
        pck([[0, 0]], [[0, 0], [1]], 1)
    with pytest.raises(ValueError, match=r"^queries has shape \(3,\); expected \(N, D\)"):
        as_vectors([1.0, 2.0, 3.0], "queries")
    with pytest.raises(ValueError, match=r"^labels is ragged"):
        dv.knn_classify(torch.eye(2), [[0], [0, 1]], torch.eye(2), 1)


def test_votes_and_ranks_accept_lists():
    found = vote([[1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], ["cat", "dog"], 1)
    assert found.labels == ("cat",) and found.fractions == {"cat": 1.0}
    assert average_precision([0, 1]) == 1.0 and precision_at([0, 2, 9], 5) == 0.4


def test_tensors_pass_through_without_a_copy():
    vectors = torch.eye(3)
    assert as_vectors(vectors, "a") is vectors and as_tensor(vectors, "a") is vectors
    assert indices(np.array([1, 0], np.uint8)).dtype == np.int64
