"""The labelling network: a small classifier on a frozen vision encoder's features, trained on confident images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinoclip_viz.adapt.classifier import read_classifier, write_classifier
from dinoclip_viz.adapt.nola.selection import Selection, images_per_class, select_confident
from dinoclip_viz.adapt.nola.settings import NolaSettings
from dinoclip_viz.encoders.base import EncoderError

METHOD = "nola-labeller"
_SMALLEST = 1e-4  # added to the deviations of the features
_AT_ONCE = 8192  # rows of a forward pass


class Labeller(nn.Module):
    """MLP D-hidden-ReLU-C on the pooled vectors of a frozen vision encoder.

    Args:
        width: D of the vectors.
        class_names: C names.
        hidden: width of the inner layer.

    Attributes:
        class_names: C names.
        method: "nola-labeller".
        mean, deviation: (D,) by which inputs are standardised; 0 and 1 if they are not.
    """

    method: str = METHOD

    def __init__(self, width: int, class_names: Sequence[str], hidden: int = 256) -> None:
        super().__init__()
        self.class_names = tuple(class_names)
        self.inner, self.outer = nn.Linear(width, hidden), nn.Linear(hidden, len(self.class_names))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.mean: Tensor
        self.deviation: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """(B, C) logits of (B, D) raw vectors."""
        inner = F.relu(self.inner((features - self.mean) / self.deviation))
        logits: Tensor = self.outer(inner)
        return logits

    @torch.no_grad()
    def probabilities(self, vectors: Tensor) -> Tensor:
        """(B, C) probability of each class for (B, D) raw vectors of the encoder that it was trained on.

        Raises:
            ValueError: vectors of another width.
        """
        if vectors.ndim != 2 or vectors.shape[1] != len(self.mean):
            raise ValueError(f"vectors have shape {tuple(vectors.shape)}; expected (B, {len(self.mean)})")
        parts = vectors.detach().cpu().float().split(_AT_ONCE)
        return torch.cat([self.forward(part).softmax(dim=1) for part in parts])

    def save(self, folder: Path) -> None:
        """Write classifier.safetensors, as the other methods of adaptation do."""
        write_classifier(folder, self, self.state_dict())

    @classmethod
    def load(cls, folder: Path) -> Labeller:
        """The labelling network of a folder written by `save`.

        Raises:
            EncoderError: the file is missing, damaged or of another method.
        """
        names, tensors, _ = read_classifier(folder, METHOD)
        try:
            hidden, width = tensors["inner.weight"].shape
            labeller = cls(width, names, hidden)
            labeller.load_state_dict(tensors)
        except (KeyError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise EncoderError(f"the labelling network in {folder} is incomplete ({reason}); adapt again") from error
        return labeller.eval().requires_grad_(False)


def fit_labeller(
    features: Tensor,
    probabilities: Tensor,
    class_names: Sequence[str],
    settings: NolaSettings | None = None,
    seed: int | None = None,
) -> Labeller:
    """A labelling network trained on the most confident images of each predicted class.

    Step 2 of NoLA (Imam et al. 2024, https://arxiv.org/abs/2411.19346): cross-entropy on the pseudo-labels of
    `select_confident`, by Adam. Ground-truth labels are not used. With `settings.scale_inputs`, features are
    standardised on all N images, which is not published but makes encoders of any scale comparable.

    Args:
        features: (N, D) pooled vectors of a frozen vision encoder, a DINO or the image-text model's own.
        probabilities: (N, C) zero-shot probability of each class for each image.
        class_names: C names.
        settings: of the selection and the training; None for the defaults.
        seed: of the initial weights and the order of the images; None for that of the settings.

    Raises:
        ValueError: inconsistent shapes, features that are not finite, fewer than two classes or 16 images, no
            confident image, or confident images of one class only.

    Examples:
        >>> features = torch.eye(2).repeat(16, 1)
        >>> labeller = fit_labeller(features, features * 0.8 + 0.1, ["cat", "dog"])
        >>> labeller.probabilities(features).argmax(dim=1)[:4].tolist()
        [0, 1, 0, 1]
    """
    settings = settings or NolaSettings()
    seed = settings.seed if seed is None else seed
    chosen = _selected(features, probabilities, class_names, settings)
    generator = torch.Generator().manual_seed(seed)
    labeller = Labeller(features.shape[1], class_names, settings.hidden)
    _initialise(labeller, generator)
    if settings.scale_inputs:
        labeller.mean.copy_(features.float().mean(0))
        labeller.deviation.copy_(features.float().std(0) + _SMALLEST)
    inputs = features[chosen.rows].float()
    optimiser = torch.optim.Adam(labeller.parameters(), lr=settings.labeller_rate)
    for _ in range(settings.labeller_epochs):
        for rows in torch.randperm(len(chosen), generator=generator).split(settings.labeller_batch):
            loss = F.cross_entropy(labeller(inputs[rows]), chosen.numbers[rows])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
    return labeller.eval().requires_grad_(False)


def _selected(features: Tensor, probabilities: Tensor, class_names: Sequence[str], settings: NolaSettings) -> Selection:
    if features.ndim != 2 or probabilities.ndim != 2 or len(features) != len(probabilities):
        raise ValueError(
            f"features and probabilities have shapes {tuple(features.shape)} and {tuple(probabilities.shape)}; "
            "expected (N, D) and (N, C)"
        )
    if probabilities.shape[1] != len(class_names):
        raise ValueError(f"found {len(class_names)} class names for {probabilities.shape[1]} columns; expected equal")
    if not torch.isfinite(features).all():
        row = int((~torch.isfinite(features).all(dim=1)).nonzero()[0])
        raise ValueError(f"the features of image {row} are NaN or infinite; encode it again in another dtype")
    k = images_per_class(len(features), len(class_names), settings.fraction, settings.least)
    chosen = select_confident(probabilities, k)
    if len(chosen.numbers.unique()) < 2:
        name = class_names[int(chosen.numbers[0])]
        raise ValueError(f"every confident image is predicted as {name!r}; expected images of two or more classes")
    return chosen


def _initialise(labeller: Labeller, generator: torch.Generator) -> None:
    """PyTorch's default of linear layers, uniform within 1 / sqrt(inputs), from a generator of its own."""
    for layer in (labeller.inner, labeller.outer):
        reach = layer.in_features**-0.5
        for values in (layer.weight, layer.bias):
            nn.init.uniform_(values, -reach, reach, generator=generator)
