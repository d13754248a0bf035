"""Background segmentation of FOUND, from the patch that gets the least attention."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

THRESHOLD = 0.3
"""Published cosine from which a patch is background."""


def found_background(patches: Tensor, attention: Tensor | None = None, threshold: float = THRESHOLD) -> Tensor:
    """(B, H, W) bool, True where a patch is background.

    The seed is the patch that gets the least attention from CLS. All patches whose cosine similarity to the seed is
    `threshold` or more are background: the first stage of FOUND (Siméoni et al., Unsupervised Object Localization:
    Observing the Background to Discover Objects, CVPR 2023). Without attention, the seed is the patch with the highest
    mean similarity to all others.

    Args:
        patches: (B, H, W, D) patches of a vision model.
        attention: (B, heads, H, W) attention of the last block from CLS to the patches, or None.
        threshold: cosine similarity, -1 to 1.
    """
    batch, rows, columns, _ = patches.shape
    unit = F.normalize(patches.flatten(1, 2), dim=-1)  # (B, N, D)
    if attention is None:
        seed = (unit @ unit.sum(1)[..., None])[..., 0].argmax(1)  # (B,)
    else:
        seed = attention.mean(1).flatten(1).argmin(1)
    similarity = (unit @ unit[torch.arange(batch), seed][..., None])[..., 0]  # (B, N)
    return (similarity >= threshold).reshape(batch, rows, columns)
