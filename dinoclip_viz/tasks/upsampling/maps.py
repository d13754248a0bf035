"""Maps and features of a patch grid at the resolution of their image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.base import ImageFeatures
from dinoclip_viz.images import ImageLike, load_image
from dinoclip_viz.tasks.upsampling.anyup import anyup
from dinoclip_viz.tasks.upsampling.bilinear import bilinear
from dinoclip_viz.tasks.upsampling.guided import guided
from dinoclip_viz.tasks.upsampling.guides import factor_of, guide_of
from dinoclip_viz.tasks.upsampling.learned import load_upsampler

METHODS = ("guided", "trained", "bilinear", "anyup")
Size = tuple[int, int] | int
Weights = str | PathLike[str]


@overload
def upsample(
    values: ImageFeatures, image: ImageLike, size: Size | None = None, method: str = "guided",
    weights: Weights | None = None,
) -> ImageFeatures: ...  # fmt: skip
@overload
def upsample(
    values: Tensor, image: ImageLike, size: Size | None = None, method: str = "guided", weights: Weights | None = None
) -> Tensor: ...
@overload
def upsample(
    values: NDArray[np.generic], image: ImageLike, size: Size | None = None, method: str = "guided",
    weights: Weights | None = None,
) -> NDArray[np.float32]: ...  # fmt: skip
def upsample(
    values: ImageFeatures | Tensor | NDArray[np.generic],
    image: ImageLike,
    size: Size | None = None,
    method: str = "guided",
    weights: Weights | None = None,
) -> ImageFeatures | Tensor | NDArray[np.float32]:
    """Values of a patch grid at the resolution of an image, along its edges; float32.

    Each pixel is a weighted mean of patches around it, with weights that are positive and sum to 1: values stay within
    the range of the patches'. The time grows with the number of channels: upsample what is shown, such as three
    principal components, not all features.

    Args:
        values: (H, W) or (H, W, C) values of patches that cover the whole image, or features of one image, whose
            patches cover `features.boxes`.
        image: the image of the patches, in any form.
        size: (width, height) of the result in pixels, or its longer side; None is the image's own size, of features
            the size of the part that the patches cover.
        method: "bilinear"; "guided", joint bilateral upsampling (Kopf et al. 2007), without training; "trained", the
            embedded upsampler for any encoder; "anyup" (Wimmer et al. 2025), where it is installed.
        weights: of "trained", the folder of another upsampler; of "anyup", its checkpoint.

    Returns:
        (h, w) or (h, w, C), an array for an array and a tensor for a tensor; or the features with patches (1, h, w, D).

    Raises:
        ImageError: the image cannot be read.
        ValueError: values of another shape, not finite, or of several images; a size below the grid; an unknown
            method, or one that is not installed.

    Examples:
        >>> image = np.zeros((4, 4, 3), np.uint8)
        >>> image[:, 2:] = 255
        >>> upsample(np.array([[0.0, 1.0], [0.0, 1.0]]), image).round(2)[0].tolist()
        [0.0, 0.0, 1.0, 1.0]
        >>> upsample(np.array([[0.0, 1.0]]), image, method="bilinear")[0].tolist()
        [0.0, 0.25, 0.75, 1.0]
    """
    check_method(method)
    given_image = load_image(image)
    if isinstance(values, ImageFeatures):
        return _of_features(values, given_image, size, method, weights)
    given = torch.as_tensor(values)
    grid = _checked(given).float()
    shape = shape_of(size, given_image.size, (grid.shape[0], grid.shape[1]))
    finer = _upsampled(grid[None], given_image, None, shape, method, weights)[0]
    finer = finer[..., 0] if given.ndim == 2 else finer
    return finer if isinstance(values, Tensor) else finer.numpy()


def upsample_part(
    values: Tensor, image: Image.Image, box: Sequence[float], shape: tuple[int, int], method: str
) -> Tensor:
    """(h, w, C) values of patches at the resolution of the part of an image that they cover, as from `upsample`.

    Args:
        values: (H, W, C) finite values of patches.
        image: the image, RGB.
        box: (x0, y0, x1, y1) the part that the patches cover, in pixels.
        shape: height and width of the result; where it is smaller than the grid, values are averaged.
        method: as in `upsample`.

    Raises:
        ValueError: as in `upsample`.
    """
    check_method(method)
    return _upsampled(_checked(values).float()[None], image, box, shape, method, None)[0]


def upsample_labels(labels: Tensor, image: Image.Image, shape: tuple[int, int], method: str = "guided") -> Tensor:
    """(h, w) int64 label with the largest weight at each pixel, of labels of patches that cover the whole image.

    Args:
        labels: (H, W) whole numbers from 0.
        image: the image, RGB.
        shape: height and width of the result.
        method: as in `upsample`.

    Raises:
        ValueError: as in `upsample`.
    """
    kinds, numbers = labels.unique(return_inverse=True)
    each = torch.nn.functional.one_hot(numbers, len(kinds)).float()  # (H, W, K)
    found: Tensor = kinds[upsample_part(each, image, (0, 0, *image.size), shape, method).argmax(-1)]
    return found


def check_method(method: str) -> None:
    """Check that a method is known.

    Raises:
        ValueError: it is not.
    """
    if method not in METHODS:
        raise ValueError(f"found the method {method!r}; expected one of {', '.join(METHODS)}")


def shape_of(size: Size | None, image: tuple[int, int], grid: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a map.

    Args:
        size: as in `upsample`.
        image: width and height of the image, or of the part that the patches cover.
        grid: rows and columns of the patches; the result has as many at least.

    Raises:
        ValueError: the size is smaller than the grid.

    Examples:
        >>> shape_of(None, (640, 480), (12, 16)), shape_of(320, (640, 480), (12, 16)), shape_of((9, 5), (1, 1), (2, 2))
        ((480, 640), (240, 320), (5, 9))
    """
    rows, columns = grid
    if size is None:
        return max(image[1], rows), max(image[0], columns)
    if isinstance(size, int):
        scale = size / max(image)
        size = max(1, round(image[0] * scale)), max(1, round(image[1] * scale))
    width, height = size
    if width < columns or height < rows:
        raise ValueError(
            f"size is {width} x {height} pixels; expected at least one per patch, {columns} x {rows}: width, height"
        )
    return height, width


def _of_features(
    features: ImageFeatures, image: Image.Image, size: Size | None, method: str, weights: Weights | None
) -> ImageFeatures:
    if len(features) != 1:
        raise ValueError(f"the features are of {len(features)} images; expected one: pass features[i]")
    box = features.boxes[0].tolist()
    covered = max(1, round(box[2] - box[0])), max(1, round(box[3] - box[1]))
    parts = [features.patches, *features.dense.values()]
    together = torch.cat([_checked(part[0])[None].float() for part in parts], dim=-1)
    finer = _upsampled(together, image, box, shape_of(size, covered, features.grid), method, weights)
    patches, *dense = (part.contiguous() for part in finer.split([part.shape[-1] for part in parts], dim=-1))
    return replace(features, patches=patches, dense=dict(zip(features.dense, dense, strict=True)))


def _checked(values: Tensor) -> Tensor:
    """(H, W, C) the values.

    Raises:
        ValueError: another shape, no values, or some that are not finite.
    """
    if values.ndim not in (2, 3) or not values.numel():
        raise ValueError(
            f"values have shape {tuple(values.shape)}; expected (H, W) or (H, W, C) of one image's patches"
        )
    if not torch.isfinite(values).all():
        raise ValueError("some values are not finite; expected numbers for every patch")
    return values[..., None] if values.ndim == 2 else values


@torch.no_grad()
def _upsampled(
    values: Tensor,
    image: Image.Image,
    box: Sequence[float] | None,
    shape: tuple[int, int],
    method: str,
    weights: Weights | None,
) -> Tensor:
    """(1, h, w, C) the values (1, H, W, C) at a height and width, within their range."""
    grid = values.shape[1], values.shape[2]
    if method == "bilinear":
        found = bilinear(values, shape)
    elif method == "anyup":
        found = anyup(values, guide_of(image, box, shape).to(values.device), weights)
    else:
        factor = factor_of(grid, shape)
        guide = guide_of(image, box, (grid[0] * factor, grid[1] * factor)).to(values.device)
        model = guided if method == "guided" else load_upsampler(weights, values.device)
        found = model(values, guide)
        found = found if tuple(found.shape[1:3]) == shape else bilinear(found, shape)
    low, high = values.amin((1, 2), keepdim=True), values.amax((1, 2), keepdim=True)
    return found.clamp_(low, high)  # sums of weights are 1 but for rounding
