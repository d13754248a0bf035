"""Settings of NoLA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PseudoLabels = Literal["labeller", "zero-shot"]


@dataclass(frozen=True)
class NolaSettings:
    """Settings of NoLA's three steps; defaults as published, unless stated otherwise.

    Attributes:
        fraction: fraction of the images that all classes together may select as confident.
        least: images per class that are selected at least, where there are as many.
        hidden: width of the labelling network's inner layer.
        labeller_epochs, labeller_batch, labeller_rate: of its training by Adam.
        scale_inputs: whether its inputs are standardised on the unlabelled images; published without.
        pseudo_labels: targets of the tuning: "labeller", or "zero-shot" for the model's own predictions.
        tune: whether the vision tower is tuned; without, the labelling network is the classifier.
        prompts: number of visual prompts; 0 tunes the norms and the classifier only.
        epochs: of the tuning.
        batch: images per step, at most all.
        rate, decay: of AdamW; biases are not decayed.
        smoothing: label smoothing of the cross-entropy, 0 to below 1.
        average: decay of the moving average of the weights, which is the result; published without.
        neighbours: nearest neighbours per image of the unlabelled criterion.
        least_entropy: entropy of the predicted classes below which an epoch counts as collapsed, as a fraction of the
            entropy of the pseudo-labels.
        seed: of all random numbers.

    Raises:
        ValueError: a value out of its range, or "zero-shot" pseudo-labels without tuning, which would train nothing.
    """

    fraction: float = 0.2
    least: int = 16
    hidden: int = 256
    labeller_epochs: int = 50
    labeller_batch: int = 32
    labeller_rate: float = 1e-3
    scale_inputs: bool = True
    pseudo_labels: PseudoLabels = "labeller"
    tune: bool = True
    prompts: int = 16
    epochs: int = 50
    batch: int = 512
    rate: float = 4e-3
    decay: float = 0.01
    smoothing: float = 0.1
    average: float = 0.98
    neighbours: int = 5
    least_entropy: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("least", "hidden", "labeller_epochs", "labeller_batch", "epochs", "batch", "neighbours"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 1 or more")
        for name in ("fraction", "labeller_rate", "rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected a number above 0")
        for name in ("smoothing", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 or more and below 1")
        for name in ("prompts", "decay", "least_entropy", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 or more")
        if self.pseudo_labels not in ("labeller", "zero-shot"):
            raise ValueError(f"pseudo_labels is {self.pseudo_labels!r}; expected labeller or zero-shot")
        if self.pseudo_labels == "zero-shot" and not self.tune:
            raise ValueError(
                "found pseudo_labels 'zero-shot' and tune False, which trains nothing; expected one of them changed"
            )
