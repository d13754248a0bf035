"""Masks cut out by boxes for the codec, and the codec's maps put back into images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dinoclip_viz.vlm.masks.codec import SIDE


def crop_mask(mask: NDArray[np.generic] | Tensor, box: Sequence[float]) -> Tensor:
    """(64, 64) float32 tensor in [0, 1]: the part of a mask inside a box, resized bilinearly with antialiasing.

    Args:
        mask: (h, w) bool, or any numbers of which those above 0 are inside.
        box: (x0, y0, x1, y1) in pixels, rounded and clipped to the mask.

    Raises:
        ValueError: the mask has another number of axes, or the box covers no pixel of it.
    """
    inside = np.asarray(mask) > 0
    if inside.ndim != 2:
        raise ValueError(f"found a mask of shape {inside.shape}; expected (height, width)")
    x0, y0, x1, y1 = _rounded(box, (inside.shape[1], inside.shape[0]))
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"box {tuple(box)} covers no pixel of a mask of {inside.shape[1]} x {inside.shape[0]} pixels")
    cut = torch.from_numpy(inside[y0:y1, x0:x1].astype(np.float32))
    return F.interpolate(cut[None, None], (SIDE, SIDE), mode="bilinear", antialias=True)[0, 0]


def paste_mask(
    decoded: Tensor | NDArray[np.floating], box: Sequence[float], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """(h, w) bool: a codec's map, resized bilinearly into a box of an image, where it is above 0.

    Pillow resizes the map, as in big_vision. A box that covers no pixel after rounding leaves all pixels outside.

    Args:
        decoded: (64, 64) map, above 0 inside.
        box: (x0, y0, x1, y1) in pixels of the image; rounded, and cut where it leaves the image.
        size: width and height of the image in pixels.

    Raises:
        ValueError: the map has another number of axes.
    """
    values = np.asarray(decoded.detach().float().cpu() if isinstance(decoded, Tensor) else decoded, dtype=np.float32)
    if values.ndim != 2:
        raise ValueError(f"found a map of shape {values.shape}; expected ({SIDE}, {SIDE})")
    width, height = size
    found = np.zeros((height, width), dtype=bool)
    left, top, right, bottom = (round(edge) for edge in box)
    x0, y0, x1, y1 = _rounded(box, size)
    if x1 <= x0 or y1 <= y0:
        return found
    resized = Image.fromarray(values).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    found[y0:y1, x0:x1] = (np.asarray(resized) > 0)[y0 - top : y1 - top, x0 - left : x1 - left]
    return found


def _rounded(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box in whole pixels, clipped to an image of a size (width, height)."""
    width, height = size
    x0, y0, x1, y1 = (round(edge) for edge in box)
    return max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
