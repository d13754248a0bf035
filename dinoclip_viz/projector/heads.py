"""Heads of projectors, by name: small modules that map features to vectors."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from dinoclip_viz.projector.frozen_heads import ProjectionHead, TokenProjection, batch_norm_mlp


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


_LARGEST = 1000.0  # SAIL's bound of the gated values


class GatedHead(nn.Module):
    """SAIL's head: LayerNorm, then g(ReLU6(f1 x) * f2 x) (Zhang et al. 2025, "Assessing and Learning Alignment").

    f2 x is clamped to -1000 to 1000; so is f1 x in the authors' code, where ReLU6 bounds it already.
    """

    def __init__(self, inputs: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(inputs)
        self.gate, self.value = nn.Linear(inputs, hidden), nn.Linear(inputs, hidden)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        normed = self.norm(features)
        out: Tensor = self.out(F.relu6(self.gate(normed)) * self.value(normed).clamp(-_LARGEST, _LARGEST))
        return out


class ResidualBlock(nn.Module):
    """x + (Linear, LayerNorm, GELU, Linear, LayerNorm)(x), all of one width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, width), nn.LayerNorm(width), nn.GELU(), nn.Linear(width, width), nn.LayerNorm(width)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., width) -> (..., width)."""
        out: Tensor = hidden + self.layers(hidden)
        return out


class ProjectorWithResiduals(nn.Module):
    """The published projector of dinov2-clip; attribute names match the published checkpoint.

    Args:
        input_dim: width of the input; DINOv2-base has 768.
        output_dim: width of the output; CLIP ViT-B/16 has 512.
        hidden_dim: inner width.
        num_residual_blocks: number of blocks.

    Examples:
        >>> sum(weights.numel() for weights in ProjectorWithResiduals().parameters())
        54608384
    """

    def __init__(
        self, input_dim: int = 768, output_dim: int = 512, hidden_dim: int = 2048, num_residual_blocks: int = 6
    ) -> None:
        super().__init__()
        self.input_proj = nn.Linear(input_dim, hidden_dim)
        self.residual_blocks = nn.ModuleList(ResidualBlock(hidden_dim) for _ in range(num_residual_blocks))
        self.hidden_norm = nn.LayerNorm(hidden_dim)
        self.output_proj = nn.Sequential(
            nn.Linear(hidden_dim, hidden_dim // 2), nn.GELU(), nn.Linear(hidden_dim // 2, output_dim)
        )
        self.layer_norm = nn.LayerNorm(output_dim)

    def forward(self, features: Tensor) -> Tensor:
        """(..., input_dim) -> (..., output_dim), raw."""
        hidden = self.input_proj(features)
        for block in self.residual_blocks:
            hidden = block(hidden)
        out: Tensor = self.layer_norm(self.output_proj(self.hidden_norm(hidden)))
        return out


HEADS: dict[str, Callable[[int, int, int, int], nn.Module]] = {
    "linear": lambda inputs, outputs, hidden, blocks: nn.Linear(inputs, outputs),
    "mlp": lambda inputs, outputs, hidden, blocks: nn.Sequential(
        nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs)
    ),
    "residual-mlp": ResidualMLP,
    "gated": lambda inputs, outputs, hidden, blocks: GatedHead(inputs, outputs, hidden),
    "text-to-patch": lambda inputs, outputs, hidden, blocks: nn.Sequential(
        nn.Linear(inputs, outputs), nn.Tanh(), nn.Linear(outputs, outputs)
    ),
    "projector-with-residuals": ProjectorWithResiduals,
    "identity": lambda inputs, outputs, hidden, blocks: nn.Identity(),
    "token-projection": lambda inputs, outputs, hidden, blocks: TokenProjection(inputs, outputs, hidden),
    "projection": lambda inputs, outputs, hidden, blocks: ProjectionHead(inputs, outputs),
    "batch-norm-mlp": lambda inputs, outputs, hidden, blocks: batch_norm_mlp(inputs, outputs, hidden),
}
"""Name -> factory, called with input width, output width, inner width and number of blocks.

"text-to-patch" is Talk2DINO's (Barsellotti et al. 2024), "gated" is SAIL's,
"projector-with-residuals" is dinov2-clip's, "token-projection" and "projection" are freeze-align's,
"batch-norm-mlp" is ShareLock's.
"""


def published_hidden(head: str, inputs: int, outputs: int) -> int:
    """The published inner width of a head for a pair of frozen encoders; `outputs` for a head that has none."""
    return {"gated": 8 * inputs, "batch-norm-mlp": 4096}.get(head, outputs)


def make_head(head: str, inputs: int, outputs: int, hidden: int, blocks: int) -> nn.Module:
    """A head by name, with random weights.

    Args:
        head: a name in `HEADS`.
        inputs, outputs: widths of input and output.
        hidden: inner width, if the head has one.
        blocks: number of residual blocks, if the head has them.

    Raises:
        ValueError: unknown head, or a width below 1 or number of blocks below 0.
    """
    if head not in HEADS:
        raise ValueError(f"there is no head {head!r}; expected one of {', '.join(HEADS)}")
    if head == "identity" and inputs != outputs:
        raise ValueError(f"the head 'identity' maps {inputs} to {inputs} values, not to {outputs}; expected one width")
    if min(inputs, outputs, hidden) < 1 or blocks < 0:
        raise ValueError(f"a head of {inputs} to {outputs}, inner width {hidden}, {blocks} blocks; expected 1 or more")
    return HEADS[head](inputs, outputs, hidden, blocks)
