"""PCA colours of the patches after each of an encoder's last layers."""

from __future__ import annotations

import torch
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.encoders.layers import LayerFeatures
from dinoclip_viz.tasks.pca.patch_pca import PatchPCA


def layer_colours(found: LayerFeatures) -> Tensor:
    """(B, N, H, W, 3) colours in [0, 1] of N layers; the components of each layer are fitted on its own patches.

    Args:
        found: features of B images, as from `encode_layers`.

    Raises:
        ValueError: fewer than three patches in all.

    Examples:
        >>> from dinoclip_viz import playground
        >>> from dinoclip_viz.encoders.layers import encode_layers
        >>> layer_colours(encode_layers("playground-dino", playground.draw(1000, 1)[0].image, layers=2)).shape
        torch.Size([1, 2, 12, 12, 3])
    """
    colours = []
    for number in range(found.patches.shape[1]):
        patches = found.patches[:, number]  # (B, H, W, D)
        features = ImageFeatures(
            found.cls, patches.mean(dim=(1, 2)), patches, found.boxes, found.sizes, f"{found.space} layer {number}"
        )
        colours.append(PatchPCA(3).fit(features).transform(features))
    return torch.stack(colours, dim=1)
