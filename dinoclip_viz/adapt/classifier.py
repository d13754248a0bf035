"""Classifiers that methods fit to unlabelled images, their checked inputs, and the file that holds their weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dinoclip_viz.disk import replacing
from dinoclip_viz.encoders.base import EncoderError
from dinoclip_viz.models import Classifier
from dinoclip_viz.tasks.retrieval.nearest import nearest_blocks

__all__ = ["Classifier", "Doubles", "Fitted", "read_classifier", "write_classifier"]

Doubles: TypeAlias = NDArray[np.float64]

WEIGHTS = "classifier.safetensors"
_ABOUT = "classifier"  # key of the metadata in the file
_SHORTEST = 1e-12


@dataclass(frozen=True, eq=False)
class Fitted:
    """The result of a method on N unlabelled images.

    Attributes:
        probabilities: (N, C) float32 probability of each class for each of these images; rows sum to 1.
        classifier: classifies further images.
    """

    probabilities: Tensor
    classifier: Classifier


def checked(images: Tensor, texts: Tensor, class_names: Sequence[str]) -> tuple[Doubles, Doubles, tuple[str, ...]]:
    """(N, D) and (C, D) float64 unit vectors, and the C class names.

    Args:
        images: (N, D) vectors of images.
        texts: (C, D) vectors of the classes, in the same space.
        class_names: C >= 2 names.

    Raises:
        ValueError: fewer than two classes, no image, or inconsistent, invalid or zero vectors.
    """
    if len(class_names) < 2:
        raise ValueError(f"found {len(class_names)} class; expected two or more class names")
    if texts.ndim != 2 or len(texts) != len(class_names):
        raise ValueError(f"texts have shape {tuple(texts.shape)} for {len(class_names)} classes; expected (C, D)")
    if images.ndim != 2 or not len(images):
        raise ValueError(f"images have shape {tuple(images.shape)}; expected (N, D) with at least one image")
    if images.shape[1] != texts.shape[1]:
        raise ValueError(f"images have {images.shape[1]} values and texts {texts.shape[1]}; expected one space")
    return unit(images, "images"), unit(texts, "texts"), tuple(class_names)


def unit(vectors: Tensor, name: str) -> Doubles:
    """(N, D) float64 unit vectors.

    Raises:
        ValueError: a vector is zero, NaN or infinite.
    """
    rows: Doubles = vectors.detach().cpu().double().numpy()
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    invalid = np.flatnonzero(~(np.isfinite(lengths) & (lengths > _SHORTEST))[:, 0])
    if len(invalid):
        raise ValueError(
            f"{len(invalid)} of {len(rows)} rows of {name} are zero, NaN or infinite, row {invalid[0]} first; "
            "encode them again, on another device or in another dtype"
        )
    scaled: Doubles = rows / lengths
    return scaled


def incoming(vectors: Tensor, width: int) -> Doubles:
    """(B, D) float64 unit vectors of images to classify.

    Raises:
        ValueError: another shape, or vectors that are zero, NaN or infinite.
    """
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise ValueError(f"vectors have shape {tuple(vectors.shape)}; expected (B, {width})")
    return unit(vectors, "vectors")


def nearest(gallery: Doubles, queries: Doubles, k: int) -> tuple[Doubles, NDArray[np.int64]]:
    """(Q, k) cosines and rows of the nearest gallery vectors, best first, by an exact search in tiles.

    Args:
        gallery: (N, D) unit vectors.
        queries: (Q, D) unit vectors.
        k: number of neighbours, 1 to N.
    """
    cosines, rows = np.empty((len(queries), k)), np.empty((len(queries), k), np.int64)
    for part, _, found in nearest_blocks(gallery, queries, k):
        rows[part] = found.numpy()
        cosines[part] = np.einsum("qkd,qd->qk", gallery[rows[part]], queries[part])  # in float64
    return cosines, rows


def as_probabilities(values: Doubles) -> Tensor:
    """(N, C) float32 of values whose rows sum to 1."""
    return torch.from_numpy(values).float()


def write_classifier(
    folder: Path, classifier: Classifier, tensors: Mapping[str, Tensor], values: Mapping[str, float] | None = None
) -> None:
    """Write classifier.safetensors, with method and class names as JSON in the metadata.

    Args:
        folder: created if it is missing.
        classifier: its method and class names are written.
        tensors: name -> weights.
        values: name -> number, such as a logit scale.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = {"method": classifier.method, "class_names": list(classifier.class_names), "values": dict(values or {})}
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(folder / WEIGHTS) as aside:
        save_file(contiguous, aside, {_ABOUT: json.dumps(about)})


def read_classifier(folder: Path, method: str) -> tuple[tuple[str, ...], dict[str, Tensor], dict[str, float]]:
    """Class names, tensors and numbers that `write_classifier` wrote.

    Args:
        folder: that holds the file.
        method: that the classifier is expected to be of.

    Raises:
        EncoderError: the file is missing, damaged, or of another method.
    """
    file = folder / WEIGHTS
    if not file.is_file():
        raise EncoderError(f"{folder} has no {WEIGHTS}; expected the folder of an adapted model: adapt it again")
    try:
        with safe_open(file, "pt") as opened:
            about = json.loads((opened.metadata() or {})[_ABOUT])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        names, values = tuple(about["class_names"]), {key: float(value) for key, value in about["values"].items()}
        found = str(about["method"])
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise EncoderError(f"cannot read {file} as a classifier ({error}); adapt the model again") from error
    if found != method:
        raise EncoderError(f"{file} holds a classifier of {found}; expected {method}: adapt the model again")
    return names, tensors, values
