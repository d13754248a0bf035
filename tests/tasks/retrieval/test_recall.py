"""Ranks and recall against a plain loop in double precision, on vectors in memory and on disk, and on genuine ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dinoclip_viz.store import Sharded
from dinoclip_viz.tasks.retrieval import recall as retrieval
from dinoclip_viz.tasks.retrieval.recall import found_instead, ranks, recall, summary
from dinoclip_viz.tasks.zero_shot.classify import cosines

REFERENCE = Path(__file__).resolve().parents[3].parent / "shared" / "reference"
genuine = pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference data is not next to the project")


def plain(images, texts, owners):
    """Both ranks by the book: float64, one pair at a time."""
    scores = (F.normalize(images.double(), dim=1) @ F.normalize(texts.double(), dim=1).T).tolist()
    to_texts, to_images = [], []
    for image, row in enumerate(scores):
        best = max(score for text, score in enumerate(row) if owners[text] == image)
        to_texts.append(1 + sum(score >= best for text, score in enumerate(row) if owners[text] != image))
    for text, owner in enumerate(owners):
        to_images.append(sum(row[text] >= scores[owner][text] for row in scores))
    return to_texts, to_images


def quads(count, chance):
    """Vectors with four entries of 1 or -1: their cosines are exact quarters, so that many tie exactly."""
    vectors = torch.zeros(count, 16)
    for vector in vectors:
        vector[torch.randperm(16, generator=chance)[:4]] = torch.randint(0, 2, (4,), generator=chance).float() * 2 - 1
    return vectors


def collection(seed):
    """Images with duplicates among them, 1 to many captions each in no order, half of them the image's own vector."""
    chance = torch.Generator().manual_seed(seed)
    count, more = (int(torch.randint(1, 60, (1,), generator=chance)) for _ in range(2))
    images = quads(count, chance)
    images[count // 2 :] = images[: count - count // 2].clone()
    owners = torch.cat([torch.arange(count), torch.randint(0, count, (more,), generator=chance)])
    owners = owners[torch.randperm(len(owners), generator=chance)]
    texts = quads(len(owners), chance)
    texts[::2] = images[owners[::2]]
    return images, texts, owners


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("at_once", "panel", "chunk"), [(7, 20, 9), (1, 5, 1), (1024, 8192, 2048), (16, 16, 1000)])
def test_ranks_equal_a_plain_loop_with_exact_ties(monkeypatch, seed, at_once, panel, chunk):
    monkeypatch.setattr(retrieval, "_IMAGES_AT_ONCE", at_once)
    monkeypatch.setattr(retrieval, "_PANEL", panel)
    monkeypatch.setattr(retrieval, "_KEPT", 4 * at_once * chunk * (seed % 3))  # none, one tile, two
    images, texts, owners = collection(seed)
    to_texts, to_images = ranks(images, texts, owners, chunk)
    assert (to_texts.tolist(), to_images.tolist()) == plain(images, texts, owners.tolist())


def test_equal_vectors_tie_wherever_they_stand(monkeypatch):
    monkeypatch.setattr(retrieval, "_IMAGES_AT_ONCE", 64)
    one = torch.randn(1, 96, generator=torch.Generator().manual_seed(0))
    to_texts, to_images = ranks(one.expand(300, -1), one.expand(700, -1), [row % 300 for row in range(700)], chunk=128)
    assert set(to_images.tolist()) == {300}
    others = 1 + 700 - np.bincount(np.arange(700) % 300)
    assert to_texts.tolist() == others.tolist()


def test_recall_equals_the_dense_computation():
    chance = torch.Generator().manual_seed(1)
    images = torch.randn(400, 32, generator=chance)
    owners = torch.randint(0, 400, (1600,), generator=chance)
    owners[:400] = torch.arange(400)
    texts = images[owners] + 2 * torch.randn(1600, 32, generator=chance)
    found = recall(images, texts, owners, chunk=100)
    assert found == summary(*map(torch.tensor, plain(images, texts, owners.tolist())))
    assert 0.1 < found["text_to_image"]["R@1"] < 0.9 and list(found) == ["image_to_text", "text_to_image"]
    assert list(found["image_to_text"]) == ["R@1", "R@5", "R@10", "median_rank"]


def test_tensors_arrays_and_shards_give_the_same(tmp_path):
    images, texts, owners = collection(3)
    halves = images.half().numpy(), texts.half().numpy()
    shards = []
    for name, vectors in zip(("images", "texts"), halves, strict=True):
        files = [tmp_path / f"{name}_{number}.npy" for number in range(2)]
        np.save(files[0], vectors[:5])
        np.save(files[1], vectors[5:])
        shards.append(Sharded(files))
    expected = [one.tolist() for one in ranks(images, texts, owners)]
    for pair in (halves, shards, (images.double(), halves[1])):
        assert [one.tolist() for one in ranks(*pair, owners.tolist(), chunk=7)] == expected


def test_vectors_that_are_not_finite_are_counted_and_named():
    images, texts, owners = collection(4)
    texts[[0, -1], 2] = torch.nan
    with pytest.raises(ValueError, match=rf"2 of {len(texts)} rows of text_vectors .* row 0 first"):
        recall(images, texts, owners)
    images[-1, 0] = torch.inf
    with pytest.raises(ValueError, match=rf"1 of {len(images)} rows of image_vectors .* row {len(images) - 1} first"):
        recall(images, texts, owners)


@pytest.mark.parametrize(
    ("images", "texts", "owners", "message"),
    [
        (torch.eye(2), torch.eye(2), [0], "one per text"),
        (torch.eye(2), torch.eye(2), [0, 0], "at least once"),
        (torch.eye(2), torch.eye(2), [0, 2], "each at least once"),
        (torch.eye(2), torch.eye(2), [0, -1], "each at least once"),
        (torch.eye(2), torch.eye(3)[:2], [0, 1], r"\(2, 2\) and \(2, 3\)"),
        (torch.empty(0, 2), torch.empty(0, 2), [], "at least once"),
    ],
)
def test_ranks_refuse_what_does_not_fit(images, texts, owners, message):
    with pytest.raises(ValueError, match=message):
        ranks(images, texts, owners)
    with pytest.raises(ValueError, match="chunk is 0"):
        ranks(images, texts, owners, chunk=0)


def test_what_a_failed_query_found_is_never_an_answer():
    chance = torch.Generator().manual_seed(5)
    queries, candidates = torch.randn(9, 8, generator=chance), torch.randn(50, 8, generator=chance)
    scores = cosines(queries, candidates)
    answers = [scores[row].topk(row % 3 + 1).indices.tolist() for row in range(9)]
    expected = [scores[row].topk(row % 3 + 2).indices[-1].item() for row in range(9)]
    assert found_instead(queries, candidates, answers, chunk=7) == expected


@genuine
def test_genuine_clip_vectors_name_the_cats_and_the_street_sign():
    folder = REFERENCE / "clip_vitb32_images"
    order = (folder / "order.txt").read_text().split()
    images = torch.from_numpy(np.load(folder / "image_embeddings.npy")).float()
    texts = REFERENCE / "clip_vitb32_texts"
    coco, lvis = (torch.from_numpy(np.load(texts / f"{name}.npy")).float() for name in NAMES)
    from dinoclip_viz.tasks.zero_shot.class_lists import class_list

    names = class_list("coco").names
    best = [names[number] for number in cosines(images, coco).argmax(1)]
    assert [best[order.index(cat)] for cat in ("123_456", "456_123")] == ["cat", "cat"]
    lvis_names = [row["name"] for row in sorted(json.loads((texts / LVIS).read_text()), key=lambda row: row["id"])]
    sign = cosines(images[[order.index("389_535")]], lvis).argmax().item()
    assert lvis_names[sign] == "street_sign"


@genuine
def test_genuine_texts_find_their_images():
    folder = REFERENCE / "clip_vitb32_images"
    order = (folder / "order.txt").read_text().split()
    images = torch.from_numpy(np.load(folder / "image_embeddings.npy"))
    texts = torch.from_numpy(np.load(REFERENCE / "clip_vitb32_texts" / f"{NAMES[1]}.npy"))
    categories = json.loads((REFERENCE / "clip_vitb32_texts" / LVIS).read_text())
    number = {row["name"]: row["id"] - 1 for row in categories}
    rows = [order.index("456_123"), order.index("389_535")]
    found = ranks(images[rows], texts[[number["cat"], number["street_sign"]]], [0, 1])
    assert [one.tolist() for one in found] == [[1, 1], [1, 1]]


NAMES, LVIS = ("coco_clip_a+cname", "lvis_v1_clip_a+cname"), "lvis_v1_train_cat_info.json"
