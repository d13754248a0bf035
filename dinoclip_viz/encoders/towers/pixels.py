"""Raw pixels as features, a baseline without a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.towers.batching import BatchedImageEncoder, TowerOutput
from dinoclip_viz.encoders.towers.preprocessing import Preprocessing

NAME = "pixels"
PATCH, SIZE = 8, 96


def image_encoder() -> BatchedImageEncoder:
    """An `ImageEncoder` whose patch tokens are the 8 x 8 x 3 pixels of each patch, scaled to -1..1.

    `pooled` and `mean` are the mean patch.
    """
    levels = np.linspace(-1, 1, 256, dtype=np.float32)
    return BatchedImageEncoder(
        name=NAME,
        space=NAME,
        patch_space=NAME,
        dimension=3 * PATCH**2,
        patch_dimension=3 * PATCH**2,
        patch=PATCH,
        methods=(),
        device=torch.device("cpu"),
        dtype=torch.float32,
        preprocessing=Preprocessing(SIZE, SIZE, Image.Resampling.BICUBIC, np.stack([levels] * 3)),
        tower=_tower,
    )


def _tower(pixels: Tensor, _: tuple[int, int], __: Sequence[str]) -> TowerOutput:
    patches = F.unfold(pixels, PATCH, stride=PATCH).mT  # (B, H * W, 3 * 8 * 8)
    mean = patches.mean(dim=1)
    return TowerOutput(mean, mean, patches)
