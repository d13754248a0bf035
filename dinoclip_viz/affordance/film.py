"""A head in UAD's form: convolutions on the patches whose channels the text scales and shifts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FilmHead(nn.Module):
    """Convolutions of 1 x 1 that a sentence scales and shifts, in the form of UAD (Tang et al. 2025, arXiv 2506.09284).

    Scales and shifts (FiLM, Perez et al. 2018) start at zero, so that training starts from one map for all sentences.
    Unlike UAD, which reads the last layer alone, this head reads several, normalised and side by side.

    Args:
        width: D of the patches.
        text_width: E of the texts.
        layers: number of layers whose patches are read.
        channels: of the two hidden convolutions.
    """

    def __init__(self, width: int, text_width: int, layers: int = 3, channels: tuple[int, int] = (256, 64)) -> None:
        super().__init__()
        self.layer_norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.text_norm = nn.LayerNorm(text_width)
        self.enter = nn.Linear(width * layers, channels[0])
        self.films = nn.ModuleList(_zero(nn.Linear(text_width, 2 * size)) for size in channels)
        self.leave = nn.ModuleList(nn.Linear(*sizes) for sizes in (channels, (channels[1], 1)))

    def forward(self, patches: Tensor, cls: Tensor, texts: Tensor) -> Tensor:
        """(B, V, H, W) logits of each patch for each text.

        Args:
            patches: (B, N, H, W, D) of the last N layers.
            cls: (B, D), which this head does not read; both heads are called in one way.
            texts: (V, E) unnormalised vectors of the verbs.
        """
        del cls
        words = self.text_norm(texts)
        normed = [norm(patches[:, index]) for index, norm in enumerate(self.layer_norms)]
        hidden = self.enter(torch.cat(normed, dim=-1))[:, None]  # (B, 1, H, W, C)
        for film, convolution in zip(self.films, self.leave, strict=True):
            scale, shift = film(words)[:, None, None].chunk(2, dim=-1)  # (V, 1, 1, C)
            hidden = convolution(F.relu(hidden * (1 + scale) + shift))  # (B, V, H, W, C')
        logits: Tensor = hidden[..., 0]
        return logits


def _zero(layer: nn.Linear) -> nn.Linear:
    """The layer with all weights 0."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
