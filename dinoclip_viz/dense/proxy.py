"""ProxyCLIP: the values of CLIP's last block, averaged with attention between a vision model's patches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT, SCALE = 1.2, 3.0


def proxy_attention(values: Tensor, guide: Tensor) -> Tensor:
    """(B, H', W', width) CLIP's values, averaged with the guide's attention on the guide's grid.

    S = cos of the guide's patches; S = (S - 1.2 mean S) * 3; S < 0 is masked; softmax; times the values. The caller
    applies the attention's output projection, the final norm and the projection into the joint space, without residual
    and MLP. If all patches of the guide are similar, all of S is negative and a patch keeps its own value.
    Lan et al., ProxyCLIP: Proxy Attention Improves CLIP for Open-Vocabulary Segmentation, ECCV 2024.

    Args:
        values: (B, H, W, width) values of CLIP's last block, with the heads concatenated.
        guide: (B, H', W', D) patches of the vision model, of the same region of the images.
    """
    rows, columns = guide.shape[1:3]
    if values.shape[1:3] != guide.shape[1:3]:
        channels = values.permute(0, 3, 1, 2)
        values = F.interpolate(channels, (rows, columns), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    unit = F.normalize(guide.flatten(1, 2), dim=-1)
    similarity = unit @ unit.mT  # (B, N, N)
    logits = (similarity - SHIFT * similarity.mean((1, 2), keepdim=True)) * SCALE
    itself = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill((logits < 0) & ~itself, float("-inf"))
    mixed = logits.softmax(-1) @ values.flatten(1, 2)
    return mixed.reshape(len(mixed), rows, columns, -1)
