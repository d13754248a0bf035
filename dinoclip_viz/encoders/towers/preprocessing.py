"""Preprocessing of images: the published centre crop, bit for bit, or the whole image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dinoclip_viz.encoders.base import Fit
from dinoclip_viz.images import MAXIMUM_SIDE, default_longer, whole_size

Squares = Callable[[Sequence[Image.Image], int], Tensor]
"""Images and a side in pixels -> (B, 3, side, side) by a library's own preprocessing, if PIL cannot reproduce it."""


@dataclass(frozen=True)
class Plan:
    """Preprocessing steps of one image; images with the same `shape` can be batched.

    Attributes:
        resized: width and height of the resized image in pixels.
        corner: left and top of the crop within the resized image.
        crop: side of the square crop before it is cut to whole patches; None if the whole image is kept.
        shape: width and height of the model's input in pixels, whole patches.
        box: region of the image that the input covers, (x0, y0, x1, y1) in the image's pixels.
    """

    resized: tuple[int, int]
    corner: tuple[int, int]
    crop: int | None
    shape: tuple[int, int]
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """Published preprocessing of a model.

    Attributes:
        size: side of the published square input in pixels.
        short_side: length of the shorter side before the centre crop in pixels; None if both sides are resized to
            `size`.
        resample: PIL's filter of the published resize.
        table: (3, 256) float32 normalised value of each byte in each channel, by the library's own function.
        squares: the library's own crop, if it does not resize with PIL.
    """

    size: int
    short_side: int | None
    resample: Image.Resampling
    table: np.ndarray[tuple[int, int], np.dtype[np.float32]] = field(repr=False)
    squares: Squares | None = field(default=None, repr=False)

    def plan(self, image: tuple[int, int], patch: int, size: int | None, fit: Fit) -> Plan:
        """Plan the preprocessing of an image.

        Args:
            image: width and height of the image in pixels.
            patch: side of a patch in pixels.
            size: as in `ImageEncoder.encode`.
            fit: as in `ImageEncoder.encode`.

        Raises:
            ValueError: `size` is out of range, or `fit` is unknown.
        """
        if size is not None and not patch <= size <= MAXIMUM_SIDE:
            raise ValueError(f"size={size}; expected {patch} (one patch) to {MAXIMUM_SIDE} pixels")
        if fit == "crop":
            return self._crop(image, patch, self.size if size is None else size)
        if fit == "whole":
            resized = whole_size(image, patch, default_longer(image, self.size) if size is None else size)
            return Plan(resized, (0, 0), None, resized, (0.0, 0.0, float(image[0]), float(image[1])))
        raise ValueError(f"fit={fit!r}; expected 'crop' or 'whole'")

    def pixels(self, images: Sequence[Image.Image], plans: Sequence[Plan]) -> Tensor:
        """(B, 3, height, width) normalised pixels of images whose plans have the same shape."""
        width, height = plans[0].shape
        crop = plans[0].crop
        if self.squares is not None and crop is not None:
            return self.squares([_rgb(image) for image in images], crop)[..., :height, :width].contiguous()
        pixels = np.empty((len(images), 3, height, width), dtype=np.float32)
        for image, plan, rows in zip(images, plans, pixels, strict=True):
            resample = self.resample if plan.crop is not None else Image.Resampling.BICUBIC
            small = _rgb(image)
            if small.size != plan.resized:
                small = small.resize(plan.resized, resample)
            left, top = plan.corner
            values = np.asarray(small)[top : top + height, left : left + width]  # (height, width, 3)
            for channel in range(3):
                np.take(self.table[channel], values[..., channel], out=rows[channel], mode="clip")
        return torch.from_numpy(pixels)

    def _crop(self, image: tuple[int, int], patch: int, size: int) -> Plan:
        if self.short_side is None:
            resized = (size, size)
        else:
            short = max(size, round(self.short_side * size / self.size))
            longer = int(short * max(image) / min(image))
            resized = (short, longer) if image[0] <= image[1] else (longer, short)
        # torchvision's rounding, as CLIP and DINOv2 were published; transformers rounds down, up to 1 pixel off
        left, top = (round((side - size) / 2) for side in resized)
        side = size // patch * patch  # a convolution ignores the rest at the right and the bottom
        across, down = image[0] / resized[0], image[1] / resized[1]
        right, bottom = min((left + side) * across, image[0]), min((top + side) * down, image[1])
        box = (left * across, top * down, right, bottom)
        return Plan(resized, (left, top), size, (side, side), box)


def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")
