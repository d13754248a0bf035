"""The interface of fitted classifiers, and their probabilities for some of their classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Classifier(Protocol):
    """A fitted classifier of images into named classes, such as those of `dinoclip_viz.adapt`.

    Attributes:
        class_names: C >= 2 names.
        method: name of the method that fitted it, such as "stata".
    """

    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def method(self) -> str: ...  # noqa: D102

    def probabilities(self, vectors: Tensor) -> Tensor:
        """(B, C) float32 probability of each class; rows sum to 1.

        Args:
            vectors: (B, D) raw pooled vectors: the model's, or those of `ImageTextModel.classifier_images`.

        Raises:
            ValueError: vectors of another shape.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write its weights into a folder."""
        ...


def check_known(class_names: Sequence[str], labels: Sequence[str]) -> None:
    """Check that labels are classes of a classifier.

    Raises:
        ValueError: some are not; the message names the first ones.

    Examples:
        >>> check_known(["cat", "dog"], ["dog"])
    """
    unknown = [label for label in labels if label not in class_names]
    if unknown:
        shown = ", ".join(class_names[:5]) + (", ..." if len(class_names) > 5 else "")
        raise ValueError(
            f"found the labels {', '.join(unknown[:5])}; expected some of the {len(class_names)} classes that "
            f"the model is adapted to: {shown}; adapt it again with these labels, or use its base model"
        )


def label_probabilities(
    classifier: Classifier, vectors: Tensor, labels: Sequence[str], temperature: float = 1.0
) -> Tensor:
    """(B, T) probability of each label among the labels; rows sum to 1, uniform where all of a row are 0.

    Args:
        classifier: fitted.
        vectors: (B, D) raw vectors, as in `Classifier.probabilities`.
        labels: T >= 2 of its class names, in any order.
        temperature: above 0; values above 1 flatten the distribution, values below 1 sharpen it.

    Raises:
        ValueError: a label that is no class of it, fewer than two labels, or a temperature that is not above 0.
    """
    check_known(classifier.class_names, labels)
    if len(labels) < 2:
        raise ValueError("found one label, whose probability is always 1; expected at least two labels")
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}; expected a number above 0")
    columns = [classifier.class_names.index(label) for label in labels]
    values = classifier.probabilities(vectors)[:, columns].double()  # (B, T)
    values = (values / values.amax(1, keepdim=True).clamp_min(1e-300)) ** (1 / temperature)
    total = values.sum(1, keepdim=True)
    even = torch.full_like(values, 1 / len(labels))
    return torch.where(total > 0, values / total.clamp_min(1e-300), even).float()
