"""ZLaP against a plain loop with a dense solver."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dinoclip_viz.adapt.classifier import Classifier
from dinoclip_viz.adapt.zlap import ZlapClassifier, zlap

NAMES = ["cat", "dog", "car", "bus"]


def made(images=40, classes=4, width=6, seed=0):
    chance = torch.Generator().manual_seed(seed)
    texts = torch.randn(classes, width, generator=chance)
    vectors = texts[torch.arange(images) % classes] + 0.9 * torch.randn(images, width, generator=chance)
    return 3 * vectors, F.normalize(texts, dim=1)


def best(values, k):
    return sorted(range(len(values)), key=lambda index: -values[index])[:k]


def plain_zlap(images, texts, k=5, gamma=5.0, alpha=0.3):
    """(C + N, C) values of the nodes, from the definition."""
    images, texts = F.normalize(images.double(), dim=1).numpy(), texts.double().numpy()
    classes, count = len(texts), len(texts) + len(images)
    links = np.zeros((count, count))
    for row, image in enumerate(images):
        near = [float(image @ other) for other in images]
        fits = [float(image @ text) for text in texts]
        for other in best(near, min(k, len(images))):
            links[classes + row, classes + other] = max(near[other], 0)
        for number in best(fits, min(k, classes)):
            links[classes + row, number] = max(fits[number], 0) ** gamma
    links = links + links.T
    np.fill_diagonal(links, 0)
    degrees = links.sum(1)
    degrees[degrees == 0] = 1
    smooth = links / np.sqrt(degrees)[:, None] / np.sqrt(degrees)[None]
    return np.linalg.solve(np.eye(count) - alpha * smooth, np.eye(count)[:, :classes])


@pytest.mark.parametrize(("images", "neighbours"), [(40, 5), (3, 5), (25, 2)])
def test_zlap_equals_a_plain_loop(images, neighbours):
    vectors, texts = made(images)
    found = zlap(vectors, texts, NAMES, neighbours).probabilities
    plain = plain_zlap(vectors, texts, neighbours)[4:]
    assert np.allclose(found, plain / plain.sum(1, keepdims=True), atol=1e-5)
    assert torch.allclose(found.sum(1), torch.ones(images))


def test_new_images_read_the_best_class_of_each_neighbour():
    vectors, texts = made()
    classifier = zlap(vectors, texts, NAMES).classifier
    new, _ = made(9, seed=5)
    values = plain_zlap(vectors, texts)
    known, queries = F.normalize(vectors, dim=1).double().numpy(), F.normalize(new, dim=1).double().numpy()
    for query, row in zip(queries, classifier.probabilities(new), strict=True):
        scores = np.zeros(4)
        near, fits = [float(query @ each) for each in known], [float(query @ each) for each in texts.double().numpy()]
        for other in best(near, 5):
            node = values[4 + other]
            scores[node.argmax()] += max(near[other], 0) * node.max()
        for number in best(fits, 4):
            scores[number] += max(fits[number], 0) ** 5 * values[number].max()
        assert np.allclose(row, scores / scores.sum(), atol=1e-5)


def test_an_image_without_a_link_has_no_preference():
    vectors, texts = torch.tensor([[1.0, 0, 0]]), torch.tensor([[-1.0, 0, 0], [-0.6, 0.8, 0]])
    fitted = zlap(vectors, texts, ["a", "b"])
    assert fitted.probabilities.tolist() == [[0.5, 0.5]]
    assert fitted.classifier.probabilities(torch.tensor([[0.0, 0, 1.0]])).tolist() == [[0.5, 0.5]]


def test_a_saved_classifier_gives_the_same_answers(tmp_path):
    vectors, texts = made()
    classifier = zlap(vectors, texts, NAMES, neighbours=3, power=2.0).classifier
    assert isinstance(classifier, Classifier)
    classifier.save(tmp_path)
    loaded = ZlapClassifier.load(tmp_path)
    assert (loaded.class_names, loaded.method, loaded.neighbours, loaded.power) == (tuple(NAMES), "zlap", 3, 2.0)
    assert torch.equal(loaded.probabilities(vectors), classifier.probabilities(vectors))
    assert loaded.probabilities(vectors[:0]).shape == (0, 4)


@pytest.mark.parametrize("change", [{"neighbours": 0}, {"power": 0.0}, {"spread": 1.0}])
def test_zlap_refuses_settings_out_of_range(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        zlap(*made(), NAMES, **change)
