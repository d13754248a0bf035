"""The trained module between two frozen encoders: features in one space -> vectors in another."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from dinoclip_viz.encoders.base import ImageFeatures, same_space

Head = Literal["linear", "mlp", "residual-mlp"]
Input = Literal["mean", "pooled", "pooled+mean"]

INPUTS: dict[str, int] = {"mean": 1, "pooled": 1, "pooled+mean": 2}
"""What of a picture's features goes in -> how many times the encoder's width that is."""


class ResidualMLP(nn.Module):
    """Linear, then `blocks` residual blocks of LayerNorm, Linear, GELU, Linear, then LayerNorm and Linear."""

    def __init__(self, inputs: int, outputs: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.enter = nn.Linear(inputs, hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, hidden))
            for _ in range(blocks)
        )
        self.leave = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, outputs))

    def forward(self, features: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        hidden = self.enter(features)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        out: Tensor = self.leave(hidden)
        return out


def make_head(head: str, inputs: int, outputs: int, hidden: int, blocks: int) -> nn.Module:
    """A head by name.

    Raises:
        ValueError: there is no head of that name.
    """
    if head == "linear":
        return nn.Linear(inputs, outputs)
    if head == "mlp":
        return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))
    if head == "residual-mlp":
        return ResidualMLP(inputs, outputs, hidden, blocks)
    raise ValueError(f"there is no head {head!r}; expected linear, mlp or residual-mlp")


class Projector(
    nn.Module, PyTorchModelHubMixin, library_name="dinoclip_viz", tags=["dinov2", "clip"], license="apache-2.0"
):
    """Carries an image encoder's features into a text encoder's space: whole pictures, and patch by patch.

    `save_pretrained`, `from_pretrained` and `push_to_hub` come from huggingface_hub; config.json holds the arguments
    below, so that a projector's folder names both of its encoders and is an image-text model by itself.

    Args:
        image_encoder: name of the encoder whose features go in.
        text_encoder: name of the model whose text tower the vectors are comparable with.
        image_space: the `patch_space` that features must have.
        text_space: the space of what comes out.
        width: D of the features that go in; outputs: D of the vectors that come out.
        head: "linear", "mlp" or "residual-mlp"; hidden: its inner width; blocks: residual blocks.
        inputs: what of a picture goes in: "mean" of all tokens, "pooled" (CLS), or both, each scaled to deviation one.
        patch_head: a second head of the same kind for patches; without it, patches go through the first, which then
            must take one vector of the encoder's width.
        side: which side the projector is on; "image".
    """

    def __init__(
        self,
        *,
        image_encoder: str,
        text_encoder: str,
        image_space: str,
        text_space: str,
        width: int,
        outputs: int,
        head: Head = "residual-mlp",
        inputs: Input = "mean",
        hidden: int = 512,
        blocks: int = 2,
        patch_head: bool = False,
        side: Literal["image"] = "image",
    ) -> None:
        super().__init__()
        if inputs not in INPUTS:
            raise ValueError(f"inputs is {inputs!r}; expected one of {', '.join(INPUTS)}")
        self.image_encoder, self.text_encoder = image_encoder, text_encoder
        self.image_space, self.text_space = image_space, text_space
        self.inputs, self.side = inputs, side
        entering = width * INPUTS[inputs]
        self.pooled_head = make_head(head, entering, outputs, hidden, blocks)
        self.patch_head = make_head(head, width, outputs, hidden, blocks) if patch_head else None
        self.register_buffer("pooled_mean", torch.zeros(entering))
        self.register_buffer("pooled_deviation", torch.ones(entering))
        self.register_buffer("patch_mean", torch.zeros(width))
        self.register_buffer("patch_deviation", torch.ones(width))
        self.pooled_mean: Tensor
        self.pooled_deviation: Tensor
        self.patch_mean: Tensor
        self.patch_deviation: Tensor

    @property
    def serves_patches(self) -> bool:
        """Whether patches can be projected."""
        return self.patch_head is not None or INPUTS[self.inputs] == 1

    def pooled_input(self, features: ImageFeatures) -> Tensor:
        """(B, inputs) what the first head reads, before scaling."""
        vectors = {"mean": features.mean, "pooled": features.pooled}
        return torch.cat([vectors[name] for name in self.inputs.split("+")], dim=-1)

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., inputs) as `pooled_input` gives them -> (..., outputs), raw."""
        out: Tensor = self.pooled_head((vectors - self.pooled_mean) / self.pooled_deviation)
        return out

    def project_patches(self, patches: Tensor) -> Tensor:
        """(..., width) patch tokens -> (..., outputs), raw.

        Raises:
            ValueError: the projector has no head for patches.
        """
        if self.patch_head is not None:
            out: Tensor = self.patch_head((patches - self.patch_mean) / self.patch_deviation)
            return out
        if not self.serves_patches:
            raise ValueError(
                f"this projector reads {self.inputs!r} and has no patch head; train one with patch_head=True"
            )
        return self.forward(patches)

    @torch.no_grad()
    def project(self, features: ImageFeatures) -> Tensor:
        """(B, outputs) raw vectors of the pictures, comparable with texts.

        Raises:
            SpaceError: the features come from another encoder.
        """
        same_space(self.image_space, features.patch_space)
        return self.forward(self.pooled_input(features))

    @torch.no_grad()
    def project_grid(self, features: ImageFeatures) -> Tensor:
        """(B, H, W, outputs) raw vectors of the patches, comparable with texts.

        Raises:
            SpaceError: the features come from another encoder.
            ValueError: the projector has no head for patches.
        """
        same_space(self.image_space, features.patch_space)
        return self.project_patches(features.patches)

    @torch.no_grad()
    def measure_input(self, vectors: Tensor, patches: Tensor) -> None:
        """Learn mean and deviation of what goes in, from (N, inputs) vectors and (M, width) patches."""
        self.pooled_mean.copy_(vectors.mean(0))
        self.pooled_deviation.copy_(vectors.std(0) + 1e-4)
        self.patch_mean.copy_(patches.mean(0))
        self.patch_deviation.copy_(patches.std(0) + 1e-4)


def unit(vectors: Tensor) -> Tensor:
    """Vectors of length one along the last axis."""
    return F.normalize(vectors, dim=-1)
