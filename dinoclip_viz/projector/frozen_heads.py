"""Heads for pairs of frozen unimodal encoders: freeze-align's projections and ShareLock's text MLP."""

from __future__ import annotations

from torch import Tensor, nn

_DROPOUT = 0.1  # freeze-align's
_TEXT_DROPOUT = 0.2  # ShareLock's


class TokenProjection(nn.Module):
    """LayerNorm and dropout, then Linear(x) + Linear(GELU(Linear(x))).

    The projection of patches, of the CLS token and of text tokens in freeze-align (Maniparambil et al., CVPR 2025).

    Args:
        inputs, outputs: widths of input and output.
        hidden: inner width; the published one is `outputs`.
    """

    def __init__(self, inputs: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.norm, self.dropout = nn.LayerNorm(inputs), nn.Dropout(_DROPOUT)
        self.straight = nn.Linear(inputs, outputs)
        self.enter, self.leave = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        prepared = self.dropout(self.norm(tokens))
        out: Tensor = self.straight(prepared) + self.leave(nn.functional.gelu(self.enter(prepared)))
        return out

    def mean(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, outputs) mean of the projected tokens that the mask keeps.

        Both last layers are linear, so that they are applied to means: the result is that of projecting every token.

        Args:
            tokens: (B, L, inputs).
            mask: (B, L) 1 for a token, 0 for padding; every row keeps at least one.
        """
        prepared = self.dropout(self.norm(tokens))
        weights = (mask / mask.sum(1, keepdim=True)).to(prepared.dtype)[:, None]  # (B, 1, L)
        bent = nn.functional.gelu(self.enter(prepared))  # (B, L, hidden)
        out: Tensor = self.straight((weights @ prepared)[:, 0]) + self.leave((weights @ bent)[:, 0])
        return out


class ProjectionHead(nn.Module):
    """LayerNorm(y + dropout(Linear(GELU(y)))) with y = Linear(x): freeze-align's head of the averaged text tokens."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.enter, self.middle = nn.Linear(inputs, outputs), nn.Linear(outputs, outputs)
        self.dropout, self.norm = nn.Dropout(_DROPOUT), nn.LayerNorm(outputs)

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        projected = self.enter(vectors)
        out: Tensor = self.norm(self.dropout(self.middle(nn.functional.gelu(projected))) + projected)
        return out


def batch_norm_mlp(inputs: int, outputs: int, hidden: int) -> nn.Sequential:
    """ShareLock's text head (Ruthardt et al., TMLR 2026): 4 linear layers, with BatchNorm, ReLU and dropout between.

    Args:
        inputs, outputs: widths of input and output.
        hidden: inner width; the published one is 4096.
    """
    layers: list[nn.Module] = []
    for width in (inputs, hidden, hidden):
        layers += [nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(_TEXT_DROPOUT)]
    return nn.Sequential(*layers, nn.Linear(hidden, outputs))
