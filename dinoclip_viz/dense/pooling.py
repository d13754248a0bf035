"""CLIP-DINOiser's guided pooling: a CLIP's patches averaged over the patches that a DINO finds alike."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def guided_pooling(patches: Tensor, guide: Tensor, least: float = 0.2) -> Tensor:
    """(B, H, W, D) patches, each the mean of all others weighted by the guide's similarity.

    F'_p = sum_q A_pq F_q / (sum_q A_pq + 1e-6), A_pq = cos(f_p, f_q), similarities below `least` set to 0
    (Wysoczańska et al., CLIP-DINOiser, ECCV 2024, with its teacher's correlations in place of the learnt ones).

    Args:
        patches: (B, H, W, D) CLIP's patches in the joint space.
        guide: (B, H', W', D') the guide's patches of the same part of the images; another grid is resized.
        least: similarity below which two patches do not mix, -1 to 1.
    """
    rows, columns = patches.shape[1:3]
    if guide.shape[1:3] != patches.shape[1:3]:
        channels = guide.permute(0, 3, 1, 2)
        guide = F.interpolate(channels, size=(rows, columns), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    unit = F.normalize(guide.flatten(1, 2), dim=-1)  # (B, N, D')
    alike = unit @ unit.mT  # (B, N, N)
    alike.masked_fill_(alike < least, 0)  # in place: for large images N x N is most of the memory
    pooled: Tensor = alike @ patches.flatten(1, 2) / (alike.sum(-1, keepdim=True) + 1e-6)
    return pooled.reshape(len(pooled), rows, columns, -1)
