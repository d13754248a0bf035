"""TransCLIP: a Gaussian mixture over all images at once, with CLIP's predictions as a prior."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from dinoclip_viz.adapt.classifier import Doubles, Fitted, as_probabilities, checked
from dinoclip_viz.adapt.gaussians import (
    GaussianClassifier,
    assign,
    class_means,
    class_variances,
    floored,
    log_likelihoods,
    log_softmax,
    neighbour_links,
)

METHOD = "transclip"
ROUNDS = 10
CONFIDENT = 8


def transclip(
    images: Tensor, texts: Tensor, class_names: Sequence[str], logit_scale: float = 100.0, rounds: int = ROUNDS
) -> Fitted:
    """Probabilities of unlabelled images by a Gaussian mixture, and a classifier of further ones.

    TransCLIP-ZS (Zanella et al. 2024, https://arxiv.org/abs/2406.01837): one Gaussian per class with a shared diagonal
    covariance; the assignments are drawn to the zero-shot probabilities and to those of the three nearest images. The
    means start as those of the eight most confident images per class. It assumes that all classes are present: in a
    batch of few classes, `stata` is more reliable. The number of classes is that of the names, not of labels.

    Args:
        images: (N, D) vectors.
        texts: (C, D) vectors of the classes.
        class_names: C >= 2 names.
        logit_scale: factor of the cosines before the softmax.
        rounds: updates of the Gaussians, 0 or more.

    Raises:
        ValueError: fewer than two classes, no image, invalid vectors, or rounds below 0.
    """
    if rounds < 0:
        raise ValueError(f"rounds is {rounds}; expected 0 or more")
    pictured, written, names = checked(images, texts, class_names)
    log_prior = log_softmax(logit_scale * pictured @ written.T)
    found = np.exp(log_prior)
    means = class_means(pictured, _most_confident(found))
    variances = np.full(means.shape, 1 / means.shape[1])
    links = neighbour_links(pictured)
    for round_ in range(rounds + 1):
        found = assign(log_prior, log_likelihoods(pictured, means, variances), links, found)
        if round_ < rounds:
            means = class_means(pictured, found)
            each = class_variances(pictured, found, means)  # (C, D)
            shared = found.sum(axis=0) @ each / len(pictured)  # (D,)
            variances = np.broadcast_to(floored(shared), means.shape)
    classifier = GaussianClassifier.of(METHOD, names, (written, means, variances), logit_scale)
    return Fitted(as_probabilities(found), classifier)


def _most_confident(probabilities: Doubles) -> Doubles:
    """(N, C) the probabilities of the eight most probable images per class; 0 elsewhere."""
    rows = np.argsort(-probabilities, axis=0, kind="stable")[:CONFIDENT]  # (8, C)
    kept = np.zeros_like(probabilities)
    np.put_along_axis(kept, rows, np.take_along_axis(probabilities, rows, axis=0), axis=0)
    return kept
