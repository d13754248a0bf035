"""FOUND's background: the patches like the one that a vision model looks at least."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ALIKE = 0.3


def found_background(patches: Tensor, attention: Tensor | None = None, alike: float = ALIKE) -> Tensor:
    """(B, H, W) bool, True where a patch is background.

    The seed is the patch that gets the least attention of CLS; whatever is at least as alike to it as a cosine of
    `alike` is background too: the first stage of FOUND (Siméoni et al., Unsupervised Object Localization: Observing
    the Background to Discover Objects, CVPR 2023). Without attention the seed is the patch most like all others.

    Args:
        patches: (B, H, W, D) of a vision model.
        attention: (B, heads, H, W) of CLS to the patches, in the last block; None without.
        alike: cosine, -1 to 1.
    """
    batch, rows, columns, _ = patches.shape
    unit = F.normalize(patches.flatten(1, 2), dim=-1)  # (B, N, D)
    if attention is None:
        seed = (unit @ unit.sum(1)[..., None])[..., 0].argmax(1)  # (B,)
    else:
        seed = attention.mean(1).flatten(1).argmin(1)
    closeness = (unit @ unit[torch.arange(batch), seed][..., None])[..., 0]  # (B, N)
    return (closeness >= alike).reshape(batch, rows, columns)
