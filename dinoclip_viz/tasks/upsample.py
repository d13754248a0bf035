"""Upsampling of patch grids: bilinear, or AnyUp where it is installed."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image

from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.images import ImageLike, load_image

ANYUP = "https://github.com/wimmerth/anyup"


def upsample(features: ImageFeatures, grid: tuple[int, int]) -> ImageFeatures:
    """The features with their patches (and dense patches) interpolated bilinearly to another grid.

    Args:
        features: of B images.
        grid: rows and columns of the result, each 1 or more.

    Raises:
        ValueError: the grid is empty.

    Examples:
        >>> features = ImageFeatures(torch.ones(1, 1), torch.ones(1, 1), torch.tensor([0.0, 1.0]).view(1, 1, 2, 1),
        ...     torch.tensor([[0.0, 0.0, 2.0, 1.0]]), torch.tensor([[2, 1]]), "some")
        >>> upsample(features, (1, 4)).patches.flatten().tolist()
        [0.0, 0.25, 0.75, 1.0]
    """
    if min(grid) < 1:
        raise ValueError(f"grid is {grid[0]} x {grid[1]}; expected at least one row and one column")

    def finer(patches: torch.Tensor) -> torch.Tensor:
        scaled = F.interpolate(patches.permute(0, 3, 1, 2), size=grid, mode="bilinear", align_corners=False)
        return scaled.permute(0, 2, 3, 1).contiguous()  # (B, H, W, D)

    dense = {method: finer(patches) for method, patches in features.dense.items()}
    return replace(features, patches=finer(features.patches), dense=dense)


def upsample_anyup(
    features: ImageFeatures, image: ImageLike, grid: tuple[int, int], weights: str | PathLike[str]
) -> ImageFeatures:
    """The features of one image on a finer grid by AnyUp (Wimmer et al. 2025), guided by the edges of the image.

    AnyUp is published as code and a checkpoint, not as a package; neither is downloaded here.

    Args:
        features: of one image.
        image: that image, in any form.
        grid: rows and columns of the result, at least those of the features.
        weights: the checkpoint, anyup_paper.pth; only tensors are read from it.

    Raises:
        ImageError: the image cannot be read.
        ValueError: AnyUp is not installed, the checkpoint does not fit, or the features are of several images.
    """
    try:
        from anyup.model import AnyUp  # type: ignore[import-not-found]
    except ImportError as error:
        raise ValueError(f"AnyUp is not installed; add {ANYUP} to the Python path, or use bilinear") from error
    if len(features) != 1:
        raise ValueError(f"the features are of {len(features)} images; expected one: pass features[i]")
    if grid[0] < features.grid[0] or grid[1] < features.grid[1]:
        raise ValueError(f"grid is {grid}; expected at least the features' {features.grid}")
    model = AnyUp()
    try:
        model.load_state_dict(torch.load(Path(weights), map_location="cpu", weights_only=True))
    except Exception as error:  # unpicklers and modules raise many types
        raise ValueError(f"{weights} is not a checkpoint of AnyUp ({' '.join(str(error).split())[:120]})") from error
    image = load_image(image)
    left, top, right, bottom = (round(edge) for edge in features.boxes[0].tolist())
    guide = image.crop((left, top, right, bottom)).resize((grid[1], grid[0]), Image.Resampling.BICUBIC)
    with torch.no_grad():
        finer = model.eval()(_imagenet(guide), features.patches.permute(0, 3, 1, 2))  # (1, D, H, W)
    return replace(features, patches=finer.permute(0, 2, 3, 1).contiguous().float(), dense={})


def _imagenet(image: Image.Image) -> torch.Tensor:
    """(1, 3, height, width) pixels, normalised as for ImageNet models."""
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, 3)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((pixels / 255 - mean) / deviation).permute(2, 0, 1)[None]
