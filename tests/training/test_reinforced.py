"""Training on reinforced data: the loss against a plain loop, the pairs of views and vectors, and a whole run."""

import math

import numpy as np
import pytest
import torch

import dinoclip_viz as dv
from dinoclip_viz.reinforce import ReinforcedStore
from dinoclip_viz.reinforce.augment import View
from dinoclip_viz.reinforce.settings import Manifest, ReinforcedSettings
from dinoclip_viz.reinforce.tables import ViewRow, write_rows
from dinoclip_viz.store.writing import ImageRow, Shard, finish, prepare, write_shard
from dinoclip_viz.training import find_recipe
from dinoclip_viz.training.reinforced import Taught, Views, reinforced_loss, reinforced_stores
from tests.made_stores import settings

VIEWS = 3
SMALL = {"hidden": 16, "batch": 32, "epochs": 3}


def made(folder, images=80, teachers=2, real=2, synthetic=2, seed=0, student=True):
    """A reinforced store of made-up vectors; value 1 of every view's vector is its image and value 2 its view."""
    chance = np.random.default_rng(seed)
    seen = chance.normal(size=(images, 12)).astype(np.float32)
    views = np.repeat(seen, VIEWS, axis=0) + 0.1 * chance.normal(size=(images * VIEWS, 12)).astype(np.float32)
    marks = np.stack([np.repeat(np.arange(images), VIEWS), np.tile(np.arange(VIEWS), images)], axis=1)
    counts = [real + synthetic] * images
    owners = np.repeat(np.arange(images), counts).astype(np.int64)
    mine = [
        ViewRow(f"k{n}", 9, 9, ("r",) * real, ("s",) * synthetic, (View((0, 0, 1, 1)),) * VIEWS, "")
        for n in range(images)
    ]
    write_rows(folder, 0, mine)
    rows = [ImageRow(row.key, "", row.captions, None, 9, 9) for row in mine]
    names = ["student"] * student + [f"teacher{number}" for number in range(teachers)]
    for number, name in enumerate(names):
        mixed = np.random.default_rng(number + 9).normal(size=(12, 8)).astype(np.float32)
        taught = name != "student"
        one = settings(name, 8 if taught else 12, name if taught else "", 8 if taught else 0)
        prepare(folder / name, one)
        vectors, whole = (np.tanh(views @ mixed), np.tanh(seen @ mixed)) if taught else (views.copy(), seen)
        vectors[:, :2] = marks
        texts = np.tanh(seen[owners] @ mixed) + 0.1 * chance.normal(size=(len(owners), 8))
        texts[:, 0], texts[:, 1] = owners, np.concatenate([np.arange(count) for count in counts])
        arrays = {"img_emb": whole, "mean_emb": whole, "view_emb": vectors}
        arrays |= {} if taught else {"view_mean_emb": vectors + 100}
        halves = {kind: values.astype(np.float16) for kind, values in arrays.items()}
        shard = Shard(rows, [], [halves], texts.astype(np.float16) if taught else None, owners)
        write_shard([folder / name], 0, shard, 0.0)
        finish(folder / name, one)
    chosen = ReinforcedSettings("made", views=VIEWS)
    Manifest(chosen, {}, tuple(names[:student]), tuple(names[student:]), True).write(folder)
    return folder


def softmax(values):
    highest = max(values)
    exponents = [math.exp(value - highest) for value in values]
    return [value / sum(exponents) for value in exponents]


def cosine(one, other):
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.sqrt(sum(a * a for a in one)) / math.sqrt(sum(b * b for b in other))


def plain(images, texts, taught, scale, scales, distil):
    """L = (1 - l) CE + l KD of one kind of captions, from the formula: taught is a list of (images, texts)."""
    count, total = len(images), 0.0
    for to_images in (False, True):
        for i in range(count):
            pairs = [(j, i) if to_images else (i, j) for j in range(count)]
            student = softmax([scale * cosine(images[a], texts[b]) for a, b in pairs])
            each = [
                softmax([s * cosine(seen[a], said[b]) for a, b in pairs])
                for (seen, said), s in zip(taught, scales, strict=True)
            ]
            teacher = [sum(column) / len(each) for column in zip(*each, strict=True)]
            total -= (1 - distil) * math.log(student[i]) / count / 2
            total -= distil * sum(t * math.log(s) for t, s in zip(teacher, student, strict=True)) / count / 2
    return total


@pytest.mark.parametrize("distil", [0.0, 0.75, 1.0])
def test_the_loss_is_that_of_a_plain_loop(distil):
    chance = torch.Generator().manual_seed(0)

    def some(width):
        return torch.randn(5, width, generator=chance)

    images, real, synthetic = some(6), some(6), some(6)
    taught = [Taught(some(4), some(4), some(4)), Taught(some(7), some(7), some(7))]
    ours = reinforced_loss(images, real, synthetic, taught, 14.0, [10.0, 30.0], distil)
    expected = sum(
        plain(
            images.tolist(), texts.tolist(), [(one.images.tolist(), getattr(one, kind).tolist()) for one in taught],
            14.0, [10.0, 30.0], distil,
        )
        for kind, texts in (("real", real), ("synthetic", synthetic))
    )  # fmt: skip
    assert ours.item() == pytest.approx(expected, rel=1e-5)


def test_a_student_equal_to_its_teacher_has_the_smallest_distillation_loss():
    chance = torch.Generator().manual_seed(0)
    images, texts = torch.randn(6, 4, generator=chance), torch.randn(6, 4, generator=chance)
    taught = [Taught(images, texts, texts)]
    best = reinforced_loss(images, texts, texts, taught, 10.0, [10.0], 1.0)
    for _ in range(5):
        other = images + 0.1 * torch.randn(6, 4, generator=chance)
        assert reinforced_loss(other, texts, texts, taught, 10.0, [10.0], 1.0) > best


def test_a_batch_pairs_each_view_with_the_teachers_row_of_the_same_view(tmp_path):
    student, teacher = reinforced_stores(made(tmp_path / "s"), None)
    views = Views(student, teacher, find_recipe("reinforced", unchanged=0.0))
    rows, chance = np.tile(np.array([5, 0, 79, 13]), 50), np.random.default_rng(0)
    pooled, mean, taught = views.batch(rows, chance)
    assert pooled[:, 0].tolist() == rows.tolist()
    assert set(pooled[:, 1].tolist()) == {0.0, 1.0, 2.0}
    torch.testing.assert_close(mean, pooled + 100, rtol=0, atol=0.1)
    assert len(taught) == 2
    for one in taught:
        assert torch.equal(one.images[:, :2], pooled[:, :2])
        assert one.real[:, 0].tolist() == one.synthetic[:, 0].tolist() == rows.tolist()
        assert set(one.real[:, 1].tolist()) == {0.0, 1.0}
        assert set(one.synthetic[:, 1].tolist()) == {2.0, 3.0}
        assert torch.equal(one.real[:, 1], taught[0].real[:, 1])
        assert torch.equal(one.synthetic[:, 1], taught[0].synthetic[:, 1])


def test_unchanged_images_enter_with_the_teachers_vectors_of_unchanged_images(tmp_path):
    student, teacher = reinforced_stores(made(tmp_path / "s"), None)
    rows = np.arange(80)
    pooled, mean, taught = Views(student, teacher, find_recipe("reinforced", unchanged=1.0)).batch(
        rows, np.random.default_rng(0)
    )
    assert torch.equal(pooled, torch.from_numpy(np.array(student.pooled[rows])).float())
    assert torch.equal(mean, torch.from_numpy(np.array(student.mean[rows])).float())
    for one, store in zip(taught, ReinforcedStore.open(tmp_path / "s").teachers, strict=True):
        assert torch.equal(one.images, torch.from_numpy(np.array(store.pooled[rows])).float())
    views = Views(student, teacher, find_recipe("reinforced", unchanged=0.25))
    pooled, _, taught = views.batch(np.repeat(7, 400), np.random.default_rng(0))
    whole = (pooled == torch.from_numpy(np.array(student.pooled[7])).float()).all(dim=1)
    assert 70 < whole.sum() < 130
    assert torch.equal(pooled[~whole][:, :2], taught[1].images[~whole][:, :2])
    teachers_own = torch.from_numpy(np.array(ReinforcedStore.open(tmp_path / "s").teachers[1].pooled[7])).float()
    assert torch.equal((taught[1].images == teachers_own).all(dim=1), whole)


@pytest.mark.parametrize(("real", "synthetic"), [(3, 0), (0, 3), (1, 0)])
def test_without_one_kind_of_captions_two_of_the_other_are_compared(real, synthetic, tmp_path):
    stores = reinforced_stores(made(tmp_path / "s", real=real, synthetic=synthetic), None)
    taught = Views(*stores, find_recipe("reinforced")).batch(np.repeat(3, 200), np.random.default_rng(0))[2][0]
    different = (taught.real[:, 1] != taught.synthetic[:, 1]).all().item()
    assert different == (real + synthetic > 1)
    assert len(set(taught.real[:, 1].tolist())) == len(set(taught.synthetic[:, 1].tolist())) == real + synthetic


def test_a_projector_is_trained_without_any_model(tmp_path):
    folder = made(tmp_path / "s")
    recipe = find_recipe("reinforced", **SMALL)
    projector, history = dv.fit_projector(folder, recipe=recipe, folder=tmp_path / "p", device="cpu")
    assert len(history) == 3
    assert history[-1]["loss"] < history[0]["loss"]
    assert projector.text_encoder == "teacher0"
    assert projector.image_encoder == "student"
    again, second = dv.fit_projector(folder, recipe=recipe, device="cpu")
    assert second == history
    assert torch.equal(again.pooled_head.enter.weight, projector.pooled_head.enter.weight)


def test_the_named_teacher_gives_the_space(tmp_path):
    folder = made(tmp_path / "s")
    projector, _ = dv.fit_projector(
        folder / "student",
        folder / "teacher1",
        recipe=find_recipe("reinforced", **{**SMALL, "epochs": 1}),
        device="cpu",
    )
    assert projector.text_encoder == "teacher1"


def test_lambda_the_teachers_scales_and_the_cosine_change_the_loss(tmp_path):
    folder, losses = made(tmp_path / "s"), []
    for changes in ({}, {"distil": 0.5}, {"teacher_scales": "50"}, {"teacher_scales": "100,50"}, {"cosine": 0.5}):
        recipe = find_recipe("reinforced", **{**SMALL, "epochs": 1}, **changes)
        losses.append(dv.fit_projector(folder, recipe=recipe, device="cpu")[1][0]["loss"])
    assert len(set(losses)) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher_scales": "70,60,50"}, "teacher_scales is '70,60,50' for 2 teachers"),
        ({"teacher_scales": "warm"}, "teacher_scales is 'warm' for 2 teachers; expected a number above 0"),
        ({"teacher_scales": "0"}, "teacher_scales is '0'"),
        ({"distil": 1.5}, "distil is 1.5; expected 0 to 1"),
        ({"unchanged": -0.5}, "unchanged is -0.5; expected 0 to 1"),
        (
            {"clip": 1.0},
            "is of reinforced data; expected side 'image', one caption, no noise and no further loss but cosine",
        ),
        ({"captions": 2}, "is of reinforced data"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(changes, message, tmp_path):
    folder = made(tmp_path / "s")
    with pytest.raises(ValueError, match=message):
        dv.fit_projector(folder, recipe=find_recipe("reinforced", **changes), device="cpu")


def test_stores_that_do_not_fit_are_refused_in_one_line(tmp_path):
    folder = made(tmp_path / "s")
    recipe = find_recipe("reinforced")
    with pytest.raises(dv.StoreError, match="is no reinforced store"):
        dv.fit_projector(tmp_path / "nothing", recipe=recipe)
    with pytest.raises(dv.StoreError, match=r"is no teacher's store of .*expected one of .*teacher0, .*teacher1"):
        dv.fit_projector(folder, folder / "student", recipe=recipe)
    with pytest.raises(ValueError, match="found a store of texts for reinforced data"):
        dv.fit_projector(folder, texts=folder / "teacher0", recipe=recipe)
    with pytest.raises(ValueError, match="needs targets; expected the store of a teacher"):
        dv.fit_projector(folder / "student", recipe="dinov2-clip")
    with pytest.raises(dv.StoreError, match=r"has no student; expected one: add it with `dinoclip reinforce"):
        dv.fit_projector(made(tmp_path / "t", student=False), recipe=recipe)
    assert len(ReinforcedStore.open(folder).teachers) == 2
