"""Guided pooling of CLIP-DINOiser: a CLIP's patches averaged over patches that are similar in a guide."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def guided_pooling(patches: Tensor, guide: Tensor, least: float = 0.2) -> Tensor:
    """(B, H, W, D) patches, each the mean of all patches weighted by the guide's similarities.

    F'_p = sum_q A_pq F_q / (sum_q A_pq + 1e-6), A_pq = cos(f_p, f_q), similarities below `least` set to 0
    (Wysoczańska et al., CLIP-DINOiser, ECCV 2024, with its teacher's similarities instead of the learnt ones).

    Args:
        patches: (B, H, W, D) CLIP's patches in the joint space.
        guide: (B, H', W', D') patches of the guide, of the same region of the images; another grid is resized.
        least: cosine similarity below which two patches are not pooled, -1 to 1.
    """
    rows, columns = patches.shape[1:3]
    if guide.shape[1:3] != patches.shape[1:3]:
        channels = guide.permute(0, 3, 1, 2)
        guide = F.interpolate(channels, size=(rows, columns), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    unit = F.normalize(guide.flatten(1, 2), dim=-1)  # (B, N, D')
    similarity = unit @ unit.mT  # (B, N, N)
    similarity.masked_fill_(similarity < least, 0)  # in place, since for large images N x N is most of the memory
    pooled: Tensor = similarity @ patches.flatten(1, 2) / (similarity.sum(-1, keepdim=True) + 1e-6)
    return pooled.reshape(len(pooled), rows, columns, -1)
