"""Losses against plain loops."""

import math

import pytest
import torch

from dinoclip_viz.training.losses import clip_loss, false_negatives, relation_loss, siglip_loss, unit_norm_mse


@pytest.fixture
def vectors():
    chance = torch.Generator().manual_seed(0)
    images, texts = torch.randn(4, 6, generator=chance).double(), torch.randn(7, 6, generator=chance).double()
    return images, texts, torch.tensor([0, 1, 2, 3, 0, 2, 2])


def cosine(a, b):
    return (a @ b / a.norm() / b.norm()).item()


def test_unit_norm_mse_is_two_minus_two_cosines_over_the_width(vectors):
    images, texts, _ = vectors
    pairs = [(2 - 2 * cosine(a, b)) / 6 for a, b in zip(images, texts[:4], strict=True)]
    assert unit_norm_mse(images, texts[:4]).item() == pytest.approx(sum(pairs) / 4)


def test_clip_loss_counts_every_caption_of_an_image(vectors):
    images, texts, owners = vectors
    logits = [[7.0 * cosine(a, b) for b in texts] for a in images]
    to_texts = 0.0
    for i in range(4):
        total = math.log(sum(math.exp(x) for x in logits[i]))
        own = [t for t in range(7) if owners[t] == i]
        to_texts += -sum(logits[i][t] - total for t in own) / len(own) / 4
    to_images = 0.0
    for t in range(7):
        total = math.log(sum(math.exp(logits[i][t]) for i in range(4)))
        to_images += -(logits[owners[t]][t] - total) / 7
    assert clip_loss(images, texts, owners, 7.0).item() == pytest.approx((to_texts + to_images) / 2)


def test_siglip_loss_is_a_sigmoid_a_pair(vectors):
    images, texts, owners = vectors
    total = 0.0
    for i in range(4):
        for t in range(7):
            sign = 1 if owners[t] == i else -1
            total += math.log(1 + math.exp(-sign * (5.0 * cosine(images[i], texts[t]) - 2.0)))
    assert siglip_loss(images, texts, owners, 5.0, -2.0).item() == pytest.approx(total / 4)


def test_relation_loss_is_zero_for_the_teacher_itself_and_positive_else(vectors):
    images, texts, _ = vectors
    assert relation_loss(3 * images, images, texts, 10.0).item() == pytest.approx(0, abs=1e-12)
    other = images.roll(1, 0)

    def softmax(values):
        exponents = [math.exp(value) for value in values]
        return [value / sum(exponents) for value in exponents]

    ours = [[10 * cosine(a, b) for b in texts] for a in images]
    teacher = [[10 * cosine(a, b) for b in texts] for a in other]
    total = 0.0
    for mine, theirs in ((ours, teacher), (list(zip(*ours, strict=True)), list(zip(*teacher, strict=True)))):
        rows = [
            sum(q * math.log(q / p) for p, q in zip(softmax(m), softmax(t), strict=True))
            for m, t in zip(mine, theirs, strict=True)
        ]
        total += sum(rows) / len(rows)
    assert relation_loss(images, other, texts, 10.0).item() == pytest.approx(total / 2)


def test_losses_leave_ignored_pairs_out(vectors):
    images, texts, owners = vectors
    ignored = torch.zeros(4, 7, dtype=torch.bool)
    ignored[0, 1] = ignored[3, 2] = ignored[3, 5] = True
    logits = [[7.0 * cosine(a, b) for b in texts] for a in images]
    to_texts = to_images = pairs = 0.0
    for i in range(4):
        total = math.log(sum(math.exp(logits[i][t]) for t in range(7) if not ignored[i, t]))
        own = [t for t in range(7) if owners[t] == i]
        to_texts += -sum(logits[i][t] - total for t in own) / len(own) / 4
    for t in range(7):
        total = math.log(sum(math.exp(logits[i][t]) for i in range(4) if not ignored[i, t]))
        to_images += -(logits[owners[t]][t] - total) / 7
        for i in range(4):
            sign = 1 if owners[t] == i else -1
            pairs += 0.0 if ignored[i, t] else math.log(1 + math.exp(-sign * (logits[i][t] - 3))) / 4
    assert clip_loss(images, texts, owners, 7.0, ignored).item() == pytest.approx((to_texts + to_images) / 2)
    assert siglip_loss(images, texts, owners, 7.0, -3.0, ignored).item() == pytest.approx(pairs)


def test_ignored_pairs_have_no_gradient_of_nan(vectors):
    images, texts, owners = vectors
    images.requires_grad_()
    ignored = torch.ones(4, 7, dtype=torch.bool).scatter_(0, owners[None], False)
    clip_loss(images, texts, owners, 7.0, ignored).backward()
    assert torch.isfinite(images.grad).all()


def test_false_negatives_are_equal_captions_of_other_images():
    owners, captions = torch.tensor([0, 0, 1, 2, 3]), torch.tensor([5, 6, 6, 7, 5])
    expected = [[False] * 5 for _ in range(4)]
    for image in range(4):
        mine = {int(captions[t]) for t in range(5) if owners[t] == image}
        for text in range(5):
            expected[image][text] = int(captions[text]) in mine and int(owners[text]) != image
    assert false_negatives(owners, captions, 4).tolist() == expected
    assert sum(map(sum, expected)) == 4
