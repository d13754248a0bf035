"""Finer patch grids from coarse ones: bilinear, or AnyUp where it is installed."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image

from dinoclip_viz.encoders.base import ImageFeatures

ANYUP = "https://github.com/wimmerth/anyup"


def upsample(features: ImageFeatures, grid: tuple[int, int]) -> ImageFeatures:
    """The features with their patches (and dense patches) on another grid, bilinear between patch centres.

    Args:
        features: of B images.
        grid: rows and columns wanted, each 1 or more.

    Raises:
        ValueError: the grid is empty.

    Examples:
        >>> features = ImageFeatures(torch.ones(1, 1), torch.ones(1, 1), torch.tensor([0.0, 1.0]).view(1, 1, 2, 1),
        ...     torch.tensor([[0.0, 0.0, 2.0, 1.0]]), torch.tensor([[2, 1]]), "some")
        >>> upsample(features, (1, 4)).patches.flatten().tolist()
        [0.0, 0.25, 0.75, 1.0]
    """
    if min(grid) < 1:
        raise ValueError(f"a grid of {grid[0]} x {grid[1]} patches; expected at least one row and one column")

    def finer(patches: torch.Tensor) -> torch.Tensor:
        scaled = F.interpolate(patches.permute(0, 3, 1, 2), size=grid, mode="bilinear", align_corners=False)
        return scaled.permute(0, 2, 3, 1).contiguous()  # (B, H, W, D)

    dense = {method: finer(patches) for method, patches in features.dense.items()}
    return replace(features, patches=finer(features.patches), dense=dense)


def upsample_anyup(
    features: ImageFeatures, image: Image.Image, grid: tuple[int, int], weights: str | PathLike[str]
) -> ImageFeatures:
    """The features of one image on a finer grid by AnyUp (Wimmer et al. 2025), guided by the image's own edges.

    AnyUp is published as code and a checkpoint, not as a package of the index or a model of the hub: nothing is fetched
    or run here that its user has not installed.

    Args:
        features: of one image.
        image: that image.
        grid: rows and columns wanted, each at least as many as there are.
        weights: its checkpoint, anyup_paper.pth; only tensors are read from it.

    Raises:
        ValueError: AnyUp is not installed, the checkpoint does not fit, or the features are of several images.
    """
    try:
        from anyup.model import AnyUp  # type: ignore[import-not-found]
    except ImportError as error:
        raise ValueError(f"AnyUp is not installed here; put {ANYUP} on the Python path, or use bilinear") from error
    if len(features) != 1:
        raise ValueError(f"the features are of {len(features)} images; expected one: take features[i]")
    if grid[0] < features.grid[0] or grid[1] < features.grid[1]:
        raise ValueError(f"a grid of {grid} is coarser than the features' {features.grid}; expected a finer one")
    model = AnyUp()
    try:
        model.load_state_dict(torch.load(Path(weights), map_location="cpu", weights_only=True))
    except Exception as error:  # unpicklers and modules raise whatever they like
        raise ValueError(f"{weights} is no checkpoint of AnyUp ({' '.join(str(error).split())[:120]})") from error
    left, top, right, bottom = (round(edge) for edge in features.boxes[0].tolist())
    seen = image.crop((left, top, right, bottom)).resize((grid[1], grid[0]), Image.Resampling.BICUBIC)
    with torch.no_grad():
        finer = model.eval()(_imagenet(seen), features.patches.permute(0, 3, 1, 2))  # (1, D, H, W)
    return replace(features, patches=finer.permute(0, 2, 3, 1).contiguous().float(), dense={})


def _imagenet(image: Image.Image) -> torch.Tensor:
    """(1, 3, height, width) pixels as ImageNet's models want them."""
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, 3)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((pixels / 255 - mean) / deviation).permute(2, 0, 1)[None]
