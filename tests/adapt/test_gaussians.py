"""TransCLIP and StatA against plain loops over images and classes."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dinoclip_viz.adapt.gaussians import GaussianClassifier
from dinoclip_viz.adapt.stata import stata
from dinoclip_viz.adapt.transclip import transclip
from dinoclip_viz.encoders.base import EncoderError

NAMES = ["cat", "dog", "car", "bus"]
METHODS = {"transclip": transclip, "stata": stata}


def made(images=30, classes=4, width=6, seed=0):
    chance = torch.Generator().manual_seed(seed)
    texts = torch.randn(classes, width, generator=chance)
    vectors = texts[torch.arange(images) % 3] + 0.7 * torch.randn(images, width, generator=chance)
    return 3 * vectors, F.normalize(texts, dim=1)


def softmax(values):
    top = max(values)
    powers = [math.exp(value - top) for value in values]
    return [power / sum(powers) for power in powers]


def unit(vector):
    return vector / np.linalg.norm(vector)


def likelihood(image, mean, variance):
    """Log-density without its constant."""
    return sum(-0.5 * (x - m) ** 2 / v - 0.5 * math.log(v) for x, m, v in zip(image, mean, variance, strict=True))


def neighbours_of(images):
    """Image -> cosine by row of its three nearest others."""
    found = []
    for row, image in enumerate(images):
        cosines = {other: float(image @ images[other]) for other in range(len(images)) if other != row}
        found.append(dict(sorted(cosines.items(), key=lambda item: -item[1])[:3]))
    return found


def plain(method, images, texts, scale):
    """(N, C) assignments, and mean and variance of each class, from the definition."""
    images = [unit(image) for image in images.double().numpy()]
    texts = texts.double().numpy()
    classes, width = len(texts), len(images[0])
    near = neighbours_of(images)
    k = max(1, min(3, len(images) - 1))
    prior = [softmax([scale * float(image @ text) for text in texts]) for image in images]
    found = [list(row) for row in prior]
    everywhere = sum(
        row[c] * (image - texts[c]) ** 2 for row, image in zip(prior, images, strict=True) for c in range(classes)
    ) / len(images)
    if method == "transclip":
        means = []
        for c in range(classes):
            order = sorted(range(len(images)), key=lambda i: -prior[i][c])[:8]
            means.append(unit(sum(prior[i][c] * images[i] for i in order)))
        variances = [np.full(width, 1 / width)] * classes
    else:
        means, variances = list(texts), [everywhere] * classes
    for round_ in range(11):
        for _ in range(5):
            fresh = []
            for i, image in enumerate(images):
                logits = []
                for c in range(classes):
                    linked = sum(weight * found[j][c] for j, weight in near[i].items())
                    linked += sum(weights[i] * found[j][c] for j, weights in enumerate(near) if i in weights)
                    likely = likelihood(image, means[c], variances[c])
                    logits.append(math.log(prior[i][c]) + (likely + 50 / (2 * k) * linked) / 50)
                fresh.append(softmax(logits))
            found = fresh
        if round_ == 10:
            break
        mass = [sum(row[c] for row in found) for c in range(classes)]
        own = [unit(sum(found[i][c] * images[i] for i in range(len(images)))) for c in range(classes)]
        if method == "transclip":
            means = own
            shared = sum(
                found[i][c] * (images[i] - means[c]) ** 2 for i in range(len(images)) for c in range(classes)
            ) / len(images)
            variances = [shared] * classes
            continue
        for c in range(classes):
            count = sum(max(range(classes), key=lambda k: row[k]) == c for row in found)
            trust = count / (1 + count)
            means[c] = unit(trust * own[c] + (1 - trust) * texts[c])
            spread = sum(found[i][c] * (images[i] - means[c]) ** 2 for i in range(len(images))) / mass[c]
            anchored = everywhere + (texts[c] - means[c]) ** 2
            variances[c] = trust * spread + (1 - trust) * anchored
    return np.array(found), np.array(means), np.array(variances)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("images", "scale"), [(30, 100.0), (30, 5.0), (3, 20.0)])
def test_the_mixtures_equal_a_plain_loop(method, images, scale):
    vectors, texts = made(images)
    fitted = METHODS[method](vectors, texts, NAMES, scale)
    found, means, variances = plain(method, vectors, texts, scale)
    assert np.allclose(fitted.probabilities, found, atol=1e-5)
    assert np.allclose(fitted.classifier.means, means, atol=1e-5)
    assert np.allclose(fitted.classifier.variances, variances, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_new_images_are_classified_by_prior_and_likelihood(method):
    vectors, texts = made()
    classifier = METHODS[method](vectors, texts, NAMES, 20.0).classifier
    new, _ = made(7, seed=9)
    _, means, variances = plain(method, vectors, texts, 20.0)
    for image, row in zip(new.double().numpy(), classifier.probabilities(new), strict=True):
        logits = [
            20 * float(unit(image) @ text) + likelihood(unit(image), mean, variance) / 50
            for text, mean, variance in zip(texts.double().numpy(), means, variances, strict=True)
        ]
        assert np.allclose(row, softmax(logits), atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_single_image_and_equal_images_are_classified_as_without_adaptation(method):
    vectors, texts = made(1)
    zero_shot = (20 * F.normalize(vectors, dim=1) @ texts.T).argmax(1)
    for images in (vectors, vectors.repeat(5, 1)):
        found = METHODS[method](images, texts, NAMES, 20.0).probabilities
        assert found.isfinite().all() and (found.argmax(1) == zero_shot).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_saved_mixture_gives_the_same_answers(method, tmp_path):
    vectors, texts = made()
    classifier = METHODS[method](vectors, texts, NAMES, 20.0).classifier
    classifier.save(tmp_path)
    loaded = GaussianClassifier.load(tmp_path, method)
    assert (loaded.class_names, loaded.method, loaded.logit_scale) == (tuple(NAMES), method, 20.0)
    assert torch.equal(loaded.probabilities(vectors), classifier.probabilities(vectors))
    with pytest.raises(EncoderError, match=f"holds a classifier of {method}; expected zlap"):
        GaussianClassifier.load(tmp_path, "zlap")


def test_the_anchor_of_stata_is_the_mean_over_all_images_whatever_their_number():
    vectors, texts = made(2600)
    many = stata(vectors, texts, NAMES, 20.0, rounds=0).classifier.variances[0]
    units = F.normalize(vectors.double(), dim=1)
    prior = (20 * units @ texts.double().T).softmax(1)
    wanted = sum((prior[:, c, None] * (units - texts[c]) ** 2).sum(0) for c in range(4)) / 2600
    assert torch.allclose(many.double(), wanted, atol=1e-7)


@pytest.mark.parametrize("method", [*METHODS])
def test_invalid_vectors_are_refused_in_one_line(method):
    vectors, texts = made()
    fit = METHODS[method]
    broken = vectors.clone()
    broken[3] = float("nan")
    for given, reason in (
        ((vectors, texts[:1], ["cat"]), "found 1 class"),
        ((vectors[:0], texts, NAMES), "at least one image"),
        ((vectors[:, :5], texts, NAMES), "one space"),
        ((vectors, texts, NAMES[:3]), "for 3 classes"),
        ((broken, texts, NAMES), "row 3"),
        ((vectors, 0 * texts, NAMES), "4 of 4 rows of texts are zero"),
    ):
        with pytest.raises(ValueError, match=reason) as error:
            fit(*given)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="rounds"):
        fit(vectors, texts, NAMES, rounds=-1)
    with pytest.raises(ValueError, match=r"expected \(B, 6\)"):
        fit(vectors, texts, NAMES).classifier.probabilities(vectors[:, :5])
