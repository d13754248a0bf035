"""The linear classifier on raw pooled vectors that NoLA tunes together with the vision tower."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from dinoclip_viz.adapt.classifier import read_classifier, write_classifier
from dinoclip_viz.encoders.base import EncoderError

METHOD = "nola"
WEIGHT = "classifier.weight"


class NolaClassifier:
    """Softmax of a linear map, without bias, of raw pooled vectors.

    Args:
        class_names: C names.
        weight: (C, D) rows, which start as the text rows of the classes.

    Attributes:
        class_names: C names.
        method: "nola".
        weight: (C, D) float32 on the CPU.

    Raises:
        ValueError: a weight without one row per name.
    """

    method: str = METHOD

    def __init__(self, class_names: Sequence[str], weight: Tensor) -> None:
        if weight.ndim != 2 or len(weight) != len(class_names):
            raise ValueError(f"weight has shape {tuple(weight.shape)}; expected ({len(class_names)}, D)")
        self.class_names = tuple(class_names)
        self.weight = weight.detach().cpu().float().clone()

    def probabilities(self, vectors: Tensor) -> Tensor:
        """(B, C) probability of each class for (B, D) raw pooled vectors of the tuned encoder.

        Raises:
            ValueError: vectors of another width.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.weight.shape[1]:
            raise ValueError(f"vectors have shape {tuple(vectors.shape)}; expected (B, {self.weight.shape[1]})")
        return (vectors.detach().cpu().float() @ self.weight.T).softmax(dim=1)

    def save(self, folder: Path) -> None:
        """Write classifier.safetensors, as the other methods of adaptation do."""
        write_classifier(folder, self, {WEIGHT: self.weight})

    @classmethod
    def load(cls, folder: Path) -> NolaClassifier:
        """The classifier of a folder written by `save`.

        Raises:
            EncoderError: the file is missing, damaged or of another method.
        """
        names, tensors, _ = read_classifier(folder, METHOD)
        try:
            return cls(names, tensors[WEIGHT])
        except (KeyError, ValueError) as error:
            raise EncoderError(f"the classifier in {folder} is incomplete ({error}); adapt the model again") from error
