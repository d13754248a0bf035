"""The text side of a projector that maps images and texts to a space of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dinoclip_viz.projector.frozen_heads import TokenProjection
from dinoclip_viz.projector.heads import make_head

TEXT_INPUTS = ("pooled", "tokens")
"""Features of a text that are projected: its pooled vector, or its token vectors."""

_TEXTS = 1024  # texts per projection of token vectors


class TextSide(nn.Module):
    """The head of the texts, the mean and deviation of its input, and the scale of the cosines.

    Args:
        inputs: "pooled", or "tokens": these are projected, averaged, and then mapped by the head.
        width: D of the vectors or tokens; outputs: D of the projected vectors.
        head: a name in `HEADS`; hidden: its inner width, with "tokens" that of their projection.

    Raises:
        ValueError: unknown inputs or head.
    """

    def __init__(self, inputs: str, width: int, outputs: int, head: str, hidden: int) -> None:
        super().__init__()
        if inputs not in TEXT_INPUTS:
            raise ValueError(f"text_inputs is {inputs!r}; expected one of {', '.join(TEXT_INPUTS)}")
        self.inputs = inputs
        self.tokens = TokenProjection(width, outputs, hidden) if inputs == "tokens" else None
        self.head = make_head(head, outputs if inputs == "tokens" else width, outputs, hidden, 0)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.register_buffer("logit_scale", torch.tensor(20.0))
        self.mean: Tensor
        self.deviation: Tensor
        self.logit_scale: Tensor

    def forward(self, vectors: Tensor, mask: Tensor | None = None) -> Tensor:
        """(T, outputs) raw vectors of the texts.

        Args:
            vectors: (T, D) pooled vectors, or with inputs "tokens" (T, L, D) token vectors.
            mask: (T, L) 1 for a token, 0 for padding.

        Raises:
            ValueError: the head reads tokens and there are none.
        """
        scaled = (vectors - self.mean) / self.deviation
        if self.tokens is None:
            out: Tensor = self.head(scaled)
            return out
        if mask is None or vectors.ndim != 3:
            raise ValueError(
                f"found text vectors of shape {tuple(vectors.shape)} for a head of token vectors; expected (T, L, D) "
                "and a mask; embed the captions with --text-tokens"
            )
        out = self.head(self.tokens.mean(scaled, mask))
        return out

    def project_ragged(self, values: Tensor, offsets: Tensor) -> Tensor:
        """(T, outputs) raw vectors of texts from their token vectors, one text after the other.

        Args:
            values: (N, D); offsets: (T + 1,) first row of each text, and N.
        """
        counts = offsets.diff()
        parts = []
        for start in range(0, len(counts), _TEXTS):
            some = counts[start : start + _TEXTS]
            first = int(offsets[start])
            parts.append(self(*padded(values[first : first + int(some.sum())], some)))
        return torch.cat(parts)


def padded(values: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """(T, L, D) token vectors with zeros at the end of shorter texts, and the (T, L) mask, 1 for a token.

    Args:
        values: (N, D), the texts one after the other.
        counts: (T,) number of tokens of each text; their sum is N.

    Examples:
        >>> padded(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([1, 2]))[0].squeeze(2).tolist()
        [[1.0, 0.0], [2.0, 3.0]]
    """
    mask = torch.arange(int(counts.max()), device=values.device)[None] < counts.to(values.device)[:, None]  # (T, L)
    tokens = values.new_zeros(*mask.shape, values.shape[1])
    tokens[mask] = values
    return tokens, mask.to(values.dtype)
