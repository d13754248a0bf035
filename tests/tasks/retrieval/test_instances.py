"""Instance retrieval against a plain rewrite of the protocol and against numbers worked by hand."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dinoclip_viz.tasks.retrieval.instances import average_precision, instance_retrieval, precision_at


def plain(queries, gallery, relevant, right, ignored):
    """The protocol, query by query: rank, take the ignored out, walk down the ranking."""
    scores = (F.normalize(queries.double(), dim=1) @ F.normalize(gallery.double(), dim=1).T).float().tolist()
    figures = []
    for row, lists in zip(scores, relevant, strict=True):
        answers = {position for name in right for position in lists.get(name, ())}
        out = {position for name in ignored for position in lists.get(name, ())}
        if not answers:
            continue
        ranked = sorted((p for p in range(len(row)) if p not in out), key=lambda p: (-row[p], p in answers))
        area, seen, recall = 0.0, 0, 1 / len(answers)
        precisions = {}
        last = max(position for position, image in enumerate(ranked) if image in answers) + 1
        for position, image in enumerate(ranked):
            if image in answers:
                above = seen / position if position else 1.0
                seen += 1
                area += recall * (above + seen / (position + 1)) / 2
        for cut in (1, 5, 10):
            looked_at = min(last, cut)
            precisions[cut] = sum(image in answers for image in ranked[:looked_at]) / looked_at
        figures.append([area, *precisions.values()])
    return [*np.mean(figures, axis=0), len(figures)] if figures else None


def collection(seed, queries=12, gallery=90, width=8):
    """Vectors with many exact ties, and lists that are sometimes empty."""
    chance = np.random.default_rng(seed)
    vectors = torch.from_numpy(chance.integers(-1, 2, (queries + gallery, width))).float()
    vectors[:, 0] += 0.5
    relevant = []
    for number in range(queries):
        rows = chance.permutation(gallery)[: chance.integers(0, 30)].tolist()
        cuts = sorted(chance.integers(0, len(rows) + 1, 2).tolist())
        lists = {"easy": rows[: cuts[0]], "hard": rows[cuts[0] : cuts[1]], "junk": rows[cuts[1] :]}
        relevant.append(lists if number % 3 else {name: own for name, own in lists.items() if own})
    return vectors[:queries], vectors[queries:], relevant


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("chunk", [1, 17, 16384])
def test_figures_equal_a_plain_rewrite_with_exact_ties(seed, chunk):
    queries, gallery, relevant = collection(seed)
    found = instance_retrieval(queries, gallery.numpy(), relevant, chunk)
    protocols = {
        "easy": (["easy"], ["hard", "junk"]),
        "medium": (["easy", "hard"], ["junk"]),
        "hard": (["hard"], ["easy", "junk"]),
    }
    for protocol, (right, ignored) in protocols.items():
        expected = plain(queries, gallery, relevant, right, ignored)
        assert list(found[protocol].values()) == pytest.approx(expected)
        assert list(found[protocol]) == ["mAP", "mP@1", "mP@5", "mP@10", "queries"]


def test_one_query_by_hand():
    """Ranking: 0 easy, 1 wrong, 2 junk, 3 hard, 4 wrong, 5 easy."""
    angles = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    gallery = torch.stack([angles.cos(), angles.sin()], dim=1)
    relevant = [{"easy": [0, 5], "hard": [3], "junk": [2]}]
    found = instance_retrieval(torch.tensor([[2.0, 0.0]]), gallery, relevant)
    # easy: wrong ones at 1 and 2, answers at 0 and 3; medium: answers at 0, 2, 4; hard: wrong at 0 and 2, answer at 1
    assert found["easy"]["mAP"] == pytest.approx(((1 + 1) / 2 + (1 / 3 + 2 / 4) / 2) / 2)
    assert found["medium"]["mAP"] == pytest.approx(((1 + 1) / 2 + (1 / 2 + 2 / 3) / 2 + (2 / 4 + 3 / 5) / 2) / 3)
    assert found["hard"]["mAP"] == pytest.approx((0 + 1 / 2) / 2)
    assert [found["easy"][f"mP@{cut}"] for cut in (1, 5, 10)] == pytest.approx([1, 2 / 4, 2 / 4])
    assert [found["hard"][f"mP@{cut}"] for cut in (1, 5, 10)] == pytest.approx([0, 1 / 2, 1 / 2])


def test_areas_and_precisions_by_hand():
    assert average_precision(np.array([0, 1, 2])) == 1
    assert average_precision(np.array([3])) == pytest.approx((0 + 1 / 4) / 2)
    assert precision_at(np.array([0, 1, 2]), 10) == 1
    assert precision_at(np.array([4, 20]), 10) == pytest.approx(1 / 10)


def test_queries_without_an_answer_are_left_out_and_a_tie_counts_against_the_query():
    gallery = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = instance_retrieval(gallery[:2], gallery, [{"easy": [0]}, {"junk": [0]}])
    assert found["easy"] == {
        "mAP": pytest.approx((0 + 1 / 2) / 2), "mP@1": 0, "mP@5": 0.5, "mP@10": 0.5, "queries": 1
    }  # fmt: skip
    assert "hard" not in found


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"relevant": [{"easy": [3]}]}, "query 0 lists rows 3 to 3; expected 0 to 2"),
        ({"relevant": [{"easy": [1], "junk": [1]}]}, "query 0 repeats a row"),
        ({"relevant": [{"junk": [1]}]}, "no query has a correct image"),
        ({"relevant": []}, "0 ground truths for 1 queries"),
        ({"queries": torch.ones(1, 5)}, "shapes (1, 5) and (3, 3)"),
        ({"gallery": torch.eye(3) * math.nan}, "row 0 of the vectors is NaN or infinite"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(change, complaint):
    given = {"queries": torch.eye(3)[:1], "gallery": torch.eye(3), "relevant": [{"easy": [1]}], **change}
    with pytest.raises(ValueError) as caught:
        instance_retrieval(**given)
    assert complaint in str(caught.value) and "\n" not in str(caught.value)
