"""ProxyCLIP: CLIP's last values, mixed by the attention that another vision model's patches make."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SHIFT, SCALE = 1.2, 3.0


def proxy_attention(values: Tensor, guide: Tensor) -> Tensor:
    """(B, H', W', width) CLIP's values mixed by the guide's patches, on the guide's grid.

    S = cos of the guide's patches; S = (S - 1.2 mean S) * 3; S < 0 does not take part; softmax; times the values. What
    follows in the model, the attention's output projection, the final norm and the projection into the joint space, is
    the caller's; there is neither residual nor MLP. Where a guide finds everything alike, its mean leaves nothing above
    the shift: a patch then keeps its own value.
    Lan et al., ProxyCLIP: Proxy Attention Improves CLIP for Open-Vocabulary Segmentation, ECCV 2024.

    Args:
        values: (B, H, W, width) of CLIP's last block, heads joined.
        guide: (B, H', W', D) the vision model's patches of the same part of the images.
    """
    rows, columns = guide.shape[1:3]
    if values.shape[1:3] != guide.shape[1:3]:
        channels = values.permute(0, 3, 1, 2)
        values = F.interpolate(channels, (rows, columns), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    unit = F.normalize(guide.flatten(1, 2), dim=-1)
    alike = unit @ unit.mT  # (B, N, N)
    logits = (alike - SHIFT * alike.mean((1, 2), keepdim=True)) * SCALE
    itself = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill((logits < 0) & ~itself, float("-inf"))
    mixed = logits.softmax(-1) @ values.flatten(1, 2)
    return mixed.reshape(len(mixed), rows, columns, -1)
