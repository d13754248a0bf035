"""OOAL's head: three layers of patches merged, texts that read them by attention gated by CLS, a dot product."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GatedAttention(nn.Module):
    """Cross-attention from texts to patches, weighted by how well each patch fits the CLS token.

    The gate multiplies the softmax and the weights are not normalised again, as in the authors' code.

    Args:
        dimension: D of texts and patches.
        heads: number of heads, a divisor of D.
        dropout: of the gated weights.
    """

    def __init__(self, dimension: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.scale = heads, (dimension // heads) ** -0.5
        self.query, self.key, self.value = (nn.Linear(dimension, dimension) for _ in range(3))
        self.out = nn.Linear(dimension, dimension)
        self.dropout = nn.Dropout(dropout)

    def forward(self, texts: Tensor, patches: Tensor, cls: Tensor) -> Tensor:
        """(B, V, D) what each text reads.

        Args:
            texts: (B, V, D).
            patches: (B, P, D), keys and values.
            cls: (B, D) in the space of the keys.
        """
        query, key, value = (
            self._split(part(given))
            for part, given in ((self.query, texts), (self.key, patches), (self.value, patches))
        )
        weights = (query @ key.transpose(-2, -1) * self.scale).softmax(-1)  # (B, heads, V, P)
        gate = self._split(cls[:, None]) @ key.transpose(-2, -1) * self.scale  # (B, heads, 1, P)
        weights = self.dropout(gate.mean(1, keepdim=True).sigmoid() * weights)
        out: Tensor = self.out((weights @ value).transpose(1, 2).flatten(2))
        return out

    def _split(self, tokens: Tensor) -> Tensor:
        """(B, N, D) -> (B, heads, N, D / heads)."""
        heads: Tensor = tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return heads


class DecoderLayer(nn.Module):
    """Gated attention and a feed-forward network, each added and normalised; there is no self-attention.

    Args:
        dimension, heads, dropout: as in `GatedAttention`; dropout acts in the feed-forward network too.
    """

    def __init__(self, dimension: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = GatedAttention(dimension, heads, dropout)
        self.norm_attention, self.norm_network = nn.LayerNorm(dimension), nn.LayerNorm(dimension)
        self.widen, self.narrow = nn.Linear(dimension, 4 * dimension), nn.Linear(4 * dimension, dimension)
        self.dropout = nn.Dropout(dropout)

    def forward(self, texts: Tensor, patches: Tensor, cls: Tensor) -> Tensor:
        """(B, V, D) -> (B, V, D); arguments as in `GatedAttention.forward`."""
        texts = self.norm_attention(texts + self.dropout(self.attention(texts, patches, cls)))
        hidden = self.narrow(self.dropout(F.relu(self.widen(texts))))
        out: Tensor = self.norm_network(texts + self.dropout(hidden))
        return out


class OoalHead(nn.Module):
    """The model of "One-Shot Open Affordance Learning with Foundation Models" (Li et al., CVPR 2024).

    Each of the last layers has a linear map and a LayerNorm, and their sum is weighted by the softmax of learnt
    numbers. An MLP maps it to the space of the texts. Two decoder layers let the texts read the patches, and the logit
    of a patch is its product with the text, divided by the root of the dimension. The authors' decoder holds
    self-attention weights that no pass uses; they are omitted.

    Args:
        width: D of the patches.
        text_width: E of the texts, the dimension of the head; 512 with CLIP ViT-B/16.
        layers: number of merged layers.
        heads: of the attention; reduced to the greatest divisor of the dimension.
        depth: number of decoder layers.
        dropout: of the decoder.
    """

    def __init__(
        self, width: int, text_width: int, layers: int = 3, heads: int = 8, depth: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__()
        heads = next(count for count in range(heads, 0, -1) if text_width % count == 0)
        self.merge = nn.Parameter(torch.zeros(layers))
        self.layer_maps = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width)) for _ in range(layers)
        )
        self.embed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, text_width), nn.GELU(), nn.Linear(text_width, text_width),
            nn.LayerNorm(text_width),
        )  # fmt: skip
        self.cls_map = nn.Linear(width, text_width)
        self.text_norm = nn.LayerNorm(text_width)
        self.decoder = nn.ModuleList(DecoderLayer(text_width, heads, dropout) for _ in range(depth))
        self.scale = text_width**-0.5

    def forward(self, patches: Tensor, cls: Tensor, texts: Tensor) -> Tensor:
        """(B, V, H, W) logits of each patch for each text.

        Args:
            patches: (B, N, H, W, D) of the last N layers.
            cls: (B, D) of the last layer.
            texts: (V, E) unnormalised vectors of the verbs.
        """
        weights = self.merge.softmax(0)
        merged = sum(weights[index] * part(patches[:, index]) for index, part in enumerate(self.layer_maps))
        dense = self.embed(merged)  # (B, H, W, E)
        tokens, reading = dense.flatten(1, 2), self.cls_map(cls)
        words = self.text_norm(texts).expand(len(patches), -1, -1)  # (B, V, E)
        for layer in self.decoder:
            words = layer(words, tokens, reading)
        logits: Tensor = torch.einsum("bve,bhwe->bvhw", words, dense) * self.scale
        return logits
