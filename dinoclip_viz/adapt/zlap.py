"""ZLaP: labels propagated from class names over a graph of images and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoclip_viz.adapt.classifier import (
    Doubles,
    Fitted,
    as_probabilities,
    checked,
    incoming,
    nearest,
    read_classifier,
    unit,
    write_classifier,
)

NEIGHBOURS, POWER, SPREAD = 5, 5.0, 0.3
_EXACTNESS = 1e-9  # of the solution, relative; published 1e-6
_MOST_STEPS = 500


@dataclass(frozen=True, eq=False)
class ZlapClassifier:
    """Classifies a new image by its neighbours among the images and texts of the graph, one class per neighbour.

    Attributes:
        class_names: C names.
        texts: (C, D) unit vectors.
        images: (N, D) unit vectors of the unlabelled images.
        best: (C + N,) number of the best class of each node, texts first.
        weight: (C + N,) its propagated value.
        neighbours: nearest images, and nearest texts, that are consulted at most.
        power: exponent of the cosines with texts.
    """

    class_names: tuple[str, ...]
    texts: Tensor = field(repr=False)
    images: Tensor = field(repr=False)
    best: Tensor = field(repr=False)
    weight: Tensor = field(repr=False)
    neighbours: int = NEIGHBOURS
    power: float = POWER
    method: ClassVar[str] = "zlap"

    def probabilities(self, vectors: Tensor) -> Tensor:
        """(B, C) scores divided by their sum; uniform where it is 0. See `Classifier.probabilities`."""
        queries = incoming(vectors, self.texts.shape[1])
        if not len(queries):
            return torch.zeros(0, len(self.class_names))
        texts, images = unit(self.texts, "texts"), unit(self.images, "images")
        similarities, nodes = _edges(images, texts, queries, self.neighbours, self.power)
        scores = np.zeros((len(queries), len(texts)))
        rows = np.repeat(np.arange(len(queries)), nodes.shape[1])
        classes, weights = self.best.numpy()[nodes.ravel()], self.weight.double().numpy()[nodes.ravel()]
        np.add.at(scores, (rows, classes), similarities.ravel() * weights)
        return as_probabilities(_shared(scores))

    def save(self, folder: Path) -> None:
        """Write classifier.safetensors."""
        tensors = {"texts": self.texts, "images": self.images, "best": self.best, "weight": self.weight}
        write_classifier(folder, self, tensors, {"neighbours": self.neighbours, "power": self.power})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The classifier in a folder.

        Raises:
            EncoderError: it cannot be read.
        """
        names, tensors, values = read_classifier(folder, cls.method)
        neighbours, power = int(values["neighbours"]), values["power"]
        return cls(names, **tensors, neighbours=neighbours, power=power)


def zlap(
    images: Tensor,
    texts: Tensor,
    class_names: Sequence[str],
    neighbours: int = NEIGHBOURS,
    power: float = POWER,
    spread: float = SPREAD,
) -> Fitted:
    """Probabilities of unlabelled images by label propagation, and a classifier of further ones.

    ZLaP (Stojnic et al. 2024, https://arxiv.org/abs/2404.04072): the nodes are the texts and the images; each image is
    linked to its nearest images by their cosine and to its nearest texts by a power of theirs, negative ones by 0; each
    text spreads its class over the symmetric, normalised graph. The search for an image's nearest images includes
    itself, as published; that link is then deleted. Probabilities are the scores divided by their sum.

    Args:
        images: (N, D) vectors.
        texts: (C, D) vectors of the classes.
        class_names: C >= 2 names.
        neighbours: nearest images and nearest texts of an image, 1 or more.
        power: exponent of the cosines with texts, above 0.
        spread: weight of a neighbour's class, 0 to below 1.

    Raises:
        ValueError: fewer than two classes, no image, invalid vectors, or an argument out of range.
    """
    if neighbours < 1 or not power > 0 or not 0 <= spread < 1:
        raise ValueError(
            f"neighbours={neighbours}, power={power}, spread={spread}; expected 1 or more, above 0, and 0 to below 1"
        )
    pictured, written, names = checked(images, texts, class_names)
    values = _propagated(pictured, written, neighbours, power, spread)  # (C + N, C)
    best = values.argmax(1)
    classifier = ZlapClassifier(
        names,
        torch.from_numpy(written).float(),
        torch.from_numpy(pictured).float(),
        torch.from_numpy(best),
        torch.from_numpy(values[np.arange(len(values)), best]).float(),
        neighbours,
        power,
    )
    return Fitted(as_probabilities(_shared(values[len(names) :])), classifier)


def _edges(
    images: Doubles, texts: Doubles, queries: Doubles, neighbours: int, power: float
) -> tuple[Doubles, NDArray[np.int64]]:
    """(Q, m) weights and nodes of the links of each query: texts are nodes 0 to C - 1, images follow."""
    near, rows = nearest(images, queries, min(neighbours, len(images)))
    fits, classes = nearest(texts, queries, min(neighbours, len(texts)))
    weights = np.concatenate([near.clip(0), fits.clip(0) ** power], axis=1)
    return weights, np.concatenate([rows + len(texts), classes], axis=1)


def _propagated(images: Doubles, texts: Doubles, neighbours: int, power: float, spread: float) -> Doubles:
    """(C + N, C) value of each class at each node: the solution of (1 - spread S) X = one-hot of the texts."""
    from scipy.sparse import csr_array, diags_array, eye_array
    from scipy.sparse.linalg import cg

    count, classes = len(images) + len(texts), len(texts)
    weights, nodes = _edges(images, texts, images, neighbours, power)
    owners = np.repeat(np.arange(classes, count), nodes.shape[1])
    others = nodes.ravel()
    real = owners != others
    links = csr_array((weights.ravel()[real], (owners[real], others[real])), shape=(count, count))
    links = links + links.T
    degrees = np.asarray(links.sum(axis=1)).ravel()
    scale = diags_array(1 / np.sqrt(np.where(degrees == 0, 1, degrees)))
    system = (eye_array(count) - spread * (scale @ links @ scale)).tocsr()
    values = np.zeros((count, classes))
    for number in range(classes):
        target = np.zeros(count)
        target[number] = 1
        values[:, number], missed = cg(system, target, rtol=_EXACTNESS, atol=0, maxiter=_MOST_STEPS)
        if missed:
            raise ValueError(f"the propagation did not converge with spread={spread}; expected a lower one, such as .3")
    return values


def _shared(scores: Doubles) -> Doubles:
    """(B, C) scores, 0 or more, divided by their sum; uniform where it is 0."""
    scores = scores.clip(0)  # the solver leaves values of about -1e-12
    total = scores.sum(1, keepdims=True)
    even = np.full_like(scores, 1 / scores.shape[1])
    return np.where(total > 0, scores / np.where(total > 0, total, 1), even)
