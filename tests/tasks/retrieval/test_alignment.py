"""Alignment measures against plain formulas, and what must not change them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dinoclip_viz.store import Sharded
from dinoclip_viz.tasks.retrieval.alignment import linear_cka, modality_gap, mutual_neighbours


@pytest.fixture(scope="module")
def pair():
    chance = torch.Generator().manual_seed(0)
    a = torch.randn(70, 6, generator=chance) + 3
    return a, a[:, :4] @ torch.randn(4, 9, generator=chance) + torch.randn(70, 9, generator=chance)


def test_cka_equals_the_formula_over_gram_matrices(pair):
    grams = []
    for vectors in pair:
        x = vectors.double().numpy()
        centre = np.eye(len(x)) - 1 / len(x)
        grams.append(centre @ x @ x.T @ centre)
    expected = (grams[0] * grams[1]).sum() / np.sqrt((grams[0] ** 2).sum() * (grams[1] ** 2).sum())
    assert linear_cka(*pair) == pytest.approx(expected, abs=1e-9)
    assert linear_cka(*pair, chunk=11) == pytest.approx(expected, abs=1e-9)


def test_cka_stays_when_vectors_are_rotated_moved_or_scaled(pair):
    a, b = pair
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1))).Q
    assert linear_cka(a, a @ rotation) == pytest.approx(1, abs=1e-6)
    assert linear_cka(7 * a @ rotation - 5, b) == pytest.approx(linear_cka(a, b), abs=1e-5)
    assert linear_cka(b, a) == pytest.approx(linear_cka(a, b), abs=1e-9)
    assert linear_cka(a, b[torch.randperm(70)]) < linear_cka(a, b)


def test_mutual_neighbours_equal_a_plain_loop(pair):
    def nearest(vectors, row):
        unit = F.normalize(vectors, dim=1)
        scores = unit @ unit[row]
        return set(sorted((i for i in range(70) if i != row), key=lambda i: -scores[i])[:10])

    expected = np.mean([len(nearest(pair[0], row) & nearest(pair[1], row)) / 10 for row in range(70)])
    assert mutual_neighbours(*pair) == pytest.approx(expected, abs=1e-9)
    assert mutual_neighbours(*pair, chunk=13) == pytest.approx(expected, abs=1e-9)


def test_mutual_neighbours_of_a_rotated_copy_are_all_the_same(pair):
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(2))).Q
    assert mutual_neighbours(pair[0], 3 * pair[0] @ rotation, k=5) == 1
    assert mutual_neighbours(*pair, k=69) == 1


def test_the_gap_equals_the_formula(pair):
    images, texts = pair[0], torch.randn(90, 6, generator=torch.Generator().manual_seed(3))
    owners = torch.randint(0, 70, (90,), generator=torch.Generator().manual_seed(4))
    gap = modality_gap(images, texts, owners)
    unit = F.normalize(images.double(), dim=1), F.normalize(texts.double(), dim=1)
    assert gap.distance == pytest.approx((unit[0].mean(0) - unit[1].mean(0)).norm().item(), abs=1e-6)
    assert gap.paired_cosine == pytest.approx((unit[0][owners] * unit[1]).sum(1).mean().item(), abs=1e-6)
    same = modality_gap(images, 4 * images)
    assert (same.distance, same.paired_cosine) == (pytest.approx(0, abs=1e-6), pytest.approx(1))


def test_shards_and_arrays_give_the_same(pair, tmp_path):
    np.save(tmp_path / "a_0.npy", pair[0][:31].half().numpy())
    np.save(tmp_path / "a_1.npy", pair[0][31:].half().numpy())
    shards, array = Sharded([tmp_path / "a_0.npy", tmp_path / "a_1.npy"]), pair[0].half().numpy()
    assert linear_cka(shards, pair[1]) == pytest.approx(linear_cka(array, pair[1]), abs=1e-12)
    assert mutual_neighbours(shards, pair[1], chunk=16) == mutual_neighbours(array, pair[1])
    assert modality_gap(shards, array).distance == pytest.approx(0, abs=1e-9)


def test_alignment_refuses_what_does_not_fit(pair):
    a, b = pair
    broken = a.clone()
    broken[3] = torch.nan
    with pytest.raises(ValueError, match=r"\(70, 6\) and \(69, 9\)"):
        linear_cka(a, b[1:])
    with pytest.raises(ValueError, match="1 images"):
        linear_cka(a[:1], b[:1])
    with pytest.raises(ValueError, match="vectors of b are equal"):
        linear_cka(a, torch.full((70, 3), 0.3))
    with pytest.raises(ValueError, match=r"1 of 70 .* row 3 first"):
        linear_cka(broken, b)
    with pytest.raises(ValueError, match=r"1 of 70 .* row 3 first"):
        mutual_neighbours(broken, b)
    with pytest.raises(ValueError, match="k is 70; expected 1 to 69"):
        mutual_neighbours(a, b, k=70)
    with pytest.raises(ValueError, match="row 3 first"):
        modality_gap(a, broken)
    with pytest.raises(ValueError, match="one index per text"):
        modality_gap(a, a[:3])
    with pytest.raises(ValueError, match="indices 0 to B - 1"):
        modality_gap(a, a, [70] * 70)
