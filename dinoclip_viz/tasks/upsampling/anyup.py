"""AnyUp, an upsampler for any encoder that its authors publish, where it is installed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.images import ImageLike, load_image
from dinoclip_viz.tasks.upsampling.guides import guide_of

ANYUP = "https://github.com/wimmerth/anyup"
CHECKPOINT = "anyup_paper.pth"


def upsample_anyup(
    features: ImageFeatures, image: ImageLike, grid: tuple[int, int], weights: str | PathLike[str] | None = None
) -> ImageFeatures:
    """The features of one image on a finer grid by AnyUp (Wimmer et al. 2025), guided by the edges of the image.

    AnyUp is published as code and a checkpoint, not as a package; neither is downloaded here.

    Args:
        features: of one image.
        image: that image, in any form.
        grid: rows and columns of the result, at least those of the features.
        weights: as in `anyup`.

    Raises:
        ImageError: the image cannot be read.
        ValueError: AnyUp is not installed, the checkpoint does not fit, or the features are of several images.
    """
    model = _class()
    if len(features) != 1:
        raise ValueError(f"the features are of {len(features)} images; expected one: pass features[i]")
    if grid[0] < features.grid[0] or grid[1] < features.grid[1]:
        raise ValueError(f"grid is {grid}; expected at least the features' {features.grid}")
    guide = guide_of(load_image(image), features.boxes[0].tolist(), grid)
    return replace(features, patches=_run(model, features.patches, guide, weights), dense={})


def anyup(values: Tensor, guide: Tensor, weights: str | PathLike[str] | None = None) -> Tensor:
    """(B, h, w, C) values of patches on the pixels of an image by AnyUp (Wimmer et al. 2025).

    Args:
        values: (B, H, W, C) values of patches.
        guide: (B, 3, h, w) the image that the patches cover, red, green and blue in [0, 1].
        weights: the checkpoint, anyup_paper.pth; only tensors are read from it. None is the one that torch.hub keeps.

    Raises:
        ValueError: AnyUp is not installed, or there is no checkpoint that fits.
    """
    return _run(_class(), values, guide, weights)


def _class() -> Callable[[], torch.nn.Module]:
    try:
        from anyup.model import AnyUp  # type: ignore[import-not-found]
    except ImportError as error:
        raise ValueError(f"AnyUp is not installed; add {ANYUP} to the Python path, or use guided") from error
    made: Callable[[], torch.nn.Module] = AnyUp
    return made


def _run(
    make: Callable[[], torch.nn.Module], values: Tensor, guide: Tensor, weights: str | PathLike[str] | None
) -> Tensor:
    file = Path(weights) if weights is not None else Path(torch.hub.get_dir()) / "checkpoints" / CHECKPOINT
    if not file.is_file():
        raise ValueError(f"there is no file {file}; expected AnyUp's checkpoint; see {ANYUP}, or use guided")
    model = make()
    try:
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:  # unpicklers and modules raise many types
        raise ValueError(f"{file} is not a checkpoint of AnyUp ({' '.join(str(error).split())[:120]})") from error
    mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        finer: Tensor = model.eval()((guide - mean) / deviation, values.permute(0, 3, 1, 2))  # (B, C, h, w)
    return finer.permute(0, 2, 3, 1).contiguous().float()
