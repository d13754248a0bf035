"""StatA: TransCLIP with a Gaussian per class that stays near its text where the class has few images."""

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
    unit_rows,
)

METHOD = "stata"
ROUNDS = 10
ANCHOR = 1.0


def stata(
    images: Tensor,
    texts: Tensor,
    class_names: Sequence[str],
    logit_scale: float = 100.0,
    anchor: float = ANCHOR,
    rounds: int = ROUNDS,
) -> Fitted:
    """Probabilities of unlabelled images by an anchored Gaussian mixture, and a classifier of further ones.

    StatA (Zanella et al. 2025, https://arxiv.org/abs/2501.03729): as `transclip`, with a diagonal covariance per class,
    and mean and covariance of each class drawn to its text the more, the fewer images are predicted as it. It stays
    near zero-shot classification where a batch holds few of the classes. The covariance of the anchors is the mean over
    all images, whatever their number.

    Args:
        images: (N, D) vectors.
        texts: (C, D) vectors of the classes.
        class_names: C >= 2 names.
        logit_scale: factor of the cosines before the softmax.
        anchor: number of images that a text counts as, above 0.
        rounds: updates of the Gaussians, 0 or more.

    Raises:
        ValueError: fewer than two classes, no image, invalid vectors, or an argument out of range.
    """
    if rounds < 0 or not anchor > 0:
        raise ValueError(f"anchor={anchor}, rounds={rounds}; expected a number above 0, and 0 or more")
    pictured, written, names = checked(images, texts, class_names)
    log_prior = log_softmax(logit_scale * pictured @ written.T)
    found, means = np.exp(log_prior), written
    each = class_variances(pictured, found, written)  # (C, D)
    spread = found.sum(axis=0) @ each / len(pictured)  # (D,)
    variances = np.broadcast_to(floored(spread), means.shape)
    links = neighbour_links(pictured)
    for round_ in range(rounds + 1):
        found = assign(log_prior, log_likelihoods(pictured, means, variances), links, found)
        if round_ < rounds:
            trust = _trust(found, anchor)  # (C, 1)
            means = unit_rows(trust * class_means(pictured, found) + (1 - trust) * written)
            own = class_variances(pictured, found, means)
            variances = floored(trust * own + (1 - trust) * (spread + (written - means) ** 2))
    classifier = GaussianClassifier.of(METHOD, names, (written, means, variances), logit_scale)
    return Fitted(as_probabilities(found), classifier)


def _trust(probabilities: Doubles, anchor: float) -> Doubles:
    """(C, 1) weight of the images of each class against its text, by the number of images predicted as it."""
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1]).astype(np.float64)
    return (counts / (anchor + counts))[:, None]
