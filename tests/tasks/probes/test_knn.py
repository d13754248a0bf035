"""k-NN classification against a plain loop, scikit-learn's own, and numbers worked by hand; in memory and on disk."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.neighbors import KNeighborsClassifier

import dinoclip_viz as dv
from dinoclip_viz.store import Sharded
from dinoclip_viz.tasks.probes.knn import class_numbers, class_votes, knn_accuracy, knn_classify, numbers_among, vote
from dinoclip_viz.tasks.retrieval import nearest
from dinoclip_viz.tasks.retrieval.nearest import nearest_blocks


def quads(count, chance):
    """Vectors with four entries of 1 or -1: their cosines are exact quarters, so that many tie exactly."""
    vectors = torch.zeros(count, 16)
    for vector in vectors:
        vector[torch.randperm(16, generator=chance)[:4]] = torch.randint(0, 2, (4,), generator=chance).float() * 2 - 1
    return vectors


def plain(gallery, queries, k):
    """Rows of the k nearest by the book: one query at a time, equal cosines in order of their rows."""
    scores = (F.normalize(queries.double(), dim=1) @ F.normalize(gallery.double(), dim=1).T).tolist()
    return [sorted(range(len(row)), key=lambda position: (-round(row[position], 9), position))[:k] for row in scores]


def clouds(seed, gallery=1500, queries=600, classes=12, width=24, noise=1.6):
    """Vectors round a centre a class, so noisy that neighbours err, and their classes."""
    chance = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, width, generator=chance)
    labels = torch.randint(0, classes, (gallery + queries,), generator=chance)
    vectors = centres[labels] + noise * torch.randn(len(labels), width, generator=chance)
    return vectors[:gallery], labels[:gallery], vectors[gallery:], labels[gallery:]


def rows_of(gallery, queries, k):
    return torch.cat([rows for _, _, rows in nearest_blocks(gallery, queries, k)])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("at_once", "blocks", "chunk"), [(8, 2, 64), (16, 1, 128), (256, 8, 8192), (24, 8, 64)])
def test_neighbours_equal_a_plain_loop_with_exact_ties(monkeypatch, seed, at_once, blocks, chunk):
    for name, value in (("_QUERIES_AT_ONCE", at_once), ("_BLOCKS", blocks), ("_CHUNK", chunk)):
        monkeypatch.setattr(nearest, name, value)
    chance = torch.Generator().manual_seed(seed)
    count, asked = (int(torch.randint(1, 400, (1,), generator=chance)) for _ in range(2))
    gallery, queries = quads(count, chance), quads(asked, chance)
    gallery[count // 2 :] = gallery[: count - count // 2].clone()
    for k in {1, min(7, count), max(1, count // 3), count}:
        assert rows_of(gallery, queries, k).tolist() == plain(gallery, queries, k)


def test_equal_vectors_tie_wherever_they_stand(monkeypatch):
    monkeypatch.setattr(nearest, "_CHUNK", 128)
    one = torch.randn(1, 96, generator=torch.Generator().manual_seed(0))
    assert set(map(tuple, rows_of(one.expand(700, -1), one.expand(300, -1), 5).tolist())) == {(0, 1, 2, 3, 4)}


def test_runs_of_queries_come_in_order_with_their_cosines(monkeypatch):
    monkeypatch.setattr(nearest, "_QUERIES_AT_ONCE", 16)
    gallery, _, queries, _ = clouds(0, queries=50)
    runs = list(nearest_blocks(gallery, queries, 9))
    assert len(runs) > 2
    assert [row for rows, _, _ in runs for row in range(rows.start, rows.stop)] == list(range(50))
    scores = F.normalize(queries, dim=1) @ F.normalize(gallery, dim=1).T
    cosines = torch.cat([cosines for _, cosines, _ in runs])
    torch.testing.assert_close(cosines, scores.gather(1, rows_of(gallery, queries, 9)))
    assert (cosines.diff(dim=1) <= 0).all()


@pytest.mark.parametrize("weights", ["uniform", "DINO's"])
@pytest.mark.parametrize("k", [1, 10, 20, 100, 200])
def test_the_classes_are_scikit_learns(weights, k):
    gallery, labels, queries, target = clouds(1)
    by = "uniform" if weights == "uniform" else lambda distances: np.exp((1 - distances) / 0.07)
    theirs = KNeighborsClassifier(k, weights=by, metric="cosine", algorithm="brute").fit(gallery.numpy(), labels)
    expected = theirs.predict(queries.numpy())
    temperature = math.inf if weights == "uniform" else 0.07
    assert (knn_classify(gallery, labels, queries, k, temperature) == expected).all()
    mine = knn_accuracy(gallery, labels, queries, target, [k], temperature)[k]
    assert 0.3 < mine < 0.95
    assert mine == pytest.approx(float((expected == target.numpy()).mean()))


def test_several_k_in_one_pass_are_each_k_alone():
    gallery, labels, queries, target = clouds(2)
    together = knn_accuracy(gallery, labels, queries, target, (200, 10, 20, 100))
    assert list(together) == [10, 20, 100, 200] and len(set(together.values())) > 1
    for k, fraction in together.items():
        assert knn_accuracy(gallery, labels, queries, target, (k,)) == {k: fraction}


def test_votes_by_hand():
    """Neighbours at cosines 1, .8 and .6; at temperature .2 they weigh 1, e^-1 and e^-2."""
    cosines, numbers = torch.tensor([[1.0, 0.8, 0.6]]), torch.tensor([[0, 1, 1]])
    heavy = math.exp(-1) + math.exp(-2)
    fractions = class_votes(cosines, numbers, 2, temperature=0.2)[0].tolist()
    assert fractions == pytest.approx([1 / (1 + heavy), heavy / (1 + heavy)])
    assert class_votes(cosines, numbers, 2, temperature=math.inf)[0].tolist() == pytest.approx([1 / 3, 2 / 3])
    gallery = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]])
    for temperature, chosen in ((0.2, "near"), (math.inf, "far")):
        assert knn_classify(gallery, ["near", "far", "far"], torch.tensor([[5.0, 0.0]]), 3, temperature) == [chosen]


def test_a_tiny_temperature_overflows_nothing():
    gallery, labels, queries, target = clouds(3)
    assert knn_accuracy(gallery, labels, queries, target, [50], 1e-6) == {
        50: knn_accuracy(gallery, labels, queries, target, [1])[1]
    }


def test_equal_votes_go_to_the_first_class():
    gallery = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert knn_classify(gallery, ["dog", "cat"], gallery[:1], 2).tolist() == ["cat"]


def test_classes_by_name_and_by_number_are_the_same():
    gallery, labels, queries, target = clouds(4)
    names = [f"class {number:02d}" for number in range(12)]
    by_name = knn_classify(gallery, [names[number] for number in labels], queries)
    by_number = knn_classify(gallery, labels, queries)
    assert by_name.tolist() == [names[number] for number in by_number.tolist()]
    assert knn_accuracy(gallery, labels, queries, target, [20]) == knn_accuracy(
        gallery, labels.tolist(), queries, target.numpy().astype(np.uint8), [20]
    )
    assert dv.knn_classify is knn_classify


def test_a_class_that_the_gallery_has_not_is_never_found():
    gallery = torch.eye(3)
    assert knn_accuracy(gallery, ["a", "b", "c"], gallery, ["a", "b", "z"], [1]) == {1: pytest.approx(2 / 3)}
    assert numbers_among(class_numbers([3, 1])[0], [3, 2, 1]).tolist() == [1, -1, 0]


def test_vectors_on_disk_are_read_where_they_lie(tmp_path, monkeypatch):
    monkeypatch.setattr(nearest, "_CHUNK", 192)
    gallery, labels, queries, target = clouds(5)
    files = []
    for number, part in enumerate(gallery.half().split(400)):
        files.append(tmp_path / f"{number}.npy")
        np.save(files[-1], part.numpy())
    stored = Sharded(files)
    assert knn_accuracy(stored, labels, queries.numpy(), target) == knn_accuracy(
        gallery.half(), labels, queries, target
    )


def test_many_classes_are_counted_in_parts(monkeypatch):
    gallery, labels, queries, target = clouds(6)
    whole = knn_accuracy(gallery, labels, queries, target)
    monkeypatch.setattr("dinoclip_viz.tasks.probes.knn._VOTES_AT_ONCE", 12 * 5)
    assert knn_accuracy(gallery, labels, queries, target) == whole


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"ks": [4]}, "k is 4; expected 1 to 3, the number of gallery vectors"),
        ({"ks": [0]}, "k is 0; expected 1 to 3"),
        ({"ks": []}, "k is missing"),
        ({"temperature": 0.0}, "temperature is 0.0; expected a number above 0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"labels": ["a", "b"]}, "2 labels for 3 vectors; expected one each"),
        ({"target": ["a"]}, "1 classes for 2 queries; expected one each"),
        ({"target": [1, 2]}, "classes are numbers and names"),
        ({"labels": [0.5, 1.0, 2.0]}, "labels have type float64, np.float64(0.5) first; expected names or integers"),
        ({"labels": ["a", None, "b"]}, "expected names or integers"),
        ({"labels": []}, "expected (N,), one label per image"),
        ({"queries": torch.ones(2, 5)}, "shapes (3, 3) and (2, 5); expected (N, D) and (Q, D) of one space"),
        ({"gallery": torch.eye(3) * torch.tensor([1, math.nan, 1])}, "row 0 of the gallery is NaN or infinite"),
        ({"queries": torch.tensor([[1.0, 0, 0], [math.inf, 0, 0]])}, "row 1 of the queries is NaN or infinite"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(change, complaint):
    given = {"gallery": torch.eye(3), "labels": ["a", "b", "c"], "queries": torch.eye(3)[:2], "target": ["a", "b"]}
    with pytest.raises(ValueError) as caught:
        knn_accuracy(**{**given, "ks": [1], **change})
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


def test_the_vote_of_one_image_looks_past_those_without_a_label():
    gallery, labels, queries, _ = clouds(7, gallery=300)
    known = [f"{number}" if row % 9 == 4 else None for row, number in enumerate(labels.tolist())]
    found = vote(queries[:1], gallery, known, k=12)
    expected = [row for row in plain(gallery, queries[:1], 300)[0] if known[row] is not None][:12]
    assert found.rows.tolist() == expected
    assert found.labels == tuple(known[row] for row in expected)
    weights = torch.softmax(found.cosines.double() / 0.07, 0)
    torch.testing.assert_close(found.weights, weights)
    for name, fraction in found.fractions.items():
        own = [row for row, label in enumerate(found.labels) if label == name]
        assert fraction == pytest.approx(weights[own].sum().item())
    assert list(found.fractions.values()) == sorted(found.fractions.values(), reverse=True)
    with pytest.raises(ValueError, match="k is 99; expected 1 to 33, the number of labelled images of 300"):
        vote(queries[:1], gallery, known, k=99)
