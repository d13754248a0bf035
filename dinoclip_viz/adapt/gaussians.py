"""Gaussian mixtures of image vectors, one Gaussian per class, with the zero-shot probabilities as a prior."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.adapt.classifier import (
    Doubles,
    as_probabilities,
    incoming,
    nearest,
    read_classifier,
    unit,
    write_classifier,
)

NEIGHBOURS = 3
SOFTENING = 50.0
"""Divisor of the log-likelihoods, and the factor of the neighbours' classes, as published."""
STEPS = 5  # updates of the assignments per round
_LEAST_VARIANCE = 1e-12
_LEAST_MASS = 1e-12


class Product(Protocol):
    """A sparse matrix of the links between images."""

    def __matmul__(self, other: Doubles) -> Doubles:
        """The matrix product."""
        ...


@dataclass(frozen=True, eq=False)
class GaussianClassifier:
    """Classifies by zero-shot probability times likelihood ^ (1/50), as in the mixture that it was fitted with.

    Attributes:
        class_names: C names.
        method: "transclip" or "stata".
        texts: (C, D) unit vectors of the classes.
        means: (C, D) of the Gaussians.
        variances: (C, D) diagonals of their covariances.
        logit_scale: factor of the cosines with texts.
    """

    class_names: tuple[str, ...]
    method: str
    texts: Tensor = field(repr=False)
    means: Tensor = field(repr=False)
    variances: Tensor = field(repr=False)
    logit_scale: float = 100.0

    def probabilities(self, vectors: Tensor) -> Tensor:
        """(B, C); see `Classifier.probabilities`."""
        images = incoming(vectors, self.texts.shape[1])
        prior = log_softmax(self.logit_scale * images @ unit(self.texts, "texts").T)
        likely = log_likelihoods(images, self.means.double().numpy(), self.variances.double().numpy())
        return as_probabilities(np.exp(log_softmax(prior + likely / SOFTENING)))

    def save(self, folder: Path) -> None:
        """Write classifier.safetensors."""
        tensors = {"texts": self.texts, "means": self.means, "variances": self.variances}
        write_classifier(folder, self, tensors, {"logit_scale": self.logit_scale})

    @classmethod
    def load(cls, folder: Path, method: str) -> Self:
        """The classifier of a method in a folder.

        Raises:
            EncoderError: it cannot be read.
        """
        names, tensors, values = read_classifier(folder, method)
        return cls(names, method, **tensors, logit_scale=values["logit_scale"])

    @classmethod
    def of(
        cls,
        method: str,
        names: tuple[str, ...],
        arrays: tuple[Doubles, Doubles, Doubles],
        logit_scale: float,
    ) -> Self:
        """The classifier of texts, means and variances, (C, D) each."""
        texts, means, variances = (torch.from_numpy(np.array(values)).float() for values in arrays)
        return cls(names, method, texts, means, variances, logit_scale)


def log_softmax(logits: Doubles) -> Doubles:
    """(N, C) logarithm of the softmax of each row."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: Doubles = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def log_likelihoods(images: Doubles, means: Doubles, variances: Doubles) -> Doubles:
    """(N, C) log-density of each image under each Gaussian with diagonal covariance, without the constant.

    Args:
        images: (N, D).
        means: (C, D).
        variances: (C, D).

    Examples:
        >>> log_likelihoods(np.array([[1.0]]), np.array([[0.0], [3.0]]), np.array([[1.0], [1.0]])).tolist()
        [[-0.5, -2.0]]
    """
    precisions = 1 / variances
    distances = images**2 @ precisions.T - 2 * images @ (means * precisions).T + (means**2 * precisions).sum(1)
    result: Doubles = -0.5 * distances - 0.5 * np.log(variances).sum(1)
    return result


def neighbour_links(images: Doubles) -> Product | None:
    """(N, N) sparse cosines of each image's three nearest others, plus the transposed; None for a single image.

    The sum is divided by twice the number of neighbours, so that a product with the assignments is their mean over
    linked images.
    """
    from scipy.sparse import csr_array

    k = min(NEIGHBOURS, len(images) - 1)
    if k < 1:
        return None
    cosines, rows = nearest(images, images, k + 1)
    keep = _without_self(rows)  # (N, k + 1)
    owners = np.repeat(np.arange(len(images)), k)
    links = csr_array((cosines[keep], (owners, rows[keep])), shape=(len(images), len(images)))
    together: Product = (links + links.T) / (2 * k)
    return together


def _without_self(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N, k + 1) True at k neighbours per row: all but the image itself, or but the last where it is missing."""
    own = rows == np.arange(len(rows))[:, None]
    own[~own.any(axis=1), -1] = True
    kept: NDArray[np.bool_] = ~own
    return kept


def assign(log_prior: Doubles, likely: Doubles, links: Product | None, start: Doubles) -> Doubles:
    """(N, C) probability of each class, after five updates by those of the neighbours.

    Args:
        log_prior: (N, C) logarithms of the zero-shot probabilities.
        likely: (N, C) log-likelihoods.
        links: of `neighbour_links`.
        start: (N, C) probabilities before.
    """
    found = start
    for _ in range(STEPS):
        near = links @ found if links is not None else 0.0
        found = np.exp(log_softmax(log_prior + likely / SOFTENING + near))
    return found


def class_means(images: Doubles, weights: Doubles) -> Doubles:
    """(C, D) unit vectors along the weighted sums of the images.

    Args:
        images: (N, D).
        weights: (N, C), 0 or more.
    """
    sums = (weights / np.maximum(weights.sum(axis=0), _LEAST_MASS)).T @ images  # (C, D)
    return unit_rows(sums)


def unit_rows(rows: Doubles) -> Doubles:
    """Rows of length 1; a row of zeros is unchanged."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    result: Doubles = rows / np.where(lengths == 0, 1, lengths)
    return result


def class_variances(images: Doubles, weights: Doubles, means: Doubles) -> Doubles:
    """(C, D) weighted mean of the squared differences from each class's mean; 0 for a class without weight.

    Args:
        images: (N, D).
        weights: (N, C), 0 or more.
        means: (C, D).
    """
    shares = weights / np.maximum(weights.sum(axis=0), _LEAST_MASS)  # (N, C)
    squares = shares.T @ images**2 - 2 * means * (shares.T @ images) + shares.sum(axis=0)[:, None] * means**2
    result: Doubles = squares.clip(0)
    return result


def floored(variances: Doubles) -> Doubles:
    """The variances, at least a value far below that of real features, so that none is 0."""
    return np.maximum(variances, _LEAST_VARIANCE)
